"""Correlation by Fourier transforms of rows alone, where kernel or result have few rows."""

import itertools
import math
from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Complex, Float, Num

from conv_jax import padding
from conv_jax.algorithms import tiles
from conv_jax.algorithms.circle import bend, convolves, take, within_reach
from conv_jax.algorithms.fft import fft
from conv_jax.algorithms.loops import apart, chained_sum, shift, spread_width
from conv_jax.padding import Pads, Pair

TILE = 32  # rows of a kernel, times channels, that one loop adds up
_FEW_ROWS = 12  # of a kernel or its gradient, where transforms of several images are shared
_NARROW = 8  # times as high as wide: sums over columns repay two transpositions
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
    of the time of `fft`, up to 32 rows of a kernel. One of more rows, as in the gradient of a
    kernel, is cut into tiles if the result has few.
    The error bound of `fft` holds here too, with the terms of the sum on top. A NaN spreads over
    the rows of outputs that see it, and over others where it meets the zeros that fill up a tile.
    """
    height, width = padding.output_shape(
        image.shape, kernel.shape[-2:], stride=stride, dilation=dilation, padding=pads
    )
    is_real = jnp.issubdtype(image.dtype, jnp.floating)
    if is_real and is_turned(kernel.shape, (height, width)):
        turned = fft_on_cpu(
            image.swapaxes(-2, -1),
            kernel.swapaxes(-2, -1),
            stride=(stride[1], stride[0]),
            dilation=(dilation[1], dilation[0]),
            pads=(pads[1], pads[0]),
        )
        return turned.swapaxes(-2, -1)
    extent = padding.kernel_extent(kernel.shape[-2:], dilation)
    convolved = convolves(extent, pads)
    if not (is_real and is_by_rows(image.shape, kernel.shape, height, convolved=convolved)):
        return fft(image, kernel, stride=stride, dilation=dilation, pads=pads)
    image, pads = within_reach(image, extent, pads)
    _, circle = bend(image.shape[-2:], extent, pads, convolved=convolved)
    length = circle.length
    x, y = (padding.pad(part, (pads[0], (0, 0))) for part in _transform_rows(image, length))
    kernel_rows = padding.dilate(kernel, (1, dilation[1]))
    if convolved:
        u, v = _transform_rows(jnp.flip(kernel_rows, -1), length)
        v = -v
    else:
        u, v = _transform_rows(kernel_rows, length)
    groups, many = kernel.shape[0], math.prod(kernel.shape[2:4]) > TILE
    if many:
        count = -(-kernel.shape[3] // TILE)
        span = (TILE - 1) * dilation[0] + (height - 1) * stride[0] + 1
        x, y = (_tiles(part, count, step=TILE * dilation[0], rows=span) for part in (x, y))
        u, v = (_tiles(part, count, step=TILE, rows=TILE) for part in (u, v))
    shape = (x.shape[0], x.shape[1], u.shape[1], height, length // 2 + 1)
    sums = apart(
        lambda: _sum_rows((x, y), (u, v), shape, stride[0], dilation[0]),
        kernel,
        shape=shape,
        dtype=jnp.dtype("complex128" if image.dtype == jnp.float64 else "complex64"),
    )
    if many:
        sums = sums.reshape(groups, -1, *sums.shape[1:]).sum(axis=1)
    lines = jnp.fft.irfft(sums, length)
    return take(lines, circle, width, stride=stride[1], axis=4)


def is_turned(kernel_shape: Sequence[int], size: Pair) -> bool:
    """Tell whether columns are transformed: for a narrow result, as the gradient of a column."""
    return kernel_shape[-2] > TILE and _NARROW * size[1] <= size[0]


def is_by_rows(
    image_shape: Sequence[int], kernel_shape: Sequence[int], height: int, *, convolved: bool
) -> bool:
    """Tell whether only rows are transformed.

    Args:
      image_shape: (G, N, C, H, W), of real numbers.
      kernel_shape: (G, O, C, kH, kW).
      height: rows of the result.
      convolved: what `convolves` tells, in the gradient of an image.
    """
    rows, is_one = math.prod(kernel_shape[2:4]), image_shape[1] * image_shape[2] == 1
    # Gradients share transforms of both axes, which pays for several images from fewer rows on.
    few = TILE if is_one else _FEW_ROWS
    if rows <= TILE:
        return not convolved or rows <= few
    return height <= few and min(image_shape[1], kernel_shape[1]) <= _FEW_PLANES


def _transform_rows(
    array: Float[Array, "*axes W"], length: int
) -> tuple[Float[Array, "*axes F_wide"], Float[Array, "*axes F_wide"]]:
    """Return the real and the imaginary parts of `rfft(array, length)`, filled up with zeros."""
    flat = array.reshape(-1, *array.shape[-2:])  # so that XLA finds what it has computed
    transform = jnp.fft.rfft(flat, length).reshape(*array.shape[:-1], -1)
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
    shape: Sequence[int],
    stride: int,
    dilation: int,
) -> Complex[Array, "G N O H_out F"]:
    """Add up what the channels and rows of the kernels, conjugated, give each frequency."""
    reals: list[Array] = []
    imaginaries: list[Array] = []
    for c, a in itertools.product(*map(range, weights[0].shape[2:4])):
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
