"""Gabor's kernels: a wave within a Gaussian, the model of a cell of the visual cortex."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from conv_jax.kernels.arguments import (
    Known,
    Number,
    as_taps,
    known_positive,
    namespace,
    number,
    offsets,
    positive,
    positive_numbers,
    whole,
)
from conv_jax.kernels.gaussians import Sigma, kernel_size


def gabor(
    frequency: Number,
    *,
    angle: Number = 0.0,
    bandwidth: Known = 1.0,
    sigma: Sigma | None = None,
    phase: Number = 0.0,
    size: int | Sequence[int] | None = None,
    truncate: Known = 3.0,
) -> Float[Array, "kH kW"]:
    """Return a wave within a Gaussian.

    k[y, x] = g cos(2 pi frequency x' + phase), g = exp(-(y'^2 / sigma_across^2
    + x'^2 / sigma_along^2) / 2) / (2 pi sigma_across sigma_along), x' the distance along the
    angle and y' the one across it.

    Args:
      frequency: of the wave in cycles per pixel, above 0; up to 1/2 for whole pixels to show it.
      angle: towards which the wave runs, from right towards down, in radians.
      bandwidth: of the frequencies that answer at least half as strongly, in octaves, above 0;
        makes the sigma sqrt(log(2) / 2) / (pi frequency) * (2^b + 1) / (2^b - 1) in all directions.
      sigma: in pixels, or two, (across, along) the wave, instead of the bandwidth.
      phase: 0 for an even kernel, -pi/2 for an odd one.
      size: height and width, or one number for both; else as large as `truncate` asks.
      truncate: half the size in standard deviations, above 0; the kernel holds the ellipse of so
        many, at any angle.

    Returns:
      [kH, kW]. Numbers may be traced where `size` is given. An even kernel answers a little to a
      constant image: less than 2e-3 of its brightness at one octave.

    Raises:
      ValueError: for a frequency, bandwidth, sigma or truncate that is not above 0.

    Source: Daugman, Uncertainty Relation for Resolution in Space, Spatial Frequency, and
    Orientation Optimized by Two-Dimensional Visual Cortical Filters (1985).

    >>> gabor(0.25, size=(1, 5)).round(3).tolist()[0][1:4:2]
    [0.0, 0.0]
    """
    frequency, angle = positive("frequency", frequency), number("angle", angle)
    phase = number("phase", phase)
    if sigma is None:
        sigma = _sigma(frequency, bandwidth=bandwidth)
    envelope, wave = _envelope_and_wave(
        frequency,
        angle=angle,
        phase=phase,
        sigmas=positive_numbers("sigma", sigma),
        size=size,
        truncate=truncate,
    )
    return as_taps(envelope * wave)


def field_1987_bank(
    *, frequencies: Sequence[Known] = (1 / 12, 1 / 6), num_angles: int = 3
) -> Float[Array, "channels k k"]:
    """Return even-symmetric sensors of several orientations and frequencies, as Field drew them.

    The chapter reprints his example of an image coded by six channels. It gives no numbers, so
    these are ours: three orientations at two frequencies an octave apart, each an even Gabor
    kernel one octave wide, less a multiple of its Gaussian so that it sums to 0, and scaled so
    that a wave of its own frequency and orientation and of amplitude 1 answers 1 at its crest.
    Photographs, whose amplitude falls as 1 / frequency, then excite all channels alike.

    Args:
      frequencies: in cycles per pixel, above 0 and up to 1/2.
      num_angles: orientations, evenly spread over a half turn from right, at least 1.

    Returns:
      [channels, k, k], by frequency, then by angle; the small ones in a margin of zeros.

    Raises:
      ValueError: for no frequencies, frequencies out of range, and less than one angle.

    Source: Field, Relations between the Statistics of Natural Images and the Response Properties
    of Cortical Cells (1987), figure reprinted in the chapter.

    >>> field_1987_bank().shape
    (6, 41, 41)
    """
    if not len(frequencies) or not all(0 < f <= 0.5 for f in frequencies):
        raise ValueError(
            f"frequencies: expected numbers above 0 and up to 0.5, got {frequencies!r}"
        )
    count = whole("num_angles", num_angles, at_least=1)
    angles = np.arange(count) * math.pi / count
    sensors = [_sensor(f, angle) for f in frequencies for angle in angles]
    size = max(max(sensor.shape) for sensor in sensors)
    margins = [[((size - k) // 2,) * 2 for k in sensor.shape] for sensor in sensors]
    return as_taps(np.stack([np.pad(s, m) for s, m in zip(sensors, margins, strict=True)]))


def _sensor(frequency: Known, angle: float) -> np.ndarray:
    """Return an even Gabor kernel that answers 0 to a constant and 1 to its own wave."""
    envelope, wave = _envelope_and_wave(
        frequency,
        angle=angle,
        phase=0.0,
        sigmas=(_sigma(frequency, bandwidth=1.0),) * 2,
        size=None,
        truncate=3.0,
    )
    taps = envelope * (wave - (envelope * wave).sum() / envelope.sum())
    return taps / (taps * wave).sum()


def _sigma(frequency: Any, *, bandwidth: Known) -> Any:
    """Return the sigma of a Gaussian so many octaves wide, at half its height, in frequency."""
    octaves = 2 ** known_positive("bandwidth", bandwidth)
    half = math.sqrt(math.log(2) / 2) / math.pi
    return half * (octaves + 1) / (octaves - 1) / frequency


def _envelope_and_wave(
    frequency: Any,
    *,
    angle: Any,
    phase: Any,
    sigmas: tuple[Any, Any],
    size: int | Sequence[int] | None,
    truncate: Known,
) -> tuple[Any, Any]:
    across, along = sigmas
    xp = namespace(frequency, angle, phase, sigmas)
    cos, sin = xp.cos(angle), xp.sin(angle)
    reach = xp.hypot(along * sin, across * cos), xp.hypot(along * cos, across * sin)
    height, width = kernel_size(size, reach, truncate=truncate)
    down, right = offsets(height)[:, None], offsets(width)[None, :]
    forward, sideways = sin * down + cos * right, cos * down - sin * right
    envelope = xp.exp(-((sideways / across) ** 2 + (forward / along) ** 2) / 2)
    wave = xp.cos(2 * math.pi * frequency * forward + phase)
    return envelope / (2 * math.pi * across * along), wave
