"""What a layer's outputs see of the image: the result of both ways to find out."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from conv_jax.receptive_field.lattice import Lattice, Span, Spans

Number = int | Fraction


class Field(NamedTuple):
    """The receptive field of the outputs of one layer: an entry for rows, one for columns.

    Output y of an axis sees the pixels start + jump y to start + jump y + size - 1, those of the
    padding included; pixel 0 is the first of the image, so a negative one lies in the padding.
    Where the jump is no whole number, as behind a transposed convolution, what neighbours see is
    that far apart on average, and `size` is the most that one of them sees. `pixels` is always
    exact. Where outputs see fields of no regular kind (behind a reflecting boundary, say), the
    jump is None, `size` the most pixels of the image that one of them sees.
    """

    name: str
    size: tuple[int, ...]  # pixels
    jump: tuple[Number | None, ...]  # pixels; 0 for a value that has no neighbours
    start: tuple[int | None, ...]  # the first pixel that output 0 sees; None: it sees none
    padding: tuple[Span, ...]  # pixels that outputs see before the image and after it
    shape: tuple[int, ...] | None = None  # outputs; None without the size of the image
    spans: tuple[Spans, ...] | None = None  # first and last pixel of the image that each one sees

    def pixels(self, position: Sequence[int]) -> tuple[Span, ...] | None:
        """Return the first and last row, and column, of the image that one output sees.

        Args:
          position: (row, column) of the output, from 0.

        Returns:
          ((first row, last row), (first column, last column)), or None if it sees no pixel.

        Raises:
          ValueError: for a position outside, or a field found without the size of the image.
        """
        if self.spans is None or self.shape is None:
            raise ValueError(f"image_shape: expected the image's size for {self.name!r}, got None")
        check_position(position, self.shape)
        spans = [axis[y] for axis, y in zip(self.spans, position, strict=True)]
        seen = tuple(span for span in spans if span is not None)
        return seen if len(seen) == len(spans) else None

    def __repr__(self) -> str:
        shown = ", ".join(f"{key}={getattr(self, key)!r}" for key in self._fields[:-1])
        return f"Field({shown})"


def table(fields: Sequence[Field]) -> str:
    """Return fields as a table: one number stands for rows and columns that agree.

    Args:
      fields: of `receptive_field` or `from_model`.

    Returns:
      A line for each: its name, the shape of its outputs, size, jump and start of the field, and
      how far it reaches beyond the image, before + after.
    """
    rows = [
        (
            field.name,
            "?" if field.shape is None else "x".join(map(str, field.shape)),
            "x".join(map(str, field.size)),
            _merged(field.jump),
            _merged(field.start),
            _merged([f"{before}+{after}" for before, after in field.padding]),
        )
        for field in fields
    ]
    rows = [("layer", "outputs", "field", "jump", "start", "padding"), *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            f"{cell:<{width}}" if index == 0 else f"{cell:>{width}}"
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def check_position(position: Sequence[int], shape: Sequence[int]) -> None:
    """Refuse a position outside an axis of the outputs."""
    ranges = ", ".join(f"0..{size - 1}" for size in shape)
    if len(position) != len(shape) or not all(
        isinstance(y, int | np.integer) and 0 <= y < size
        for y, size in zip(position, shape, strict=True)
    ):
        raise ValueError(f"position: expected numbers within ({ranges}), got {tuple(position)}")


Part = tuple[int, Number | None, int | None, Span]  # size, jump, start and padding of an axis


def regular(
    lattice: Lattice, spans: Spans | None, *, pixels: int, mirror: Lattice | None = None
) -> Part:
    """Describe one axis whose outputs see a lattice.

    Args:
      lattice: what the outputs see.
      spans: what they see of the image, None where its size is unknown.
      pixels: of the image, 0 where that is not known.
      mirror: what they see counted from the other end, needed where it is unknown.
    """
    outputs = np.arange(lattice.period if spans is None else len(spans))
    first, last = lattice.bounds(outputs)
    if mirror is not None:
        last = pixels - 1 - mirror.bounds(np.arange(mirror.period))[0]
    start, jump = lattice.firsts[0], lattice.jump
    sizes = [b - a + 1 for a, b in zip(lattice.firsts, lattice.lasts, strict=True)]
    return (
        int(max(0, *sizes)),
        int(jump) if jump.denominator == 1 else jump,
        None if math.isinf(start) else int(start),
        (_beyond(-first), _beyond(last - (pixels - 1))),
    )


def irregular(spans: Spans) -> Part:
    """Describe one axis whose outputs follow no lattice."""
    sizes = [last - first + 1 for first, last in filter(None, spans)]
    jump = 0 if len(set(spans)) == 1 else None
    start = spans[0]
    return max(sizes, default=0), jump, start and start[0], (0, 0)


def _beyond(reach: float) -> int:
    return 0 if math.isinf(reach) else max(0, int(reach))


def _merged(values: Sequence[object]) -> str:
    return ", ".join(map(str, values if len(set(values)) > 1 else values[:1]))
