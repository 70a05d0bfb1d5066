"""Correlation by matrix products."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Num

from conv_jax import padding
from conv_jax.algorithms import tiles
from conv_jax.padding import Pads, Pair

TILE = 16  # rows of a large kernel multiplied at once


def matmul(
    image: Num[Array, "G N C H W"],
    kernel: Num[Array, "G O C kH kW"],
    *,
    stride: Pair,
    dilation: Pair,
    pads: Pads,
) -> Num[Array, "G N O H_out W_out"]:
    """Correlate by matrix products, whose arithmetic is the fastest a machine has.

    A small kernel meets a matrix of the image's windows (im2col): best for many kernels at
    once. A kernel larger than the result, as in the gradient of a kernel, is cut into tiles of
    rows that meet all rows of the image they need, over the whole width at once (or of columns,
    if the result is wider than high); there a NaN may spoil outputs beside those that see it,
    for it meets the zeros that fill up a tile.
    """
    padded = padding.pad(image, pads)
    size = padding.output_shape(padded.shape, kernel.shape[-2:], stride=stride, dilation=dilation)
    if size[0] * size[1] >= kernel.shape[-2] * kernel.shape[-1]:
        return _by_windows(padded, kernel, size, stride, dilation)
    # Few outputs: those between the strided ones are computed too, and left out.
    kernel = padding.dilate(kernel, dilation)
    height, width = padding.output_shape(padded.shape, kernel.shape[-2:])
    if height >= width:
        sums = _by_tiles(padded, kernel)
    else:
        sums = _by_tiles(padded.swapaxes(-2, -1), kernel.swapaxes(-2, -1)).swapaxes(-2, -1)
    return sums[..., :: stride[0], :: stride[1]]


def _by_windows(
    image: Num[Array, "G N C H W"],
    kernel: Num[Array, "G O C kH kW"],
    size: Pair,
    stride: Pair,
    dilation: Pair,
) -> Num[Array, "G N O H_out W_out"]:
    """Multiply the kernels [O, C kH kW] with the windows [C kH kW, H_out W_out]."""
    groups, images, channels = image.shape[:3]
    kernel_height, kernel_width = kernel.shape[-2:]
    # First along columns, then along rows: kH + kW shifts make kH * kW windows.
    columns = jnp.stack(
        [_every(image, b * dilation[1], size[1], stride[1], axis=4) for b in range(kernel_width)],
        axis=3,
    )
    windows = jnp.stack(
        [
            _every(columns, a * dilation[0], size[0], stride[0], axis=4)
            for a in range(kernel_height)
        ],
        axis=3,
    )
    windows = windows.reshape(groups, images, channels * kernel_height * kernel_width, -1)
    weights = kernel.reshape(groups, kernel.shape[1], -1)
    sums = lax.dot_general(  # [G, O, N, H_out W_out]
        weights, windows, (((2,), (2,)), ((0,), (0,))), precision=lax.Precision.HIGHEST
    )
    return sums.swapaxes(1, 2).reshape(groups, images, -1, *size)


def _every(array: Array, start: int, count: int, stride: int, *, axis: int) -> Array:
    stop = start + (count - 1) * stride + 1
    return lax.slice_in_dim(array, start, stop, stride, axis)


def _by_tiles(
    image: Num[Array, "G N C H W"], kernel: Num[Array, "G O C kH kW"]
) -> Num[Array, "G N O H_out W_out"]:
    """Correlate with a kernel that is larger than the result.

    For a tile of T kernel rows t, the U = T + H_out - 1 image rows u that they meet and one
    column offset b, entry (t, u) of the product is what kernel row t adds to output (u - t, b):
    the sums lie on diagonals.
    """
    kernel_height, kernel_width = kernel.shape[-2:]
    height, width = image.shape[-2] - kernel_height + 1, image.shape[-1] - kernel_width + 1
    count = -(-kernel_height // TILE)
    kernel = padding.pad(kernel, ((0, count * TILE - kernel_height), (0, 0)))
    kernel_tiles = kernel.reshape(*kernel.shape[:3], count, TILE, kernel_width)
    image_tiles = tiles.overlapping(image, count, step=TILE, rows=TILE + height - 1)

    def sums(column: int) -> Num[Array, "G N O H_out"]:
        rows = image_tiles[..., column : column + kernel_width]
        per_tile = lax.dot_general(  # [G, C, tiles, O, T, N, T + H_out - 1]
            kernel_tiles,
            rows,
            (((5,), (5,)), ((0, 2, 3), (0, 2, 3))),
            precision=lax.Precision.HIGHEST,
        )
        products = jnp.moveaxis(per_tile.sum(axis=(1, 2)), 3, 1)  # [G, N, O, T, T + H_out - 1]
        return _diagonal_sums(products, height)

    return jnp.stack([sums(b) for b in range(width)], axis=-1)


def _diagonal_sums(products: Num[Array, "*axes T U"], count: int) -> Num[Array, "*axes count"]:
    """Return the sums over t of products[..., t, t + i], for i below count, at most U - T + 1.

    Read in rows one longer than they are, each row of a matrix begins one element further on.
    """
    *axes, height, width = products.shape
    flat = products.reshape(*axes, height * width)
    flat = jnp.concatenate([flat, jnp.zeros((*axes, height), flat.dtype)], axis=-1)
    return flat.reshape(*axes, height, width + 1)[..., :count].sum(axis=-2, dtype=flat.dtype)
