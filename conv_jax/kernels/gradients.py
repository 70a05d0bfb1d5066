"""The classic pairs of small kernels for the gradient of an image."""

import numpy as np
from jaxtyping import Array, Float

from conv_jax.kernels.arguments import (
    along,
    as_taps,
    checked_axis,
)

# Farid and Simoncelli, Differentiation of Discrete Multidimensional Signals (2004), table I, five
# taps: the prefilter and the derivative, from the outermost tap to the centre.
_FARID_ACROSS = (0.0376593171958126, 0.249153396177344, 0.426374573253687)
_FARID_ALONG = (0.109603762960254, 0.276690988455557, 0.0)


def sobel(*, axis: int, normalized: bool = False) -> Float[Array, "3 3"]:
    """Return Sobel's derivative: a central difference, smoothed across by [1, 2, 1].

    Args:
      axis: 0 for the derivative down, 1 for the one to the right.
      normalized: divide by 8, so that the answer is the slope, per pixel; else whole numbers.

    Returns:
      [3, 3].

    Raises:
      ValueError: for another axis.

    Source: Sobel and Feldman, A 3x3 Isotropic Gradient Operator for Image Processing (1968).

    >>> sobel(axis=1).tolist()
    [[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]
    """
    return _smoothed_difference((1, 2, 1), axis=axis, normalized=normalized)


def prewitt(*, axis: int, normalized: bool = False) -> Float[Array, "3 3"]:
    """Return Prewitt's derivative: a central difference, averaged across by [1, 1, 1].

    Args:
      axis: 0 for the derivative down, 1 for the one to the right.
      normalized: divide by 6, so that the answer is the slope, per pixel; else whole numbers.

    Returns:
      [3, 3].

    Raises:
      ValueError: for another axis.

    Source: Prewitt, Object Enhancement and Extraction (1970).

    >>> prewitt(axis=0).tolist()
    [[-1.0, -1.0, -1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """
    return _smoothed_difference((1, 1, 1), axis=axis, normalized=normalized)


def scharr(*, axis: int, normalized: bool = False) -> Float[Array, "3 3"]:
    """Return Scharr's derivative: a central difference, smoothed across by [3, 10, 3].

    Its direction errs less than Sobel's over the frequencies of an image.

    Args:
      axis: 0 for the derivative down, 1 for the one to the right.
      normalized: divide by 32, so that the answer is the slope, per pixel; else whole numbers.

    Returns:
      [3, 3].

    Raises:
      ValueError: for another axis.

    Source: Scharr, Optimale Operatoren in der Digitalen Bildverarbeitung (2000).

    >>> scharr(axis=1).tolist()[1]
    [-10.0, 0.0, 10.0]
    """
    return _smoothed_difference((3, 10, 3), axis=axis, normalized=normalized)


def farid(*, axis: int, normalized: bool = False) -> Float[Array, "5 5"]:
    """Return the derivative of Farid and Simoncelli with five taps a side.

    Args:
      axis: 0 for the derivative down, 1 for the one to the right.
      normalized: scale so that a ramp answers its slope, per pixel; as published it answers 0.9918
        times that, for it is fitted to all frequencies.

    Returns:
      [5, 5].

    Raises:
      ValueError: for another axis.

    Source: Farid and Simoncelli, Differentiation of Discrete Multidimensional Signals (2004).

    >>> farid(axis=1).shape
    (5, 5)
    """
    across = np.array([*_FARID_ACROSS, *_FARID_ACROSS[-2::-1]])
    derivative = np.array([*_FARID_ALONG, *_FARID_ALONG[-2::-1]]) * (-1, -1, 0, 1, 1)
    return _outer(across, derivative, axis=axis, normalized=normalized)


def roberts(*, axis: int, normalized: bool = False) -> Float[Array, "2 2"]:
    """Return Roberts' cross: the difference of two pixels along a diagonal.

    Args:
      axis: 0 for the diagonal down and right, 1 for the one down and left.
      normalized: divide by sqrt(2), the distance of the two pixels; else whole numbers.

    Returns:
      [2, 2], positive where the image grows down the diagonal.

    Raises:
      ValueError: for another axis.

    Source: Roberts, Machine Perception of Three-Dimensional Solids (1963).

    >>> roberts(axis=0).tolist()
    [[-1.0, 0.0], [0.0, 1.0]]
    """
    taps = np.array([[-1.0, 0.0], [0.0, 1.0]])
    taps = taps[:, ::-1] if checked_axis(axis) else taps
    return as_taps(taps / np.sqrt(2) if normalized else taps)


def _smoothed_difference(
    across: tuple[int, int, int], *, axis: int, normalized: bool
) -> Float[Array, "3 3"]:
    return _outer(np.array(across), np.array([-1, 0, 1]), axis=axis, normalized=normalized)


def _outer(
    across: np.ndarray, derivative: np.ndarray, *, axis: int, normalized: bool
) -> Float[Array, "k k"]:
    """Return the derivative along the axis, smoothed across it."""
    taps = along(derivative, checked_axis(axis)) * along(across, 1 - axis)
    distances = np.arange(len(derivative)) - len(derivative) // 2
    slope = across.sum() * (derivative * distances).sum()  # what a ramp of slope 1 answers
    return as_taps(taps / slope if normalized else taps)
