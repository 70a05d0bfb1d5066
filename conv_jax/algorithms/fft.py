"""Correlation by the fast Fourier transform."""

import jax.numpy as jnp
from jaxtyping import Array, Complex, Num

from conv_jax import padding
from conv_jax.algorithms import tiles
from conv_jax.algorithms.circle import bend, convolves, fast_length, take, within_reach
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
    images are cut into strips that overlap by the kernel (overlap-save). In the gradient of an
    image it is F^-1( F(image) F(flipped kernel) ), which shares transforms (`circle.convolves`).

    The time hardly depends on the kernel. Unlike those of a sum, all errors are of one size:
    |error| <= 12 log2(n) eps ||image||_2 ||kernel||_2, with n the pixels of the transform (from
    Higham, Accuracy and Stability of Numerical Algorithms, 24.1), so that small outputs beside
    large ones lose digits; and one NaN or infinity, or a product of transforms beyond the dtype's
    range, makes all outputs NaN. Not for integers.
    """
    kernel = padding.dilate(kernel, dilation)
    extent = (kernel.shape[-2], kernel.shape[-1])
    height, width = padding.output_shape(image.shape, extent, stride=stride, padding=pads)
    padded = image.shape[-2] + sum(pads[0])
    rows = strip_height(padded, image.shape[-1] + sum(pads[1]), extent[0])
    if rows == padded or convolves(extent, pads):
        return _whole(image, kernel, (height, width), stride, pads)
    image = padding.pad(image, (pads[0], (0, 0)))
    strips = _strips(image, extent[0], rows)  # [G, N, strips, C, rows, W]
    groups, images, count, *_ = strips.shape
    sums = _whole(
        strips.reshape(groups, -1, *strips.shape[3:]),
        kernel,
        (rows - extent[0] + 1, width),
        (1, stride[1]),
        ((0, 0), pads[1]),
    )
    sums = sums.reshape(groups, images, count, *sums.shape[2:]).swapaxes(2, 3)
    sums = sums.reshape(groups, images, -1, count * (rows - extent[0] + 1), width)
    return sums[..., : (height - 1) * stride[0] + 1 : stride[0], :]


def strip_height(height: int, width: int, kernel_height: int) -> int:
    """Return how many rows are transformed at once: all, or some that the kernel fits well."""
    rows = fast_length(max(_STRIP // width, 4 * kernel_height))
    return height if height <= rows else rows


def _strips(
    image: Num[Array, "G N C H W"], kernel_height: int, rows: int
) -> Num[Array, "G N strips C rows W"]:
    """Cut into strips that overlap by kernel_height - 1 rows, the last filled up with zeros."""
    step = rows - kernel_height + 1
    count = max(1, -(-(image.shape[-2] - kernel_height + 1) // step))
    return tiles.overlapping(image, count, step=step, rows=rows).swapaxes(2, 3)


def _whole(
    image: Num[Array, "G N C H W"],
    kernel: Num[Array, "G O C kH kW"],
    size: Pair,
    stride: Pair,
    pads: Pads,
) -> Num[Array, "G N O H_out W_out"]:
    """Correlate without cutting, to results of this size."""
    extent = (kernel.shape[-2], kernel.shape[-1])
    image, pads = within_reach(image, extent, pads)
    convolved = convolves(extent, pads)
    circles = bend(image.shape[-2:], extent, pads, convolved=convolved)
    lengths = circles[0].length, circles[1].length
    weights = jnp.flip(kernel, (-2, -1)) if convolved else kernel.conj()
    pixels, weights = _transform(image, lengths), _transform(weights, lengths)
    products = pixels[:, :, None] * (weights if convolved else weights.conj())[:, None]
    product = products[:, :, :, 0] if products.shape[3] == 1 else products.sum(axis=3)
    if jnp.issubdtype(image.dtype, jnp.complexfloating):
        sums = jnp.fft.ifft2(product)
    else:
        sums = jnp.fft.irfft2(product, lengths)
    for axis, (circle, count, step) in enumerate(zip(circles, size, stride, strict=True), 3):
        sums = take(sums, circle, count, stride=step, axis=axis)
    return sums


def _transform(
    array: Num[Array, "*axes H W"], lengths: Pair
) -> Complex[Array, "*axes F_rows F_columns"]:
    """Transform the last two axes, the others as one: so that XLA finds what it has computed."""
    flat = array.reshape(-1, *array.shape[-2:])
    is_complex = jnp.issubdtype(array.dtype, jnp.complexfloating)
    transform = jnp.fft.fft2(flat, lengths) if is_complex else jnp.fft.rfft2(flat, lengths)
    return transform.reshape(*array.shape[:-2], *transform.shape[-2:])
