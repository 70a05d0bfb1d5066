"""What every element of an array sees along one axis of the image: exact, and as a regular line."""

import functools
import math
import operator
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from conv_jax.multichannel.placement import Placement
from conv_jax.receptive_field.lattice import (
    NOTHING,
    PIXELS,
    Lattice,
    pixel_spans,
    window_spans,
)

Shape = tuple[int, ...]


class Line(NamedTuple):
    """Which axes of an array tell the place in the image, and how, as long as that is regular.

    Element (i, j, ...) sees what element offset + i s_0 + j s_1 + ... of the lattice does. One
    stride is not 0 for most arrays; two are where an axis was split in blocks. Without a lattice
    they are 1 along the axes that matter.
    """

    lattice: Lattice | None
    strides: Shape  # one for every axis of the array
    offset: int = 0

    @property
    def axes(self) -> list[int]:
        """The axes of the array that tell the place in the image."""
        return [axis for axis, stride in enumerate(self.strides) if stride]

    def places(self, shape: Sequence[int]) -> Int[np.ndarray, "*axes"]:
        """Return the lattice's element that each element of an array is, in the array's shape."""
        steps = zip(self.strides, shape, strict=True)
        ranges = [stride * np.arange(size) for stride, size in steps]
        return functools.reduce(np.add.outer, ranges, np.array(self.offset))

    def moved(self, strides: Sequence[int], *, offset: int = 0) -> "Line":
        """Return the same line over other axes, its lattice with stride 1 if it has one axis."""
        lattice, offset = self.lattice, self.offset + offset
        used = [stride for stride in strides if stride]
        if lattice is None:
            return irregular(strides)
        if len(used) > 1 or (offset == 0 and used == [1]):
            return Line(lattice, tuple(strides), offset)
        if not used:
            return _lone_line(*lattice.bounds(np.array([offset])), len(strides))
        lattice = lattice.window(1, Placement(stride=used[0], before=-offset))
        return Line(lattice, tuple(int(stride != 0) for stride in strides))

    def united(self, axes: Sequence[int], shape: Shape) -> "Line":
        """Return the line of the union over all of some axes, whose strides become 0."""
        kept = [0 if axis in axes else stride for axis, stride in enumerate(self.strides)]
        gone = [(self.strides[axis], shape[axis]) for axis in axes if self.strides[axis]]
        lattice, offset = self.lattice, self.offset
        if lattice is None:
            return irregular(kept)
        if not any(kept):
            steps = [stride * np.arange(size) for stride, size in gone]
            indices = functools.reduce(np.add.outer, steps, np.array([offset]))
            return _lone_line(*lattice.bounds(indices), len(kept))
        for stride, size in gone:
            offset += min(0, stride) * (size - 1)
            lattice = lattice.window(size, Placement(kernel_dilation=abs(stride)))
        return Line(lattice, self.strides, offset).moved(kept)

    def window(self, axis: int, size: int, place: Placement) -> "Line":
        """Return the line behind a window along an axis."""
        if self.strides[axis] == 0:
            return self
        if self.lattice is None or self.axes != [axis]:
            return irregular(self.strides)
        return self._replace(lattice=self.lattice.window(size, place))

    def reshaped(self, old: Shape, new: Shape) -> "Line":
        """Return the line of the array in another shape."""
        strides = [0] * len(new)
        for olds, news in blocks(old, new):
            if all(old[axis] == 1 for axis in olds):  # a lone element: its axis stays one
                for before, after in zip(olds, news, strict=False):
                    strides[after] = self.strides[before]
                continue
            steps = {
                Fraction(self.strides[axis], _behind(olds, old, axis))
                for axis in olds
                if old[axis] > 1
            }
            if len(steps) > 1 or (step := steps.pop()).denominator > 1:
                return self._merged(olds, news, old, new)
            for axis in news:
                strides[axis] = int(step) * _behind(news, new, axis) if new[axis] > 1 else 0
        return self.moved(strides)

    def _merged(self, olds: Sequence[int], news: Sequence[int], old: Shape, new: Shape) -> "Line":
        """Return the line of an array in which some axes became others, as in repeated elements."""
        if self.lattice is None or not set(self.axes) <= set(olds):
            flags = [
                int(any(self.strides[axis] for axis in befores) and new[after] > 1)
                for befores, afters in blocks(old, new)
                for after in afters
            ]
            return irregular(flags)
        shape = [new[axis] if axis in news else 1 for axis in range(len(new))]
        places = self.places([old[axis] if axis in olds else 1 for axis in range(len(old))])
        return self.picked(compact(places.reshape(1, *shape))[0])

    def picked(self, indices: Int[np.ndarray, "*axes"]) -> "Line":
        """Return the line of an array of the lattice's elements with these indices."""
        flags = [int(size > 1) for size in indices.shape]
        if self.lattice is None:
            return irregular(flags)
        if not any(flags):
            return self.moved(flags, offset=int(indices.ravel()[0]) - self.offset)
        lattice = self.lattice.picked(indices.ravel()) if sum(flags) == 1 else None
        return Line(lattice, tuple(flags))

    def union(self, other: "Line") -> "Line":
        """Return the line of a sum: regular if both have the same axes and jump."""
        alike = (self.strides, self.offset) == (other.strides, other.offset)
        if alike and self.lattice is not None and other.lattice is not None:
            lattice = self.lattice.union(other.lattice)
            return irregular(self.strides) if lattice is None else self._replace(lattice=lattice)
        return irregular([a or b for a, b in zip(self.strides, other.strides, strict=True)])


class AxisMap(NamedTuple):
    """The pixels of one axis of the image that every element of an array sees.

    `spans` is exact: [2, *shape], the first pixel and minus the last one, with size 1 along axes
    that make no difference. `line` tells the same of an array and an image without ends.
    """

    spans: Int[np.ndarray, "2 *axes"]
    line: Line


def irregular(strides: Sequence[int]) -> Line:
    """Return a line without a lattice, along the axes whose stride is not 0."""
    return Line(None, tuple(int(stride != 0) for stride in strides))


def _lone_line(first: float, last: float, rank: int) -> Line:
    """Return the line of an array whose elements all see the same."""
    return Line(Lattice(0, (first,), (last,)), (0,) * rank)


def of_image(shape: Shape, axis: int) -> AxisMap:
    """Return the map of the image itself along one of its axes."""
    spans_shape = [2, *(1 for _ in shape)]
    spans_shape[1 + axis] = shape[axis]
    spans = pixel_spans(shape[axis]).reshape(spans_shape)
    return AxisMap(spans, Line(PIXELS, tuple(int(a == axis) for a in range(len(shape)))))


def constant(first: int, last: int, rank: int) -> AxisMap:
    """Return the map of an array whose elements all see the same pixels, none if last < first."""
    none = last < first
    ends = [NOTHING, NOTHING] if none else [first, -last]
    spans = np.array(ends, np.int32).reshape(2, *(1 for _ in range(rank)))
    line = (math.inf, -math.inf) if none else (float(first), float(last))
    return AxisMap(spans, _lone_line(*line, rank))


def union(maps: Sequence[AxisMap]) -> AxisMap:
    """Return the map of a sum of arrays of one rank."""
    spans = functools.reduce(np.minimum, (x.spans for x in maps))
    return AxisMap(spans, functools.reduce(Line.union, (x.line for x in maps)))


def united(x: AxisMap, axes: Sequence[int], shape: Shape) -> AxisMap:
    """Return the map of a sum over some axes, which stay with size 1."""
    spans = x.spans.min(axis=tuple(1 + axis for axis in axes), keepdims=True)
    return AxisMap(spans, x.line.united(axes, shape))


def lone(x: AxisMap, shape: Shape, rank: int) -> AxisMap:
    """Return the map of an array of another rank, every element of which sees all that x does."""
    seen = united(x, range(len(shape)), shape)
    spans = seen.spans.reshape(2, *(1 for _ in range(rank)))
    return AxisMap(spans, seen.line.moved((0,) * rank))


def transposed(x: AxisMap, order: Sequence[int]) -> AxisMap:
    """Return the map with the axes in another order."""
    spans = x.spans.transpose(0, *(1 + axis for axis in order))
    return AxisMap(spans, x.line.moved([x.line.strides[axis] for axis in order]))


def without(x: AxisMap, axes: Sequence[int]) -> AxisMap:
    """Return the map without some axes of size 1."""
    kept = [axis for axis in range(x.spans.ndim - 1) if axis not in axes]
    spans = x.spans.squeeze(tuple(1 + axis for axis in axes))
    return AxisMap(spans, x.line.moved([x.line.strides[axis] for axis in kept]))


def sliced(
    x: AxisMap, starts: Sequence[int], counts: Sequence[int], *, steps: Sequence[int] | None = None
) -> AxisMap:
    """Return the map of every `step`-th element of each axis, `count` of them from `start` on.

    Args:
      x: the map of the array.
      starts: one for every axis.
      counts: elements of the result.
      steps: below 0 to go backwards; None means 1 on every axis.
    """
    steps = [1] * len(starts) if steps is None else steps
    spans = x.spans
    for axis, (start, count, step) in enumerate(zip(starts, counts, steps, strict=True)):
        if spans.shape[1 + axis] > 1:
            spans = spans.take(start + step * np.arange(count), 1 + axis)
    offset = sum(map(operator.mul, x.line.strides, starts))
    line = x.line.moved(list(map(operator.mul, x.line.strides, steps)), offset=offset)
    return AxisMap(compact(spans), line)


def stacked(maps: Sequence[AxisMap | None], axis: int) -> AxisMap:
    """Return the map of arrays laid along a new axis; None stands for one that sees nothing."""
    seen = [x for x in maps if x is not None]
    nothing = np.full([2, *(1 for _ in seen[0].line.strides)], NOTHING, np.int32)
    every = np.broadcast_arrays(*(nothing if x is None else x.spans for x in maps))
    spans = compact(np.stack(every, 1 + axis))
    line = functools.reduce(Line.union, (x.line for x in seen))
    tells = not line.axes and spans.shape[1 + axis] > 1  # nothing but the new axis does
    strides = [*line.strides[:axis], int(tells), *line.strides[axis:]]
    return AxisMap(spans, irregular(strides) if tells else line.moved(strides))


def window(
    x: AxisMap, axis: int, size: int, *, place: Placement, length: int, count: int
) -> AxisMap:
    """Return the map behind a window along an axis.

    Args:
      x: the map of the array.
      axis: that the window moves along.
      size: elements of the window.
      place: how it lies on the axis.
      length: elements of the axis.
      count: outputs.
    """
    if (size, place, count) == (1, Placement(), length):
        return x
    spans = window_spans(full_along(x, axis, length), 1 + axis, size, place=place, count=count)
    return AxisMap(compact(spans), x.line.window(axis, size, place))


def full_along(x: AxisMap, axis: int, length: int) -> Int[np.ndarray, "2 *axes"]:
    """Return the spans with every element of one axis."""
    shape = list(x.spans.shape)
    shape[1 + axis] = length
    return np.broadcast_to(x.spans, shape)


def compact(spans: np.ndarray) -> np.ndarray:
    """Return spans with size 1 along axes that make no difference."""
    for axis in range(1, spans.ndim):
        first = spans.take([0], axis) if spans.shape[axis] else None
        if first is not None and spans.shape[axis] > 1 and (spans == first).all():
            spans = first
    return spans


def blocks(old: Shape, new: Shape) -> list[tuple[list[int], list[int]]]:
    """Pair the shortest runs of axes of two shapes that have as many elements, from the left."""
    blocks: list[tuple[list[int], list[int]]] = []
    olds, news = list(range(len(old))), list(range(len(new)))
    while olds or news:
        left, right = olds[:1], news[:1]
        del olds[:1], news[:1]
        while (missing := _count(right, new) - _count(left, old)) != 0:
            run, rest = (left, olds) if missing > 0 else (right, news)
            run.append(rest.pop(0))
        blocks.append((left, right))
    return blocks


def _count(axes: Sequence[int], shape: Shape) -> int:
    return math.prod(shape[axis] for axis in axes)


def _behind(axes: Sequence[int], shape: Shape, axis: int) -> int:
    """Return the elements from one index of an axis to the next, in a run of axes."""
    return _count(axes[axes.index(axis) + 1 :], shape)
