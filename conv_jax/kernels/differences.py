"""Finite differences: kernels whose correlation approximates a derivative of the image."""

import math
import operator
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from jaxtyping import Array, ArrayLike, Float, Shaped

from conv_jax.kernels.arguments import (
    Number,
    along,
    as_taps,
    checked_axis,
    direction,
    namespace,
    whole,
)

_MOST_TAPS = 10_000


def finite_difference(
    order: int,
    accuracy: int = 2,
    *,
    axis: int,
    offsets: str | Sequence[int] | None = None,
    exact: bool = False,
) -> Float[Array, "kH kW"] | np.ndarray:
    """Return the kernel that approximates a derivative along one axis of the image.

    sum_j c_j x[i + o_j] = x^(order)[i] + O(h^accuracy), by the c that solve
    sum_j c_j o_j^m = order! [m == order] for m = 0 ... number of offsets - 1, in rational numbers.

    Args:
      order: of the derivative, at least 1; 1 is the slope.
      accuracy: power of the distance of neighbouring pixels in the error, at least 1; central
        differences reach even ones only, so that an odd one becomes the next. Of no effect where
        offsets are listed.
      axis: 1 for a row [1, k] that differentiates to the right, 0 for a column [k, 1] downwards.
      offsets: the pixels used: "central" (unless told otherwise), "forward" (0, 1, 2, ...),
        "backward", or at least order + 1 different whole numbers.
      exact: return a NumPy array of `fractions.Fraction` instead.

    Returns:
      [1, k] or [k, 1], from the least offset to the largest, with 0 for those left out; tap j
      belongs to the offset least + j. A central kernel lies about its centre, so that `corr2d`
      with padding "same" puts the derivative where it belongs.

    Raises:
      ValueError: for an order or accuracy below 1, an axis other than 0 and 1, and offsets that
        repeat or are fewer than order + 1, for no such kernel exists.

    Source: Fornberg, Generation of Finite Difference Formulas on Arbitrarily Spaced Grids (1988).

    >>> finite_difference(2, axis=1).tolist()
    [[1.0, -2.0, 1.0]]
    >>> print(*finite_difference(1, 3, axis=1, offsets="forward", exact=True)[0])
    -11/6 3 -3/2 1/3
    """
    order, accuracy = whole("order", order, at_least=1), whole("accuracy", accuracy, at_least=1)
    places = _places(order, accuracy, "central" if offsets is None else offsets)
    taps = np.full(max(places) - min(places) + 1, Fraction(0))
    taps[np.array(places) - min(places)] = _weights(order, places)
    kernel = along(taps, checked_axis(axis))
    return kernel if exact else as_taps(kernel)


def directional_derivative(
    vector: Sequence[Number] | Shaped[ArrayLike, "2"], order: int = 1, *, isotropic: bool = False
) -> Float[Array, "k k"]:
    """Return the kernel of the derivative along a vector.

    K = (v1 D_y + v2 D_x)^order: for order 1 v1 D_y + v2 D_x, above it by the binomial theorem,
    where D^j is the central difference of order j and accuracy 2.

    Args:
      vector: v = (v1, v2) = (down, right), not zero; a vector twice as long gives twice the
        derivative. May be traced.
      order: of the derivative, at least 1.
      isotropic: smooth every difference across by [1, 4, 1] / 6 and compose the orders, which
        makes the leading error the same in all directions: a wave exp(i w x) answers
        (i v.w (1 - |w|^2 / 6))^order, up to terms of |w|^4 within. Without it the error is
        larger along the axes than between them.

    Returns:
      [k, k], k = 2 floor((order + 1) / 2) + 1, or 2 order + 1 if isotropic.

    Raises:
      ValueError: for a vector that is zero or not of two finite numbers, and an order below 1.

    Source: Bickley, Finite Difference Formulae for the Square Lattice (1948), for [1, 4, 1] / 6.

    >>> directional_derivative((0, 2)).tolist()
    [[0.0, 0.0, 0.0], [-1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """
    down, right = direction(vector)
    order = whole("order", order, at_least=1)
    terms = [
        math.comb(order, j) * down**j * right ** (order - j) * part
        for j, part in enumerate(_partial_derivatives(order, isotropic=isotropic))
    ]
    return as_taps(sum(terms))


def edge(vector: Sequence[Number] | Shaped[ArrayLike, "2"]) -> Float[Array, "3 3"]:
    """Return the kernel that detects edges orthogonal to a vector.

    The isotropic derivative along v / |v|: a ramp of slope 1 along v answers 1, an image that is
    constant along v, as one with edges in the direction of v, 0.

    Args:
      vector: v = (v1, v2) = (down, right), not zero; the edges run along (v2, -v1). May be traced.

    Returns:
      [3, 3].

    Raises:
      ValueError: for a vector that is zero or not of two finite numbers.

    Source: the chapter's exercise 2.1.

    >>> (12 * edge((0, 5))).round().tolist()
    [[-1.0, 0.0, 1.0], [-4.0, 0.0, 4.0], [-1.0, 0.0, 1.0]]
    """
    down, right = direction(vector)
    length = namespace(down, right).hypot(down, right)
    return directional_derivative((down / length, right / length), isotropic=True)


def laplacian(
    *, neighbours: int = 4, accuracy: int = 2, normalized: bool = False
) -> Float[Array, "k k"]:
    """Return the kernel of the sum of the second derivatives down and right.

    out ~ d^2 image / dy^2 + d^2 image / dx^2

    Args:
      neighbours: 4, the sum of second differences along both axes; or 8, along both diagonals too:
        [[1, 1, 1], [1, -8, 1], [1, 1, 1]], which answers three times the Laplacian.
      accuracy: of the second differences, as for `finite_difference`; 2 for 8 neighbours.
      normalized: divide by 3 where there are 8 neighbours, so that the answer is the Laplacian.

    Returns:
      [3, 3], or [k, k] for an accuracy above 2; the taps sum to 0.

    Raises:
      ValueError: for other numbers of neighbours, or 8 with an accuracy other than 2.

    Source: Gonzalez and Woods, Digital Image Processing (2018), section 3.6.

    >>> laplacian().tolist()
    [[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]
    """
    if neighbours not in (4, 8):
        raise ValueError(f"neighbours: expected 4 or 8, got {neighbours!r}")
    if neighbours == 8:
        if accuracy != 2:
            raise ValueError(f"accuracy: expected 2 with 8 neighbours, got {accuracy!r}")
        taps = np.ones((3, 3))
        taps[1, 1] = -8
        return as_taps(taps / 3 if normalized else taps)
    second = finite_difference(2, accuracy, axis=1, exact=True)[0]
    middle = np.eye(len(second), dtype=int)[len(second) // 2]
    return as_taps(np.outer(second, middle) + np.outer(middle, second))


def _partial_derivatives(order: int, *, isotropic: bool) -> list[np.ndarray]:
    """Return D_y^j D_x^(order - j) for j = 0 ... order, all of one size."""
    if isotropic:
        difference, across = np.array([-0.5, 0, 0.5]), np.array([1, 4, 1]) / 6
        powers = [
            _convolution_power([difference] * j + [across] * (order - j)) for j in range(order + 1)
        ]
    else:
        powers = [np.ones(1)]
        powers += [
            np.array(finite_difference(j, axis=1, exact=True)[0], dtype=float)
            for j in range(1, order + 1)
        ]
        powers = [np.pad(p, (len(powers[-1]) - len(p)) // 2) for p in powers]
    return [np.outer(powers[j], powers[order - j]) for j in range(order + 1)]


def _convolution_power(factors: Sequence[np.ndarray]) -> np.ndarray:
    product = np.ones(1)
    for factor in factors:
        product = np.convolve(product, factor)
    return product


def _places(order: int, accuracy: int, offsets: str | Sequence[int]) -> list[int]:
    """Return the offsets, sorted."""
    if isinstance(offsets, str):
        half = (order + 1) // 2 + (accuracy + 1) // 2 - 1
        words = {
            # Symmetry annuls every second term of the error.
            "central": range(-half, half + 1),
            "forward": range(order + accuracy),
            "backward": range(1 - order - accuracy, 1),
        }
        if offsets not in words:
            known = ", ".join(map(repr, words))
            raise ValueError(f"offsets: expected {known} or whole numbers, got {offsets!r}")
        return list(words[offsets])
    expected = f"at least {order + 1} different whole numbers for a derivative of order {order}"
    try:
        places = sorted(operator.index(offset) for offset in offsets)
    except TypeError:
        raise ValueError(f"offsets: expected {expected}, got {offsets!r}") from None
    if places and places[-1] - places[0] >= _MOST_TAPS:
        raise ValueError(f"offsets: expected a span of fewer than {_MOST_TAPS}, got {offsets!r}")
    if len(set(places)) < len(places) or len(places) < order + 1:
        raise ValueError(f"offsets: expected {expected}, got {offsets!r}")
    return places


def _weights(order: int, places: Sequence[int]) -> list[Fraction]:
    """Return order! times the coefficient of o^order in each of Lagrange's polynomials.

    The polynomial of a place is 1 there and 0 at the others, so these are the derivatives at 0 of
    the polynomial through the pixels: the solution of the Vandermonde system.
    """
    return [math.factorial(order) * _lagrange(place, places)[order] for place in places]


def _lagrange(place: int, places: Sequence[int]) -> list[Fraction]:
    """Return the coefficients, from degree 0 on, of prod_{q != place} (o - q) / (place - q)."""
    coefficients = [Fraction(1)]
    for other in places:
        if other != place:
            raised, lowered = [Fraction(0), *coefficients], [*coefficients, Fraction(0)]
            coefficients = [
                (a - other * b) / (place - other) for a, b in zip(raised, lowered, strict=True)
            ]
    return coefficients
