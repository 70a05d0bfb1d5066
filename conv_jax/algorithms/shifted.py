"""Correlation as a sum of shifted copies of the image, one for each kernel element."""

import functools
import itertools
import math
from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Num

from conv_jax import padding
from conv_jax.algorithms.loops import apart, chained_sum, shift
from conv_jax.padding import Pads, Pair

_APART_TERMS = 10  # up to 3x3 the sum is cheap to compute twice, and one loop starts sooner
_APART_IN_LINE = 7  # in one row or column, which the pass along the other axis would repeat
PAIRED_TERMS = 36  # from 6x6 on, sharing loads between two rows wins more than one pass more costs


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
    shape = (*image.shape[:2], kernel.shape[1], *size)
    weights = _weights(kernel, shape)
    terms = []
    for c, a, b in weights:
        pixels = shift(padded, (c, a * dilation[0], b * dilation[1]), size=size, stride=stride)
        terms.append(lax.mul(_broadcast(pixels, shape), weights[c, a, b]))
    return chained_sum(terms)


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
    few = _APART_IN_LINE if 1 in kernel.shape[-2:] else _APART_TERMS
    if math.prod(kernel.shape[-3:]) < few or not jnp.issubdtype(image.dtype, jnp.inexact):
        return whole(image, kernel, pads=pads)
    is_real = jnp.issubdtype(image.dtype, jnp.floating)
    if not (is_real and is_paired(kernel.shape, size[0], stride=stride, dilation=dilation)):
        return apart(
            lambda: whole(image, kernel, pads=pads), kernel, shape=shape, dtype=image.dtype
        )
    padded = padding.pad(image, pads)
    pairs_shape = (*shape[:3], size[0] // 2, size[1])
    pairs = apart(
        lambda: _row_pairs(padded, kernel, pairs_shape, stride[1], dilation[1]),
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


def _row_pairs(
    image: Num[Array, "G N C H W"],
    kernel: Num[Array, "G O C kH kW"],
    shape: Sequence[int],
    stride: int,
    dilation: int,
) -> Num[Array, "G N O H_pairs W_out"]:
    """Return the outputs of rows 2i and 2i + 1, of this shape, as real and imaginary parts."""
    weights = _weights(kernel, shape)
    channels, height, width = kernel.shape[-3:]
    even: list[Array] = []
    odd: list[Array] = []
    for c, a, b in itertools.product(range(channels), range(height + 1), range(width)):
        pixels = shift(image, (c, a, b * dilation), size=(shape[3], shape[4]), stride=(2, stride))
        pixels = _broadcast(pixels, shape)
        if a < height:
            even.append(lax.mul(pixels, weights[c, a, b]))
        if a > 0:
            odd.append(lax.mul(pixels, weights[c, a - 1, b]))
    return lax.complex(chained_sum(even), chained_sum(odd))


def _weights(
    kernel: Num[Array, "G O C kH kW"], shape: Sequence[int]
) -> dict[tuple[int, int, int], Num[Array, "G N O H_out W_out"]]:
    """Return each kernel element c, a, b, broadcast over the outputs."""
    groups, kernels, *rest = kernel.shape
    kernel = kernel.swapaxes(1, 2)
    return {
        (c, a, b): _broadcast(
            lax.slice(kernel, (0, c, 0, a, b), (groups, c + 1, kernels, a + 1, b + 1)), shape
        )
        for c, a, b in itertools.product(*map(range, rest))
    }


def _broadcast(part: Array, shape: Sequence[int]) -> Array:
    shape = tuple(shape)
    return part if part.shape == shape else lax.broadcast_in_dim(part, shape, range(5))
