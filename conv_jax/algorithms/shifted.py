"""Correlation as a sum of shifted copies of the image, one for each kernel element."""

import functools
import itertools
import math
from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Num

from conv_jax import padding
from conv_jax.padding import Pads, Pair

PAIRED_TERMS = 36  # from 6x6 on, sharing loads between two rows wins more than one pass more costs
_CHAINS = 3  # sums kept apart, so that one addition need not wait for the last


def shifted(
    image: Num[Array, "G N C H W"],
    kernel: Num[Array, "G O C kH kW"],
    *,
    stride: Pair,
    dilation: Pair,
    pads: Pads,
) -> Num[Array, "G N O H_out W_out"]:
    """Correlate by adding shifted copies of the image.

    XLA fuses the sum into one pass over the image, so a small kernel costs the reading of the
    image and the writing of the result; the arithmetic grows with kH * kW. A padding costs one
    more pass.
    """
    padded = padding.pad(image, pads)
    size = padding.output_shape(padded.shape, kernel.shape[-2:], stride=stride, dilation=dilation)
    weights = kernel.swapaxes(1, 2)
    return _sum(
        [
            _times(
                _shift(padded, c, a * dilation[0], b * dilation[1], size, stride), weights, c, a, b
            )
            for c, a, b in _elements(kernel)
        ]
    )


def shifted_on_cpu(
    image: Num[Array, "G N C H W"],
    kernel: Num[Array, "G O C kH kW"],
    *,
    stride: Pair,
    dilation: Pair,
    pads: Pads,
) -> Num[Array, "G N O H_out W_out"]:
    """Correlate as `shifted`, in the forms that XLA compiles best for a CPU.

    A sum of many terms is computed apart from what comes before and after: fused into several
    users, it would be computed several times. From `PAIRED_TERMS` on, one complex number
    carries two outputs, of rows 2i and 2i + 1, so that both use each pixel once loaded: XLA
    makes one loop of one array, and a loop with two sums is 1.3 to 1.7 times as fast.
    """
    size = padding.output_shape(
        image.shape, kernel.shape[-2:], stride=stride, dilation=dilation, padding=pads
    )
    shape = (*image.shape[:2], kernel.shape[1], *size)
    whole = functools.partial(shifted, stride=stride, dilation=dilation)
    if len(_elements(kernel)) < 4 or not jnp.issubdtype(image.dtype, jnp.inexact):
        return whole(image, kernel, pads=pads)
    is_real = jnp.issubdtype(image.dtype, jnp.floating)
    if not (is_real and is_paired(kernel.shape, size[0], stride=stride, dilation=dilation)):
        return apart(
            lambda: whole(image, kernel, pads=pads), kernel, shape=shape, dtype=image.dtype
        )
    padded = padding.pad(image, pads)
    pairs_shape = (*shape[:3], size[0] // 2, size[1])
    pairs = apart(
        lambda: _row_pairs(padded, kernel, pairs_shape[-2:], stride[1], dilation[1]),
        kernel,
        shape=pairs_shape,
        dtype=jnp.dtype("complex128" if image.dtype == jnp.float64 else "complex64"),
    )
    rows = jnp.stack([pairs.real, pairs.imag], axis=-2).reshape(*shape[:3], -1, size[1])
    if size[0] % 2 == 0:
        return rows
    last = whole(padded[..., size[0] - 1 :, :], kernel, pads=((0, 0), (0, 0)))
    return jnp.concatenate([rows, last], axis=-2)


def is_paired(kernel_shape: Sequence[int], height: int, *, stride: Pair, dilation: Pair) -> bool:
    """Tell whether real outputs of this height are computed two rows at a time on a CPU."""
    channels, rows, columns = kernel_shape[-3:]
    many = channels * rows * columns >= PAIRED_TERMS and rows >= 3 and height >= 2
    return many and stride[0] == dilation[0] == 1


def apart(
    compute: Callable[[], Array],
    kernel: Num[Array, "G O C kH kW"],
    *,
    shape: Sequence[int],
    dtype: jnp.dtype,
) -> Array:
    """Compute as a unit of its own: XLA on a CPU fuses nothing into it and it into nothing.

    XLA drops `lax.optimization_barrier` before it fuses, but cannot look beyond a condition on
    data. This one fails only where the first weight of every kernel is NaN, and so every sum.
    """
    is_complex = jnp.issubdtype(dtype, jnp.complexfloating)
    nan = complex(math.nan, math.nan) if is_complex else math.nan
    nans = functools.partial(jnp.full, shape, nan, dtype)
    return lax.cond(jnp.isnan(kernel[:, :, 0, 0, 0]).all(), nans, compute)


def _row_pairs(
    image: Num[Array, "G N C H W"],
    kernel: Num[Array, "G O C kH kW"],
    size: Pair,
    stride: int,
    dilation: int,
) -> Num[Array, "G N O H_pairs W_out"]:
    """Return the outputs of rows 2i and 2i + 1 as real and imaginary parts."""
    weights = kernel.swapaxes(1, 2)
    channels, height, width = kernel.shape[-3:]
    even: list[Array] = []
    odd: list[Array] = []
    for c, a, b in itertools.product(range(channels), range(height + 1), range(width)):
        pixels = _shift(image, c, a, b * dilation, size, (2, stride))
        if a < height:
            even.append(_times(pixels, weights, c, a, b))
        if a > 0:
            odd.append(_times(pixels, weights, c, a - 1, b))
    return lax.complex(_sum(even), _sum(odd))


def _elements(kernel: Array) -> list[tuple[int, int, int]]:
    channels, height, width = kernel.shape[-3:]
    return list(itertools.product(range(channels), range(height), range(width)))


def _shift(
    image: Num[Array, "G N C H W"], channel: int, row: int, column: int, size: Pair, stride: Pair
) -> Num[Array, "G N 1 H_out W_out"]:
    """Return the pixels that one kernel element meets; jnp's indexing would trace slowly."""
    last = row + (size[0] - 1) * stride[0], column + (size[1] - 1) * stride[1]
    return lax.slice(
        image,
        (0, 0, channel, row, column),
        (*image.shape[:2], channel + 1, last[0] + 1, last[1] + 1),
        (1, 1, 1, *stride),
    )


def _times(
    pixels: Num[Array, "G N 1 H_out W_out"],
    weights: Num[Array, "G C O kH kW"],
    channel: int,
    row: int,
    column: int,
) -> Num[Array, "G N O H_out W_out"]:
    groups, _, kernels = weights.shape[:3]
    weight = lax.slice(
        weights,
        (0, channel, 0, row, column),
        (groups, channel + 1, kernels, row + 1, column + 1),
    )
    shape = (*pixels.shape[:2], kernels, *pixels.shape[3:])
    return lax.mul(*(lax.broadcast_in_dim(part, shape, range(5)) for part in (pixels, weight)))


def _sum(terms: list[Array]) -> Array:
    """Add up in a few sums side by side, so that one addition need not wait for the last."""
    chains = [functools.reduce(lax.add, terms[i::_CHAINS]) for i in range(_CHAINS) if terms[i:]]
    return functools.reduce(lax.add, chains)
