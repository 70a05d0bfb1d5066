"""What the elements along one axis of a feature map see of the image, as exact whole numbers.

A layer unites what it takes from: out[y] sees what in[(y stride + k dilation - before) / g] sees,
over the k of its window for which that index is whole, where g - 1 zeros lie between the inputs
(g > 1 in a transposed convolution). The hull of a union is the hull of the hulls, so first and
last pixel are enough, and lose nothing.

They are kept twice: `Lattice` is an axis without ends, whose padding is a continuation of the
image, and which needs no size; spans are the axis of one image, whose padding shows nothing.
"""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from conv_jax.multichannel.placement import Placement

Span = tuple[int, int]  # the first and the last pixel that are seen
Spans = tuple[Span | None, ...]  # of every element of an axis; None sees nothing of the image

NOTHING = 2**30  # first pixel of an element that sees none, and minus its last


class Lattice(NamedTuple):
    """First and last pixel that element y of an axis without ends sees, for y in one period.

    first(y + period) = first(y) + advance, and last(y) alike. An element that sees nothing has
    an infinite first, and a last of minus infinity; all others are whole.
    """

    advance: int
    firsts: tuple[float, ...]
    lasts: tuple[float, ...]

    @property
    def period(self) -> int:
        """Elements after which the pattern repeats."""
        return len(self.firsts)

    @property
    def jump(self) -> Fraction:
        """Pixels between what neighbours see, on average over a period."""
        return Fraction(self.advance, self.period)

    def ends(self, y: Int[np.ndarray, "*axes"]) -> Float[np.ndarray, "2 *axes"]:
        """Return the first and the last pixel that each of some elements sees."""
        turns, phases = np.divmod(y, self.period)
        return np.array([self.firsts, self.lasts], float)[:, phases] + turns * self.advance

    def bounds(self, y: Int[np.ndarray, "*axes"]) -> tuple[float, float]:
        """Return the first and the last pixel that any of some elements sees."""
        firsts, lasts = self.ends(y)
        return float(firsts.min()), float(lasts.max())

    def window(self, size: int, place: Placement) -> "Lattice":
        """Return what the outputs of a window of `size` elements see; `after` has no effect."""
        stride, spread = place.stride, place.image_dilation
        period = spread * self.period // math.gcd(stride, spread * self.period)
        corners = np.arange(period) * stride - place.before
        indices, rests = np.divmod(
            corners[:, None] + np.arange(size) * place.kernel_dilation, spread
        )
        firsts, lasts = self.ends(indices)
        firsts = np.where(rests == 0, firsts, math.inf).min(1)
        lasts = np.where(rests == 0, lasts, -math.inf).max(1)
        return _shortest(self.advance * stride * period // (spread * self.period), firsts, lasts)

    def picked(self, indices: Int[np.ndarray, "n"]) -> "Lattice | None":
        """Return what the elements at these indices see, None if they do not go on alike."""
        period = _period_of(np.diff(indices).tolist())
        if 2 * period > len(indices):
            return None
        step = int(indices[period] - indices[0])
        turns = self.period // math.gcd(step, self.period)
        repeated = indices[:period] + step * np.arange(turns)[:, None]
        return _shortest(self.advance * step * turns // self.period, *self.ends(repeated.ravel()))

    def union(self, other: "Lattice") -> "Lattice | None":
        """Return what the sum of two elements sees, or None where their jumps differ."""
        if self.jump != other.jump:
            return None
        period = math.lcm(self.period, other.period)
        (firsts, lasts), ends = self.ends(np.arange(period)), other.ends(np.arange(period))
        advance = int(self.jump * period)
        return _shortest(advance, np.minimum(firsts, ends[0]), np.maximum(lasts, ends[1]))


PIXELS = Lattice(1, (0.0,), (0.0,))  # the image itself: every element sees its own pixel


def pixel_spans(size: int) -> Int[np.ndarray, "2 {size}"]:
    """Return the spans of an image's axis: the first pixel, and minus the last one.

    With the minus, the union of two spans is a minimum.
    """
    places = np.arange(size, dtype=np.int32)
    return np.stack([places, -places])


def window_spans(
    spans: Int[np.ndarray, "2 *axes"], axis: int, size: int, *, place: Placement, count: int
) -> Int[np.ndarray, "2 *out_axes"]:
    """Return the spans of the `count` outputs of a window along an axis.

    Args:
      spans: of the input.
      axis: that the window moves along.
      size: elements of the window.
      place: its stride, dilations and the zeros before; those after follow from `count`.
      count: outputs.
    """
    inputs = np.moveaxis(spans, axis, -1)
    outputs = np.full((*inputs.shape[:-1], count), NOTHING, np.int32)
    corners = np.arange(count) * place.stride - place.before
    for tap in range(size):
        index, rest = np.divmod(corners + tap * place.kernel_dilation, place.image_dilation)
        inside = (rest == 0) & (index >= 0) & (index < inputs.shape[-1])
        outputs[..., inside] = np.minimum(outputs[..., inside], inputs[..., index[inside]])
    return np.moveaxis(outputs, -1, axis)


def as_pairs(spans: Int[np.ndarray, "2 n"]) -> Spans:
    """Return spans as pairs of a first and a last pixel."""
    pairs = ((int(first), -int(minus_last)) for first, minus_last in spans.T)
    return tuple(pair if pair[0] <= pair[1] else None for pair in pairs)


def _shortest(
    advance: int, firsts: Float[np.ndarray, "period"], lasts: Float[np.ndarray, "period"]
) -> Lattice:
    """Return a lattice with the shortest period."""
    length = len(firsts)
    for period in range(1, length):
        if length % period or advance * period % length:
            continue
        step = advance * period // length
        shift = np.repeat(np.arange(length // period) * step, period)
        if all(np.array_equal(np.resize(e[:period], length) + shift, e) for e in (firsts, lasts)):
            advance, firsts, lasts = step, firsts[:period], lasts[:period]
            break
    return Lattice(advance, tuple(firsts.tolist()), tuple(lasts.tolist()))


def _period_of(steps: list[int]) -> int:
    """Return the least p with steps[k + p] = steps[k] for all k (Knuth, Morris and Pratt, 1977)."""
    borders = [0] * len(steps)  # of each beginning: how long an end of it is its beginning again
    for index in range(1, len(steps)):
        border = borders[index - 1]
        while border and steps[index] != steps[border]:
            border = borders[border - 1]
        borders[index] = border + (steps[index] == steps[border])
    return len(steps) - borders[-1] if steps else 1
