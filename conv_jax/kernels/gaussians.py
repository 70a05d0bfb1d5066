"""Gaussians, their derivatives, and differences of them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Array, ArrayLike, Float, Shaped

from conv_jax.kernels.arguments import (
    Known,
    Number,
    as_taps,
    is_known,
    known_positive,
    namespace,
    number,
    offsets,
    positive,
    positive_numbers,
    whole,
)
from conv_jax.padding import Pair, positive_pair

Sigma = Number | tuple[Number, Number] | list | Shaped[ArrayLike, "2"]


def gaussian(
    sigma: Sigma,
    size: int | Sequence[int] | None = None,
    *,
    truncate: Known = 4.0,
    angle: Number = 0.0,
) -> Float[Array, "kH kW"]:
    """Return a Gaussian, sampled at the pixels and scaled to sum to 1.

    k[y, x] ~ exp(-(y'^2 / sigma_down^2 + x'^2 / sigma_right^2) / 2), with (y', x') the distance
    from the centre, turned back by the angle.

    Args:
      sigma: standard deviation in pixels, above 0; or two, (down, right). May be traced if `size`
        is given.
      size: height and width of the kernel, or one number for both; else 2 floor(t + 1/2) + 1 with
        t = truncate * sigma along each axis, as in scipy.ndimage.
      truncate: half the size in standard deviations, above 0.
      angle: by which the two axes are turned from right towards down, in radians. May be traced
        if `size` is given.

    Returns:
      [kH, kW], no tap below 0.

    Raises:
      ValueError: for a sigma or truncate that is not above 0, and sizes below 1.

    Source: Lindeberg, Scale-Space for Discrete Signals (1990), for Gaussians sampled at pixels.

    >>> print((100 * gaussian(1.0, 3)).round())
    [[ 8. 12.  8.]
     [12. 20. 12.]
     [ 8. 12.  8.]]
    """
    return as_taps(gaussian_taps(sigma, size, truncate=truncate, angle=angle))


def gaussian_taps(
    sigma: Sigma,
    size: int | Sequence[int] | None,
    *,
    truncate: Known,
    angle: Number = 0.0,
) -> Any:
    """Return what `gaussian` does, in float64 and NumPy where all is known."""
    sigmas, angle = positive_numbers("sigma", sigma), number("angle", angle)
    xp = namespace(sigmas, angle)
    cos, sin = xp.cos(angle), xp.sin(angle)
    along_axes = (
        xp.hypot(sigmas[0] * cos, sigmas[1] * sin),
        xp.hypot(sigmas[0] * sin, sigmas[1] * cos),
    )
    height, width = kernel_size(size, along_axes, truncate=truncate)
    down, right = offsets(height)[:, None], offsets(width)[None, :]
    turned = cos * down - sin * right, sin * down + cos * right
    exponent = ((turned[0] / sigmas[0]) ** 2 + (turned[1] / sigmas[1]) ** 2) / 2
    taps = xp.exp(exponent.min() - exponent)  # the largest is 1, however small sigma is
    return taps / taps.sum()


def gaussian_derivative(
    sigma: Sigma,
    order: Sequence[int],
    size: int | Sequence[int] | None = None,
    *,
    truncate: Known = 4.0,
) -> Float[Array, "kH kW"]:
    """Return a derivative of a Gaussian: the derivative of the image, blurred, in one kernel.

    Along each axis He_n(o / sigma) g(o) / sigma^n, with He_n Hermite's polynomial and g the
    Gaussian, corrected by multiples of the lower ones so that it is exact for polynomials of degree
    n: sum_o k(o) o^m = n! [m == n] for m <= n. So a constant image answers 0 to a derivative, and a
    parabola its curvature. Samples alone, as scipy.ndimage's, miss that by their truncated tail:
    at truncate 4 and order 2 by 0.5 % of sum |k|, at order 3 by 2 %.

    Args:
      sigma: standard deviation in pixels, above 0; or two, (down, right). At least 1/6 along an
        axis with a derivative of order 1 or 2, 1/3 with one of 3 or 4, and so on. May be traced
        if `size` is given.
      order: of the derivatives, (down, right), at least 0 each; 0 blurs.
      size: as for `gaussian`, and larger than the order along each axis.
      truncate: as for `gaussian`.

    Returns:
      [kH, kW].

    Raises:
      ValueError: for a sigma or truncate out of range, orders that are not two whole numbers of at
        least 0, and sizes that do not exceed them.

    Source: Lindeberg, Scale-Space Theory in Computer Vision (1994), for derivatives at a scale.

    >>> gaussian_derivative(1.0, (0, 1), (1, 3)).tolist()
    [[-0.5, 0.0, 0.5]]
    """
    return as_taps(_derivative(sigma, _orders(order), size, truncate=truncate))


def log(
    sigma: Number, size: int | Sequence[int] | None = None, *, truncate: Known = 4.0
) -> Float[Array, "kH kW"]:
    """Return the Laplacian of a Gaussian: the sum of its second derivatives down and right.

    Negative in the centre, so that a bright blob of radius sqrt(2) sigma answers most negatively.

    Args:
      sigma: standard deviation in pixels, above 0. May be traced if `size` is given.
      size: as for `gaussian`, at least 3.
      truncate: as for `gaussian`.

    Returns:
      [kH, kW]; the taps sum to 0.

    Raises:
      ValueError: as `gaussian_derivative`.

    Source: Marr and Hildreth, Theory of Edge Detection (1980).

    >>> print((100 * log(1.0, 9)).round()[4])
    [  0.   1.   4. -10. -32. -10.   4.   1.   0.]
    """
    down = _derivative(sigma, (2, 0), size, truncate=truncate)
    return as_taps(down + _derivative(sigma, (0, 2), size, truncate=truncate))


def dog(
    sigma: Number,
    ratio: Number = 1.6,
    *,
    size: int | Sequence[int] | None = None,
    truncate: Known = 4.0,
) -> Float[Array, "kH kW"]:
    """Return the difference of two Gaussians, the narrow one less the wide one: a band pass.

    Args:
      sigma: standard deviation of the narrow one in pixels, above 0.
      ratio: of the wide one's standard deviation to that, above 1; near 1.6 the difference
        resembles `log` of the opposite sign (Marr and Hildreth 1980, appendix B).
      size: as for `gaussian`; unless given, that of the wide one.
      truncate: as for `gaussian`.

    Returns:
      [kH, kW]; the taps sum to 0.

    Raises:
      ValueError: for a sigma that is not above 0 or a ratio that is not above 1.

    >>> bool(abs(dog(1.0).sum()) < 1e-6)
    True
    """
    sigma = positive("sigma", sigma)
    ratio = number("ratio", ratio, expected="a finite number above 1", above=1)
    sizes = kernel_size(size, (sigma * ratio, sigma * ratio), truncate=truncate)
    narrow = gaussian_taps(sigma, sizes, truncate=truncate)
    return as_taps(narrow - gaussian_taps(sigma * ratio, sizes, truncate=truncate))


def kernel_size(
    size: int | Sequence[int] | None,
    sigmas: tuple[Any, Any],
    *,
    truncate: Known,
    at_least: int = 1,
) -> Pair:
    """Return (kH, kW): the size given, else one that reaches `truncate` standard deviations."""
    truncate = known_positive("truncate", truncate)
    if size is not None:
        return positive_pair("size", size)
    if not is_known(sigmas):
        raise ValueError(
            "size: expected two integers, or one, beside a sigma or angle that is being traced, "
            "got None"
        )
    rows, columns = (
        max(2 * math.floor(truncate * float(s) + 0.5) + 1, at_least | 1) for s in sigmas
    )
    return rows, columns


def _derivative(
    sigma: Sigma, orders: Pair, size: int | Sequence[int] | None, *, truncate: Known
) -> Any:
    """Return what `gaussian_derivative` does, in float64 and NumPy where all is known."""
    sigmas = positive_numbers("sigma", sigma)
    for s, n in zip(sigmas, orders, strict=True):
        least = (n + 1) // 2 / 6  # below, the taps are lost in the rounding of the centre
        if is_known(s) and s < least:
            raise ValueError(
                f"sigma: expected at least {least:.2g} for a derivative of order {n}, got {s}"
            )
    sizes = kernel_size(size, sigmas, truncate=truncate, at_least=max(orders) + 1)
    if any(k <= n for k, n in zip(sizes, orders, strict=True)):
        raise ValueError(f"size: expected more taps than the orders {orders}, got {sizes}")
    axes = zip(sizes, sigmas, orders, strict=True)
    column, row = (_derivative_taps(k, s, n) for k, s, n in axes)
    return column[:, None] * row[None, :]


def _orders(order: Sequence[int]) -> Pair:
    if np.ndim(order) != 1 or len(order) != 2:
        raise ValueError(f"order: expected two whole numbers (down, right), got {order!r}")
    down, right = (whole("order", n, at_least=0) for n in order)
    return down, right


def _derivative_taps(size: int, sigma: Any, order: int) -> Any:
    """Return [size] taps, exact for polynomials of degree `order`.

    Monomials of degree 0 ... n times the Gaussian, which span what Hermite's polynomials do, each
    made exact in turn, so that the moments form a triangle whose rows can be subtracted. Distances
    are in units of the sigma or of the kernel's reach, whichever is less, so that none vanish.
    """
    xp = namespace(sigma)
    unit = xp.minimum(sigma, max((size - 1) / 2, 0.5))
    exponent = (offsets(size) / sigma) ** 2 / 2
    window = xp.exp(exponent.min() - exponent)
    distances = offsets(size) / unit
    exact: list[Any] = []
    for n in range(order + 1):
        taps = distances**n * window
        for m, lower in enumerate(exact):
            taps = taps - (taps * distances**m).sum() / math.factorial(m) * lower
        exact.append(taps * (math.factorial(n) / (taps * distances**n).sum()))
    return exact[order] / unit**order
