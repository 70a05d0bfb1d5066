"""Image filters in one call: a designed kernel, `corr2d` and a boundary.

Images are [..., H, W], of any dtype; leading axes are a batch, so an image [H, W, C] takes
`jax.vmap(..., in_axes=-1, out_axes=-1)`. Floats keep their type, integers and booleans become
JAX's default float. Every filter keeps the size of the image and is differentiable. The boundary
"symmetric", unless told otherwise, is what scipy.ndimage and scikit-image call "reflect". Where
a filter is said to equal scikit-image's, that is for floats: it divides integers by their range.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Inexact, Shaped

from conv_jax import dtypes, kernels
from conv_jax.correlation import corr2d
from conv_jax.kernels.arguments import Known, Number, number, odd_sizes, positive_numbers
from conv_jax.kernels.gaussians import Sigma, kernel_size
from conv_jax.padding import did_you_mean

_GRADIENTS: dict[str, Callable[..., Any]] = {
    "central": lambda *, axis, normalized: kernels.finite_difference(1, axis=axis),
    "sobel": kernels.sobel,
    "prewitt": kernels.prewitt,
    "scharr": kernels.scharr,
    "farid": kernels.farid,
}


def gaussian_blur(
    image: Shaped[ArrayLike, "*batch H W"] | list,
    sigma: Sigma,
    *,
    truncate: Known = 4.0,
    size: int | Sequence[int] | None = None,
    boundary: str = "symmetric",
    fill_value: Number = 0,
) -> Inexact[Array, "*batch H W"]:
    """Blur images with a Gaussian, one axis at a time.

    As scipy.ndimage.gaussian_filter, to rounding.

    Args:
      image: [..., H, W].
      sigma: standard deviation in pixels, above 0; or two, (down, right). May be traced, and
        differentiated, where `size` is given.
      truncate: half the kernel's size in standard deviations, above 0.
      size: height and width of the kernel, or one number for both, odd; else 2 floor(truncate
        sigma + 1/2) + 1.
      boundary: as for `corr2d`.
      fill_value: the constant of boundary "constant".

    Returns:
      [..., H, W].

    Raises:
      ValueError: names the argument: a sigma or truncate that is not above 0, an even size, and
        what `corr2d` refuses.

    >>> gaussian_blur(jnp.ones((4, 5)), 1.0).shape
    (4, 5)
    """
    array = _as_floats(image)
    blurred = _blurred(
        array, sigma, truncate=truncate, size=size, boundary=boundary, fill_value=fill_value
    )
    return blurred.astype(array.dtype)


def difference_of_gaussians(
    image: Shaped[ArrayLike, "*batch H W"] | list,
    sigma: Sigma,
    *,
    ratio: Number = 1.6,
    truncate: Known = 4.0,
    size: int | Sequence[int] | None = None,
    boundary: str = "symmetric",
    fill_value: Number = 0,
) -> Inexact[Array, "*batch H W"]:
    """Blur images twice and subtract: what lies between two scales.

    As skimage.filters.difference_of_gaussians with the same boundary.

    Args:
      image: [..., H, W].
      sigma: standard deviation of the narrow Gaussian in pixels, as for `gaussian_blur`.
      ratio: of the wide one's to that, above 1. May be traced where `size` is given.
      truncate: half the kernels' sizes in standard deviations, above 0.
      size: of both kernels, as for `gaussian_blur`.
      boundary: as for `corr2d`.
      fill_value: the constant of boundary "constant".

    Returns:
      [..., H, W], the narrow blur less the wide one.

    Raises:
      ValueError: for a sigma that is not above 0 or a ratio that is not above 1.

    >>> bool(abs(difference_of_gaussians(jnp.ones((4, 5)), 1.0)).max() < 1e-6)
    True
    """
    array = _as_floats(image)
    down, right = positive_numbers("sigma", sigma)
    ratio = number("ratio", ratio, expected="a finite number above 1", above=1)
    narrow, wide = (
        _blurred(array, s, truncate=truncate, size=size, boundary=boundary, fill_value=fill_value)
        for s in ((down, right), (down * ratio, right * ratio))
    )
    return (narrow - wide).astype(array.dtype)


def gradient(
    image: Shaped[ArrayLike, "*batch H W"] | list,
    *,
    kernel: str | None = None,
    sigma: Sigma | None = None,
    truncate: Known = 4.0,
    size: int | Sequence[int] | None = None,
    boundary: str = "symmetric",
    fill_value: Number = 0,
) -> Inexact[Array, "*batch 2 H W"]:
    """Return the slope of images down and to the right, in grey levels per pixel.

    Args:
      image: [..., H, W].
      kernel: "central" (unless told otherwise: a difference over two pixels), "sobel", "prewitt",
        "scharr" or "farid", scaled so that a ramp answers its slope.
      sigma: take the derivative of a Gaussian of this standard deviation instead: the slope of
        the blurred image (`kernels.gaussian_derivative`). May be traced where `size` is given.
      truncate: half the size of that Gaussian in standard deviations, above 0.
      size: of that Gaussian, as for `gaussian_blur`.
      boundary: as for `corr2d`.
      fill_value: the constant of boundary "constant".

    Returns:
      [..., 2, H, W]: down, then right.

    Raises:
      ValueError: for an unknown kernel, both a kernel and a sigma, or a size without a sigma.

    >>> gradient([[0.0, 1.0, 4.0]])[1]
    Array([[0.5, 2. , 1.5]], dtype=float32)
    """
    array = _as_floats(image)
    if sigma is None:
        if size is not None:
            raise ValueError(f"size: expected none without a sigma, got {size!r}")
        pair = _pair(kernel)
    elif kernel is None:
        sizes = None if size is None else odd_sizes(size)
        pair = [
            kernels.gaussian_derivative(sigma, order, sizes, truncate=truncate)
            for order in ((1, 0), (0, 1))
        ]
    else:
        raise ValueError(f"kernel: expected none beside a sigma, got {kernel!r}")
    slopes = _slopes(array, pair, boundary=boundary, fill_value=fill_value)
    return slopes.astype(array.dtype)


def sobel_magnitude(
    image: Shaped[ArrayLike, "*batch H W"] | list,
    *,
    boundary: str = "symmetric",
    fill_value: Number = 0,
) -> Inexact[Array, "*batch H W"]:
    """Return how strong edges are: Sobel's derivatives down and right, as a length.

    sqrt(2) |slope|, the scale of skimage.filters.sobel: an ideal step of height 1 along an axis
    answers 1 / sqrt(2) on both sides. Its derivative is 0 where there is no edge.

    Args:
      image: [..., H, W].
      boundary: as for `corr2d`.
      fill_value: the constant of boundary "constant".

    Returns:
      [..., H, W], at least 0.

    Raises:
      ValueError: what `corr2d` refuses.

    >>> float(sobel_magnitude(jnp.ones((4, 5))).max())
    0.0
    """
    array = _as_floats(image)
    slopes = _slopes(array, _pair("sobel"), boundary=boundary, fill_value=fill_value)
    return (math.sqrt(2) * _length(slopes)).astype(jnp.finfo(array.dtype).dtype)


def structure_tensor(
    image: Shaped[ArrayLike, "*batch H W"] | list,
    sigma: Sigma,
    *,
    kernel: str = "sobel",
    truncate: Known = 4.0,
    size: int | Sequence[int] | None = None,
    boundary: str = "symmetric",
    fill_value: Number = 0,
) -> Inexact[Array, "*batch H W 2 2"]:
    """Return the outer product of the gradient with itself, averaged around each pixel.

    Its eigenvectors (`jnp.linalg.eigh`) are the directions of most and least change, its
    eigenvalues how much: two small ones are flat, one large one is an edge, two a corner. 1/64 of
    skimage.feature.structure_tensor, whose slopes are 8 times ours.

    Args:
      image: [..., H, W].
      sigma: standard deviation of the average in pixels, above 0; or two, (down, right).
      kernel: of the gradient, as for `gradient`.
      truncate: as for `gaussian_blur`.
      size: of the average's kernel, as for `gaussian_blur`.
      boundary: as for `corr2d`, of the image and of the average.
      fill_value: the constant of boundary "constant", of both too.

    Returns:
      [..., H, W, 2, 2], axes down and right, symmetric.

    Raises:
      ValueError: for complex images, and as `gradient` and `gaussian_blur`.

    Source: Förstner and Gülch, A Fast Operator for Detection and Precise Location of Distinct
    Points, Corners and Centres of Circular Features (1987).

    >>> structure_tensor(jnp.ones((4, 5)), 1.0).shape
    (4, 5, 2, 2)
    """
    array = _as_floats(image)
    options: dict[str, Any] = {"boundary": boundary, "fill_value": fill_value}
    if jnp.iscomplexobj(array):
        raise ValueError(f"image: expected real numbers, got {array.dtype}")
    slopes = _slopes(array, _pair(kernel), **options)
    down, right = slopes[..., 0, :, :], slopes[..., 1, :, :]
    products = jnp.stack([down * down, down * right, right * right], axis=-3)
    averages = _blurred(products, sigma, truncate=truncate, size=size, **options)
    dd, dr, rr = jnp.moveaxis(averages.astype(array.dtype), -3, 0)
    rows = [jnp.stack([dd, dr], axis=-1), jnp.stack([dr, rr], axis=-1)]
    return jnp.stack(rows, axis=-2)


def _as_floats(
    image: Shaped[ArrayLike, "*batch H W"] | list,
) -> Inexact[Array, "*batch H W"]:
    """Return the image in the type of the result."""
    array = dtypes.as_array("image", image)
    return array if jnp.issubdtype(array.dtype, jnp.inexact) else array.astype(float)


def _pair(kernel: str | None) -> list[Float[Array, "_ _"]]:
    """Return the kernels of a gradient, down and right."""
    name = "central" if kernel is None else kernel
    if not isinstance(name, str) or name not in _GRADIENTS:
        known = ", ".join(map(repr, _GRADIENTS))
        hint = did_you_mean(name, _GRADIENTS)
        raise ValueError(f"kernel: expected one of {known}, got {name!r}{hint}")
    return [_GRADIENTS[name](axis=axis, normalized=True) for axis in (0, 1)]


def _slopes(
    image: Inexact[Array, "*batch H W"], pair: list[Float[Array, "_ _"]], **options: Any
) -> Inexact[Array, "*batch 2 H W"]:
    return jnp.stack([_filter(image, kernel, **options) for kernel in pair], axis=-3)


def _blurred(
    image: Inexact[Array, "*batch H W"],
    sigma: Sigma,
    *,
    truncate: Known,
    size: int | Sequence[int] | None,
    **options: Any,
) -> Inexact[Array, "*batch H W"]:
    down, right = positive_numbers("sigma", sigma)
    sizes = None if size is None else odd_sizes(size)
    height, width = kernel_size(sizes, (down, right), truncate=truncate)
    column = kernels.gaussian(down, (height, 1))[:, 0]
    row = kernels.gaussian(right, (1, width))[0]
    return _filter(image, (column, row), **options)


def _filter(
    image: Inexact[Array, "*batch H W"], kernel: Any, **options: Any
) -> Inexact[Array, "*batch H W"]:
    """Correlate in at least 32 bits, keeping the size: what is squared must not overflow before."""
    dtype = jnp.promote_types(image.dtype, jnp.float32)
    taps = jax.tree.map(lambda part: part.astype(jnp.finfo(dtype).dtype), kernel)
    return corr2d(image.astype(dtype), taps, padding="same", **options)


def _length(slopes: Inexact[Array, "*batch 2 H W"]) -> Float[Array, "*batch H W"]:
    """Return the Euclidean length, whose derivative at 0 is 0 rather than not a number.

    Scaled by the larger part, so that no square overflows or vanishes.
    """
    parts = abs(slopes)
    scale = lax.stop_gradient(parts.max(axis=-3))
    is_zero = scale == 0
    scale = jnp.where(is_zero, 1, scale)
    squares = ((parts / scale[..., None, :, :]) ** 2).sum(axis=-3)
    return scale * jnp.where(is_zero, 0, jnp.sqrt(jnp.where(is_zero, 1, squares)))
