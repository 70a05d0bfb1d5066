"""What a kernel does to an image, read off its taps."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Complex, Float, Shaped

from conv_jax import dtypes
from conv_jax.kernels.arguments import (
    Known,
    at_once_if_known,
    is_known,
    known_number,
    offsets,
    real_matrix,
    two,
    whole,
)


class Analysis(NamedTuple):
    """What a kernel does to an image; `analyze` says how each is found."""

    sum: float  # what an image of ones answers: the gain at frequency 0
    norm: float  # Euclidean: by what white noise is scaled
    moments: Float[np.ndarray, "5 5"]  # sum of taps times down^p right^q
    derivative_order: int  # 0 for a blur or identity, 1 for a slope, 2 for a curvature
    direction: tuple[float, float] | None  # (down, right), of length 1; None if there is none
    gain: float  # what the monomial of that order, (distance along the direction)^n / n!, answers
    accuracy: float  # power of the pixel distance in the first error; infinite without an error
    rank: int  # outer products that sum to it; 1 is separable
    frequency_response: Complex[np.ndarray, "F F"]
    is_blur: bool  # taps that are not negative and sum to 1
    is_symmetric: bool  # the same when turned by half a turn
    is_antisymmetric: bool  # of the other sign when turned by half a turn


def analyze(
    kernel: Shaped[ArrayLike, "kH kW"] | list,
    *,
    origin: Sequence[Known] | None = None,
    num_frequencies: int = 64,
) -> Analysis:
    """Say what correlating with a kernel does to an image.

    By Taylor's series the answer is sum_{p, q} M[p, q] / (p! q!) d^(p+q) image / dy^p dx^q, with
    M[p, q] = sum_{y, x} k[y, x] y^p x^q the moments about the origin. The least order p + q with
    a moment that is not 0 is the order of the derivative; the next one is the first error.

    Args:
      kernel: [kH, kW] real numbers, known; not all 0.
      origin: (row, column) of the tap that lies on the pixel of the output; the centre unless
        given, between two taps of an even kernel. A forward difference has (0, 0).
      num_frequencies: F, of the frequency response along each axis.

    Returns:
      An Analysis. A moment counts as 0 where it is smaller than its rounding error, (taps + 4) eps
      times the sum of its absolute terms. The direction is the unit vector u = (down, right) whose
      monomial (u . (y, x))^n / n! answers most, with a positive answer for odd n; the first of
      several, from right on; None where all directions answer alike, as for a blur and a
      Laplacian. The frequency response is that of `frequency_response`.

    Raises:
      ValueError: if it is no matrix of finite real numbers, is being traced, or is all 0.

    Source: Fornberg, Generation of Finite Difference Formulas on Arbitrarily Spaced Grids (1988),
    for derivatives by moments; those of kernels with two axes are the same in Taylor's series.

    >>> difference = analyze([[1.0, -1.0]])  # the chapter's, which falls where the image grows
    >>> difference.derivative_order, difference.direction, difference.accuracy
    (1, (0.0, -1.0), 2.0)
    """
    if isinstance(kernel, Tracer):
        raise ValueError(f"kernel: expected one known when the call is traced, got {kernel!r}")
    given = dtypes.as_array("kernel", kernel).dtype
    taps = np.asarray(real_matrix(kernel), dtype=float)
    if not taps.any():
        raise ValueError(f"kernel: expected a tap that is not 0, got {taps.shape} zeros")
    eps = float(jnp.finfo(given).eps) if jnp.issubdtype(given, jnp.floating) else 0.0
    rows, columns = _distances(taps.shape, origin)

    def is_present(n: int) -> bool:
        return _has_terms(taps, rows, columns, order=n, eps=eps)

    # Taps are told apart by their moments p < kH and q < kW, so one of those is not 0.
    last = sum(taps.shape) - 2
    order = next((n for n in range(last) if is_present(n)), last)
    errors = (m for m in range(order + 1, order + 2 * last + 3) if is_present(m))
    terms = _terms(taps, rows, columns, order=order)
    sizes = _terms(abs(taps), abs(rows), abs(columns), order=order)
    direction, gain = _strongest(terms, noise=(taps.size + 4) * max(eps, 1e-15) * sizes.sum())
    total, turned = float(taps.sum()), taps[::-1, ::-1]
    noise = (taps.size + 4) * max(eps, np.finfo(float).eps) * abs(taps)
    return Analysis(
        sum=total,
        norm=float(np.linalg.norm(taps)),
        moments=np.vander(rows, 5, increasing=True).T
        @ taps
        @ np.vander(columns, 5, increasing=True),
        derivative_order=order,
        direction=direction,
        gain=gain,
        accuracy=float(next(errors, math.inf) - order),
        rank=int(np.linalg.matrix_rank(taps, rtol=max(taps.shape) * max(eps, 1e-15))),
        frequency_response=_response(taps, num_frequencies=num_frequencies, origin=origin),
        is_blur=bool((taps >= 0).all() and abs(total - 1) <= noise.sum()),
        is_symmetric=bool((abs(taps - turned) <= noise.max()).all()),
        is_antisymmetric=bool((abs(taps + turned) <= noise.max()).all()),
    )


def frequency_response(
    kernel: Shaped[ArrayLike, "kH kW"] | list,
    *,
    num_frequencies: int = 64,
    origin: Sequence[Known] | None = None,
) -> Complex[Array, "F F"]:
    """Return by what correlation multiplies each wave.

    H[u, v] = sum_{y, x} k[y, x] exp(2 pi i (f_u y + f_v x)): the wave exp(2 pi i (f_u y + f_v x))
    answers H[u, v] times itself.

    Args:
      kernel: [kH, kW] real numbers. May be traced.
      num_frequencies: F, at least 1.
      origin: as for `analyze`.

    Returns:
      [F, F], for the frequencies (j - F // 2) / F cycles per pixel, j = 0 ... F - 1, down and
      right; frequency 0 is at [F // 2, F // 2]. Real for a symmetric kernel about its centre.

    Raises:
      ValueError: if it is no matrix of real numbers, or for less than one frequency.

    >>> abs(frequency_response([[0.5, 0.5]], num_frequencies=2)).round(3).tolist()
    [[0.0, 1.0], [0.0, 1.0]]
    """
    taps = real_matrix(kernel)
    known = np.asarray(taps, dtype=float) if is_known(taps) else taps
    response = _response(known, num_frequencies=num_frequencies, origin=origin)
    with at_once_if_known(taps):
        return jnp.asarray(response, dtype=complex)


def _response(taps: Any, *, num_frequencies: int, origin: Sequence[Known] | None) -> Any:
    """Return H as an array of NumPy if the taps are one, else of JAX."""
    count = whole("num_frequencies", num_frequencies, at_least=1)
    frequencies = (np.arange(count) - count // 2) / count
    down, right = (
        np.exp(2j * math.pi * frequencies[:, None] * distances[None])
        for distances in _distances(taps.shape, origin)
    )
    return down @ taps @ right.T


def _distances(
    shape: Sequence[int], origin: Sequence[Known] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return where the taps lie about the origin, down and right."""
    if origin is None:
        return offsets(shape[0]), offsets(shape[1])
    row, column = two("origin", origin, expected="two numbers (row, column)")
    return (
        np.arange(shape[0]) - known_number("origin", row),
        np.arange(shape[1]) - known_number("origin", column),
    )


def _terms(
    taps: np.ndarray, rows: np.ndarray, columns: np.ndarray, *, order: int
) -> Float[np.ndarray, "terms"]:
    """Return M[p, order - p] / (p! (order - p)!) for p = 0 ... order."""
    return np.array(
        [
            (rows**p @ taps @ columns ** (order - p))
            / (math.factorial(p) * math.factorial(order - p))
            for p in range(order + 1)
        ]
    )


def _has_terms(
    taps: np.ndarray, rows: np.ndarray, columns: np.ndarray, *, order: int, eps: float
) -> bool:
    """Tell whether a moment of this order is more than the rounding of its sum."""
    sizes = _terms(abs(taps), abs(rows), abs(columns), order=order)
    noise = (taps.size + 4) * eps * sizes
    return bool((abs(_terms(taps, rows, columns, order=order)) > noise).any())


def _strongest(terms: np.ndarray, *, noise: float) -> tuple[tuple[float, float] | None, float]:
    """Return the direction whose monomial answers most, and that answer.

    The answer to (u . (y, x))^n / n! is r(a) = sum_p terms[p] sin(a)^p cos(a)^(n - p): sought on
    a grid of half degrees, then by Newton's method.
    """
    order = len(terms) - 1
    first, second = _turned(terms), _turned(_turned(terms))
    angles = np.arange(720 if order % 2 else 360) * math.pi / 360
    answers = _form(terms, angles) if order % 2 else abs(_form(terms, angles))
    if np.ptp(answers) <= noise:
        return None, float(terms[0])
    angle = angles[np.argmax(answers >= (1 - 1e-4 * order) * answers.max())]
    for _ in range(8):
        curvature = _form(second, angle)
        angle = angle - (_form(first, angle) / curvature if curvature else 0.0)
    down, right = (round(part, 12) + 0.0 for part in (math.sin(angle), math.cos(angle)))
    return (down, right), float(_form(terms, angle))


def _form(terms: np.ndarray, angle: Any) -> Any:
    order = len(terms) - 1
    return sum(
        term * np.sin(angle) ** p * np.cos(angle) ** (order - p) for p, term in enumerate(terms)
    )


def _turned(terms: np.ndarray) -> np.ndarray:
    """Return the terms of dr / da, where those of r are terms[p] sin(a)^p cos(a)^q, p + q = n."""
    powers = np.arange(len(terms))
    derivative = np.zeros_like(terms)
    derivative[:-1] += (powers * terms)[1:]
    derivative[1:] -= (powers[::-1] * terms)[:-1]
    return derivative
