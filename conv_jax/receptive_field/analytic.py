"""Receptive fields of a list of layers: exact, and without the size of the image if need be."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from conv_jax.multichannel.placement import Placement, extent, output_size
from conv_jax.padding import Pair, image_size
from conv_jax.receptive_field.fields import Field, regular
from conv_jax.receptive_field.lattice import PIXELS, Lattice, as_pairs, pixel_spans, window_spans
from conv_jax.receptive_field.layers import Branches, Layer, parsed


class _Axis(NamedTuple):
    """What is known of rows, or of columns, behind a layer."""

    lattice: Lattice
    mirror: Lattice  # counted from the other end
    spans: np.ndarray | None  # [2, n] where the size of the image is known
    pixels: int  # of the image; 0 if unknown


def receptive_field(
    layers: Sequence[Any], *, image_shape: Sequence[int] | None = None
) -> tuple[Field, ...]:
    """Return what the outputs of every layer see of the image, exactly.

    With stride s, p zeros before and a kernel that spans e elements, each layer makes of
    (size, jump, start)

        size + (e - 1) jump,   jump s,   start - p jump;

    a transposed one divides the jump by its stride; paths that meet take the first start and the
    last end. These are the recurrences of Araujo, Norris and Sim, "Computing Receptive Fields of
    Convolutional Neural Networks" (Distill, 2019), kept exact where the jump is a fraction.

    Args:
      layers: in order, each made by `conv`, `pool`, `transposed_conv`, `dense` or `branches` of
        `conv_jax.receptive_field`; or a convolution as a tuple (kernel, stride, padding, dilation)
        of one to four entries, or a dict of the arguments of `conv`.
      image_shape: (..., H, W) in pixels. With it, fields tell the shape of the outputs and what
        of the image each one sees; without, `padding` is the most that any image makes of it.

    Returns:
      A `Field` for each layer, of rows and columns.

    Raises:
      ValueError: for a number out of range, paths that do not fit together, a window larger than
        its padded map, or a layer that needs `image_shape`.

    >>> first, second = receptive_field([(2,), (2,)])  # the chapter: 2x2, twice
    >>> first.size, second.size
    ((2, 2), (3, 3))
    >>> last = receptive_field([(5,)] * 10, image_shape=(240, 240))[-1]
    >>> last.shape, last.size, last.pixels((0, 199))
    ((200, 200), (41, 41), ((0, 40), (199, 239)))
    """
    sizes = (None, None) if image_shape is None else image_size(image_shape)
    axes = tuple(
        _Axis(PIXELS, PIXELS, None if n is None else pixel_spans(n), n or 0) for n in sizes
    )
    fields = []
    numbers: dict[str, int] = {}
    for index, layer in enumerate(parsed(layers)):
        kind = "branches" if isinstance(layer, Branches) else layer.kind
        numbers[kind] = numbers.get(kind, 0) + 1
        try:
            axes = _through(layer, axes)
        except ValueError as error:
            where = f"layers[{index}]" + (f" ({layer.name!r})" if layer.name else "")
            raise ValueError(f"{where}: {error}") from None
        fields.append(_field(layer.name or f"{kind}{numbers[kind]}", axes))
    return tuple(fields)


def _through(layer: Layer | Branches, axes: tuple[_Axis, ...]) -> tuple[_Axis, ...]:
    """Return rows and columns behind a layer."""
    if isinstance(layer, Layer):
        return tuple(_window(layer, index, axis) for index, axis in enumerate(axes))
    ends = []
    for path in layer.paths or ((),):
        end = axes
        for inner in path:
            end = _through(inner, end)
        ends.append(end)
    return tuple(map(_union, zip(*ends, strict=True)))


def _window(layer: Layer, index: int, axis: _Axis) -> _Axis:
    """Move the layer's window along rows (index 0) or columns (1)."""
    count = None if axis.spans is None else axis.spans.shape[1]
    size = count if layer.kernel is None else layer.kernel[index]
    if size is None:
        raise ValueError("expected image_shape, as dense() sees all of its map, got None")
    before, after = _zeros(layer, index, size, count)
    place = Placement(
        stride=layer.stride[index],
        before=before,
        after=after,
        image_dilation=layer.image_dilation[index],
        kernel_dilation=layer.dilation[index],
    )
    spans = axis.spans
    if spans is not None:
        outputs = output_size(spans.shape[1], size, place)
        if outputs < 1:
            raise ValueError(
                f"expected a window within the padded map of {before} + {spans.shape[1]} + {after} "
                f"elements, got {extent(size, place.kernel_dilation)}"
            )
        spans = window_spans(spans, 1, size, place=place, count=outputs)
    lattice = axis.lattice.window(size, place)
    mirror = axis.mirror.window(size, place._replace(before=after, after=before))
    if layer.kernel is None:  # the one output has no neighbours
        lattice = Lattice(0, lattice.firsts[:1], lattice.lasts[:1])
    return axis._replace(lattice=lattice, mirror=mirror, spans=spans)


def _zeros(layer: Layer, index: int, size: int, count: int | None) -> Pair:
    """Return the zeros before and after one axis."""
    if not isinstance(layer.padding, str):
        return layer.padding[index]
    if count is None:
        raise ValueError(
            f"expected image_shape, as padding {layer.padding!r} with a stride depends on it "
            f"({layer.padding.lower()!r} does not), got None"
        )
    stride = layer.stride[index]
    needed = (-(-count // stride) - 1) * stride + extent(size, layer.dilation[index])
    total = max(0, needed - count)
    less, more = total // 2, total - total // 2
    return (less, more) if layer.padding == "SAME" else (more, less)


def _union(ends: Sequence[_Axis]) -> _Axis:
    """Return rows, or columns, where paths meet."""
    first, *others = ends
    spans = [end.spans for end in ends if end.spans is not None]
    counts = [one.shape[1] for one in spans]
    if len(set(counts)) > 1:
        raise ValueError(f"expected paths of as many outputs, got {_listed(counts)}")
    for end in others:
        lattice, mirror = first.lattice.union(end.lattice), first.mirror.union(end.mirror)
        if lattice is None or mirror is None:
            jumps = [end.lattice.jump for end in ends]
            raise ValueError(f"expected paths of one jump, got {_listed(jumps)}")
        first = first._replace(lattice=lattice, mirror=mirror)
    return first._replace(spans=np.min(spans, axis=0)) if spans else first


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))


def _field(name: str, axes: tuple[_Axis, ...]) -> Field:
    parts, known = [], []
    for axis in axes:
        spans = None if axis.spans is None else as_pairs(axis.spans)
        mirror = axis.mirror if spans is None else None
        parts.append(regular(axis.lattice, spans, pixels=axis.pixels, mirror=mirror))
        known += [] if spans is None else [spans]
    size, jump, start, padding = (tuple(values) for values in zip(*parts, strict=True))
    shape = tuple(map(len, known)) if known else None
    return Field(name, size, jump, start, padding, shape, tuple(known) or None)
