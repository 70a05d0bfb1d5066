"""Correlation by Fourier transforms of rows alone, where kernel or result have few rows."""

import functools
import itertools
import math
from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Complex, Float, Num

from conv_jax import padding
from conv_jax.algorithms import tiles
from conv_jax.algorithms.fft import fast_length, fft
from conv_jax.algorithms.loops import apart, chained_sum, shift, spread_width
from conv_jax.padding import Pads, Pair

TILE = 32  # rows of a kernel, times channels, that one loop adds up
MOST_ROWS = 2 * TILE  # that so many loops add up, untiled
_FEW_ROWS = 64  # of a result, that tiles of kernels with more rows give
_FEW_PLANES = 8  # images or kernels: every tile gives a result for every pair of them


def fft_on_cpu(
    image: Num[Array, "G N C H W"],
    kernel: Num[Array, "G O C kH kW"],
    *,
    stride: Pair,
    dilation: Pair,
    pads: Pads,
) -> Num[Array, "G N O H_out W_out"]:
    """Correlate as `fft`; where kernel or result have few rows, only rows are transformed.

    out[i] = F^-1( sum_a F(image[i + a]) conj(F(kernel[a])) )

    XLA's transforms along columns are slow on a CPU: those of rows and this sum take 0.5 to 0.9
    of the time of `fft`. A kernel of many rows, as in the gradient of a kernel, is cut into tiles.
    The error bound of `fft` holds here too, with the terms of the sum on top. A NaN spreads over
    the rows of outputs that see it, and over others where it meets the zeros that fill up a tile.
    """
    padded = padding.pad(image, pads)
    height, width = padding.output_shape(
        padded.shape, kernel.shape[-2:], stride=stride, dilation=dilation
    )
    is_real = jnp.issubdtype(image.dtype, jnp.floating)
    if not (is_real and is_by_rows(image.shape, kernel.shape, height)):
        return fft(image, kernel, stride=stride, dilation=dilation, pads=pads)
    length = fast_length(padded.shape[-1])
    x, y = _transform_rows(padded, length)
    u, v = _transform_rows(padding.dilate(kernel, (1, dilation[1])), length)
    groups, many = kernel.shape[0], math.prod(kernel.shape[2:4]) > MOST_ROWS
    if many:
        count = -(-kernel.shape[3] // TILE)
        span = (TILE - 1) * dilation[0] + (height - 1) * stride[0] + 1
        x, y = (_tiles(part, count, step=TILE * dilation[0], rows=span) for part in (x, y))
        u, v = (_tiles(part, count, step=TILE, rows=TILE) for part in (u, v))
    elements = list(itertools.product(*map(range, u.shape[2:4])))
    shape = (x.shape[0], x.shape[1], u.shape[1], height, length // 2 + 1)

    def add_up(some: Sequence[tuple[int, ...]]) -> Complex[Array, "G N O H_out F"]:
        return apart(
            lambda: _sum_rows((x, y), (u, v), some, shape, stride[0], dilation[0]),
            kernel,
            shape=shape,
            dtype=jnp.dtype("complex128" if image.dtype == jnp.float64 else "complex64"),
        )

    parts = [add_up(elements[i : i + TILE]) for i in range(0, len(elements), TILE)]
    sums = functools.reduce(lax.add, parts)
    if many:
        sums = sums.reshape(groups, -1, *sums.shape[1:]).sum(axis=1)
    lines = jnp.fft.irfft(sums, length)
    return lines[..., : (width - 1) * stride[1] + 1 : stride[1]]


def is_by_rows(image_shape: Sequence[int], kernel_shape: Sequence[int], height: int) -> bool:
    """Tell whether only rows are transformed.

    Args:
      image_shape: (G, N, C, H, W), of real numbers.
      kernel_shape: (G, O, C, kH, kW).
      height: rows of the result.
    """
    few_planes = min(image_shape[1], kernel_shape[1]) <= _FEW_PLANES
    return math.prod(kernel_shape[2:4]) <= MOST_ROWS or (few_planes and height <= _FEW_ROWS)


def _transform_rows(
    array: Float[Array, "*axes W"], length: int
) -> tuple[Float[Array, "*axes F_wide"], Float[Array, "*axes F_wide"]]:
    """Return the real and the imaginary parts of `rfft(array, length)`, filled up with zeros."""
    transform = jnp.fft.rfft(array, length)
    width = transform.shape[-1]
    config = [(0, 0, 0)] * (array.ndim - 1) + [(0, spread_width(width) - width, 0)]
    parts = transform.real, transform.imag
    real, imaginary = (lax.pad(part, jnp.zeros((), part.dtype), config) for part in parts)
    return real, imaginary


def _tiles(
    part: Float[Array, "G N C H F_wide"], count: int, *, step: int, rows: int
) -> Float[Array, "G_C_tiles N 1 rows F"]:
    """Cut into tiles, which become groups, as the channels do."""
    cut = jnp.moveaxis(tiles.overlapping(part, count, step=step, rows=rows), (2, 3), (1, 2))
    return cut.reshape(-1, part.shape[1], 1, *cut.shape[4:])


def _sum_rows(
    pixels: tuple[Float[Array, "G N C H F_wide"], Float[Array, "G N C H F_wide"]],
    weights: tuple[Float[Array, "G O C kH F_wide"], Float[Array, "G O C kH F_wide"]],
    elements: Sequence[tuple[int, ...]],
    shape: Sequence[int],
    stride: int,
    dilation: int,
) -> Complex[Array, "G N O H_out F"]:
    """Add up what some channels and rows (c, a) of the kernels, conjugated, give each frequency."""
    reals: list[Array] = []
    imaginaries: list[Array] = []
    for c, a in elements:
        x, y = (
            lax.broadcast_in_dim(
                shift(part, (c, a * dilation, 0), size=(shape[3], shape[4]), stride=(stride, 1)),
                shape,
                range(5),
            )
            for part in pixels
        )
        u, v = (_row(part.swapaxes(1, 2), c, a, shape) for part in weights)
        reals += [x * u, y * v]
        imaginaries += [y * u, -(x * v)]
    return lax.complex(chained_sum(reals), chained_sum(imaginaries))


def _row(
    part: Float[Array, "G C O kH F_wide"], channel: int, row: int, shape: Sequence[int]
) -> Float[Array, "G N O H_out F"]:
    """Return one row of every kernel, for every image and row."""
    groups, _, kernels = part.shape[:3]
    one = lax.slice(
        part, (0, channel, 0, row, 0), (groups, channel + 1, kernels, row + 1, shape[4])
    )
    return lax.broadcast_in_dim(one, shape, range(5))
