"""Kernels that average: box, binomial, disk and motion; and those that sharpen by an average."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Float

from conv_jax.kernels.arguments import (
    Known,
    Number,
    as_taps,
    centre,
    known_number,
    known_positive,
    number,
    odd_sizes,
)
from conv_jax.kernels.gaussians import Sigma, gaussian_taps
from conv_jax.padding import positive_pair


def box(size: int | Sequence[int]) -> Float[Array, "kH kW"]:
    """Return the mean of a window.

    out[i, j] = sum_{a, b} image[i + a, j + b] / (kH kW)

    Args:
      size: height and width, or one number for both, at least 1.

    Returns:
      [kH, kW], every tap 1 / (kH kW).

    Raises:
      ValueError: for a size that is not of whole numbers of at least 1.

    Source: Gonzalez and Woods, Digital Image Processing (2018), section 3.5.

    >>> box((1, 4)).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    height, width = positive_pair("size", size)
    return as_taps(np.full((height, width), 1 / (height * width)))


def binomial(size: int | Sequence[int]) -> Float[Array, "kH kW"]:
    """Return the outer product of two rows of Pascal's triangle, each scaled to sum to 1.

    k[a, b] = binom(kH - 1, a) binom(kW - 1, b) / 2^(kH + kW - 2): the mean of two neighbours,
    size - 1 times along each axis, near a Gaussian of standard
    deviation sqrt(size - 1) / 2, and 0 at the highest frequency.

    Args:
      size: height and width, or one number for both, at least 1.

    Returns:
      [kH, kW].

    Raises:
      ValueError: for a size that is not of whole numbers of at least 1.

    Source: Aubury and Luk, Binomial Filters (1996).

    >>> (16 * binomial(3)).tolist()
    [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]
    """
    column, row = (
        np.array([math.comb(k - 1, j) / 2 ** (k - 1) for j in range(k)])
        for k in positive_pair("size", size)
    )
    return as_taps(np.outer(column, row))


def disk(radius: Known) -> Float[Array, "k k"]:
    """Return the mean of a disk: a lens out of focus.

    Each tap is the area of the pixel inside the circle, exactly, over the area of the circle.

    Args:
      radius: in pixels, above 0; known when the call is traced.

    Returns:
      [k, k], k = 2 ceil(radius - 1/2) + 1.

    Raises:
      ValueError: for a radius that is not a number above 0.

    Source: Banham and Katsaggelos, Digital Image Restoration (1997), for the model.

    >>> disk(0.5).tolist()
    [[1.0]]
    """
    radius = known_positive("radius", radius)
    reach = max(math.ceil(radius - 0.5), 0)
    borders = np.arange(-reach, reach + 2) - 0.5
    areas = np.diff(np.diff(_area_within(borders[:, None], borders[None, :], radius), axis=0))
    areas = np.maximum(areas, 0)  # outside the circle they cancel, but for rounding
    return as_taps(areas / areas.sum())


def motion(length: Known, *, angle: Known = 0.0) -> Float[Array, "kH kW"]:
    """Return the mean along a straight line: an image that moves while it is exposed.

    Each tap is the length of the line within the pixel over the whole; the line is centred.

    Args:
      length: of the line in pixels, above 0; known when the call is traced.
      angle: of the line, from right towards down, in radians; known as well.

    Returns:
      [kH, kW], the odd sizes that hold the line.

    Raises:
      ValueError: for a length that is not a number above 0.

    Source: Banham and Katsaggelos, Digital Image Restoration (1997), for the model.

    >>> motion(4, angle=0).tolist()
    [[0.125, 0.25, 0.25, 0.25, 0.125]]
    """
    length = known_positive("length", length)
    angle = known_number("angle", angle)
    # The nearest doubles of a right angle would leave a hair beside the axis.
    steps = [0.0 if abs(step) < 1e-12 else step for step in (math.sin(angle), math.cos(angle))]
    reach = math.ceil(length / 2 + 0.5)
    borders = np.arange(-reach, reach + 1) + 0.5
    crossings = [borders / step for step in steps if step]
    stops = np.unique(np.clip(np.concatenate([*crossings, [0.0]]), -length / 2, length / 2))
    stops = np.unique(np.append(stops, [-length / 2, length / 2]))
    middles = (stops[1:] + stops[:-1]) / 2
    rows, columns = (np.rint(middles * step).astype(int) for step in steps)
    half_height, half_width = abs(rows).max(), abs(columns).max()
    taps = np.zeros((2 * half_height + 1, 2 * half_width + 1))
    np.add.at(taps, (rows + half_height, columns + half_width), np.diff(stops) / length)
    return as_taps(taps)


def sharpen(amount: Number = 1.0) -> Float[Array, "3 3"]:
    """Return the image less a multiple of its Laplacian.

    k = identity - amount * laplacian

    Args:
      amount: the multiple; 0 leaves the image as it is, below 0 blurs. May be traced.

    Returns:
      [3, 3], of sum 1.

    Raises:
      ValueError: for an amount that is not a finite number.

    Source: Gonzalez and Woods, Digital Image Processing (2018), section 3.6.

    >>> sharpen().tolist()
    [[0.0, -1.0, 0.0], [-1.0, 5.0, -1.0], [0.0, -1.0, 0.0]]
    """
    curvature = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    return as_taps(centre((3, 3)) - number("amount", amount) * curvature)


def unsharp(
    sigma: Sigma,
    amount: Number = 1.0,
    *,
    size: int | Sequence[int] | None = None,
    truncate: Known = 4.0,
) -> Float[Array, "kH kW"]:
    """Return unsharp masking: the image and a multiple of what a Gaussian blur takes from it.

    k = identity + amount * (identity - gaussian)

    Args:
      sigma: of the Gaussian, as for `gaussian`.
      amount: the multiple; 0 leaves the image as it is, -1 blurs it. May be traced.
      size: as for `gaussian`, but odd.
      truncate: as for `gaussian`.

    Returns:
      [kH, kW], of sum 1.

    Raises:
      ValueError: as `gaussian`, for an amount that is not a finite number, and an even size.

    Source: Gonzalez and Woods, Digital Image Processing (2018), section 3.6.

    >>> float(unsharp(1.0, 0.0).max())
    1.0
    """
    amount = number("amount", amount)
    sizes = None if size is None else odd_sizes(size)
    blur = gaussian_taps(sigma, sizes, truncate=truncate)
    image = centre(blur.shape)
    return as_taps(image + amount * (image - blur))


def _area_within(
    y: Float[np.ndarray, "rows 1"], x: Float[np.ndarray, "1 columns"], radius: Known
) -> Float[np.ndarray, "rows columns"]:
    """Return the area of a disk about 0 within the rectangle from (0, 0) to (y, x), with sign.

    For y, x >= 0 it is the integral over t from 0 to x of min(y, sqrt(radius^2 - t^2)): a
    rectangle up to where the circle is y high, and below the circle from there on.
    """
    top, right = (np.minimum(abs(limit), radius) for limit in (y, x))
    meeting = np.minimum(np.sqrt(radius**2 - top**2), right)

    def below(t: np.ndarray) -> np.ndarray:
        return (t * np.sqrt(radius**2 - t**2) + radius**2 * np.arcsin(t / radius)) / 2

    return np.sign(y) * np.sign(x) * (meeting * top + below(right) - below(meeting))
