"""Correlation by the fast Fourier transform."""

import jax.numpy as jnp
from jaxtyping import Array, Num

from conv_jax import padding
from conv_jax.algorithms import tiles
from conv_jax.padding import Pads, Pair

_STRIP = 2**20  # pixels of an image transformed at once, so that a cache holds the transform


def fft(
    image: Num[Array, "G N C H W"],
    kernel: Num[Array, "G O C kH kW"],
    *,
    stride: Pair,
    dilation: Pair,
    pads: Pads,
) -> Num[Array, "G N O H_out W_out"]:
    """Correlate by multiplying the image's transform with the kernel's, conjugated.

    out = F^-1( F(image) conj(F(conj(kernel))) ), on axes of a length with small factors. Tall
    images are cut into strips that overlap by the kernel (overlap-save).

    The time hardly depends on the kernel. Unlike those of a sum, all errors are of one size:
    |error| <= 12 log2(n) eps ||image||_2 ||kernel||_2, with n the pixels of the transform (from
    Higham, Accuracy and Stability of Numerical Algorithms, 24.1), so that small outputs beside
    large ones lose digits; and one NaN or infinity makes all outputs NaN. Not for integers.
    """
    padded = padding.pad(image, pads)
    kernel = padding.dilate(kernel, dilation)
    height, width = padding.output_shape(padded.shape, kernel.shape[-2:])
    strips = _strips(padded, kernel.shape[-2])  # [G, N, strips, C, H_strip, W]
    groups, images, count, *_ = strips.shape
    strip_size = (strips.shape[-2] - kernel.shape[-2] + 1, width)
    sums = _unstrided(strips.reshape(groups, -1, *strips.shape[3:]), kernel, strip_size)
    sums = sums.reshape(groups, images, count, *sums.shape[2:]).swapaxes(2, 3)
    sums = sums.reshape(groups, images, -1, count * strip_size[0], width)
    return sums[..., : height : stride[0], :: stride[1]]


def fast_length(size: int) -> int:
    """Return the least length of at least this size whose only factors are 2, 3 and 5.

    >>> [fast_length(n) for n in (7, 17, 1021)]
    [8, 18, 1024]
    """
    best = 1 << (size - 1).bit_length()
    fives = 1
    while fives < best:
        threes = fives
        while threes < best:
            rest = -(-size // threes)
            best = min(best, threes << (rest - 1).bit_length())
            threes *= 3
        fives *= 5
    return best


def strip_height(height: int, width: int, kernel_height: int) -> int:
    """Return how many rows are transformed at once: all, or some that the kernel fits well."""
    rows = fast_length(max(_STRIP // width, 4 * kernel_height))
    return height if height <= rows else rows


def _strips(
    image: Num[Array, "G N C H W"], kernel_height: int
) -> Num[Array, "G N strips C H_strip W"]:
    """Cut into strips that overlap by kernel_height - 1 rows, the last filled up with zeros."""
    height = image.shape[-2]
    rows = strip_height(height, image.shape[-1], kernel_height)
    step = rows - kernel_height + 1
    count = max(1, -(-(height - kernel_height + 1) // step))
    return tiles.overlapping(image, count, step=step, rows=rows).swapaxes(2, 3)


def _unstrided(
    image: Num[Array, "G N C H W"], kernel: Num[Array, "G O C kH kW"], size: Pair
) -> Num[Array, "G N O H_out W_out"]:
    lengths = fast_length(image.shape[-2]), fast_length(image.shape[-1])
    if jnp.issubdtype(image.dtype, jnp.complexfloating):
        product = _product(jnp.fft.fft2(image, lengths), jnp.fft.fft2(kernel.conj(), lengths))
        return jnp.fft.ifft2(product)[..., : size[0], : size[1]]
    product = _product(jnp.fft.rfft2(image, lengths), jnp.fft.rfft2(kernel, lengths))
    return jnp.fft.irfft2(product, lengths)[..., : size[0], : size[1]]


def _product(
    image: Num[Array, "G N C F1 F2"], kernel: Num[Array, "G O C F1 F2"]
) -> Num[Array, "G N O F1 F2"]:
    """Multiply the transforms and add up the channels."""
    products = image[:, :, None] * kernel.conj()[:, None]
    return products[:, :, :, 0] if products.shape[3] == 1 else products.sum(axis=3)
