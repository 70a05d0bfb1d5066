"""What cut, reshaped and rearranged arrays see: the same elements in other places."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from conv_jax.multichannel.placement import Placement
from conv_jax.receptive_field.axis_map import (
    AxisMap,
    Line,
    blocks,
    compact,
    irregular,
    lone,
    sliced,
    stacked,
    transposed,
    union,
    united,
    window,
    without,
)
from conv_jax.receptive_field.calls import Call, everything, shape_of
from conv_jax.receptive_field.lattice import NOTHING


def transpose(call: Call) -> AxisMap:
    """Put the axes in another order."""
    return transposed(call.only, call.params["permutation"])


def broadcast_in_dim(call: Call) -> AxisMap:
    """Repeat elements along new axes, and along those of size 1."""
    x, shape = call.only, call.params["shape"]
    sizes, strides = [1] * len(shape), [0] * len(shape)
    for axis, place in enumerate(call.params["broadcast_dimensions"]):
        sizes[place] = x.spans.shape[1 + axis]
        if call.shape[axis] == shape[place]:
            strides[place] = x.line.strides[axis]
    return AxisMap(x.spans.reshape(2, *sizes), x.line.moved(strides))


def reshape(call: Call) -> AxisMap:
    """Merge and split axes, in full only those along which elements differ."""
    if call.params.get("dimensions") is not None:
        return everything(call)
    x, old, new = call.only, call.shape, call.result_shape
    before, after = [2], [2]
    for olds, news in blocks(old, new):
        varies = any(x.spans.shape[1 + axis] > 1 for axis in olds)
        before += [old[axis] if varies else 1 for axis in olds]
        after += [new[axis] if varies else 1 for axis in news]
    spans = np.broadcast_to(x.spans, before).reshape(after)
    return AxisMap(compact(spans), x.line.reshaped(old, new))


def squeeze(call: Call) -> AxisMap:
    """Drop axes of size 1."""
    return without(call.only, call.params["dimensions"])


def cut(call: Call) -> AxisMap:
    """Take a slice of every axis."""
    starts = call.params["start_indices"]
    steps = call.params["strides"] or (1,) * len(starts)
    return sliced(call.only, starts, call.result_shape, steps=steps)


def rev(call: Call) -> AxisMap:
    """Turn some axes around."""
    shape, turned = call.shape, call.params["dimensions"]
    starts = [size - 1 if axis in turned else 0 for axis, size in enumerate(shape)]
    steps = [-1 if axis in turned else 1 for axis in range(len(shape))]
    return sliced(call.only, starts, shape, steps=steps)


def dynamic_slice(call: Call) -> AxisMap:
    """Take a slice where its start is known; elsewhere an element sees all along the axis."""
    x, *indices = call.maps
    if x is None:
        return everything(call)
    shape, counts, starts = call.shape, call.params["slice_sizes"], []
    for axis, (size, count) in enumerate(zip(shape, counts, strict=True)):
        start = call.values[1 + axis]() if count < size else np.zeros(())
        if start is None:
            x = united(x, [axis], shape)
        starts.append(0 if start is None else int(np.clip(start, 0, size - count)))
    seen = [lone(index, (), len(shape)) for index in indices if index is not None]
    return union([sliced(x, starts, counts), *seen])


def gather(call: Call) -> AxisMap:
    """Gather the spans themselves, where the indices are known."""
    x, indices = call.maps[0], call.values[1]()
    if x is None or indices is None:
        return everything(call)

    def gathered(numbers: Int[np.ndarray, "*axes"]) -> Int[np.ndarray, "*out_axes"]:
        with jax.ensure_compile_time_eval():
            full = jnp.asarray(np.broadcast_to(numbers, call.shape), jnp.int32)
            params = {**call.params, "fill_value": NOTHING}
            return np.asarray(call.eqn.primitive.bind(full, indices, **params))

    spans = compact(np.stack([gathered(ends) for ends in x.spans]))
    picked = compact(gathered(x.line.places(call.shape))[None])[0]
    line = x.line._replace(lattice=None) if NOTHING in picked else x.line
    return AxisMap(spans, line.picked(picked))


def pad(call: Call) -> AxisMap:
    """Put what no pixel changes around and between elements, or cut where padding is negative."""
    x, fill = call.maps
    if x is None or fill is not None:
        return everything(call)
    sizes = zip(call.params["padding_config"], call.shape, call.result_shape, strict=True)
    for axis, ((before, after, between), length, count) in enumerate(sizes):
        place = Placement(before=before, after=after, image_dilation=between + 1)
        x = window(x, axis, 1, place=place, length=length, count=count)
    return x


def concatenate(call: Call) -> AxisMap:
    """Lay spans beside each other; an operand that no pixel changes sees nothing."""
    axis, inputs = call.params["dimension"], [x for x, _ in call.operands]
    shape = np.max([x.spans.shape for x in inputs], axis=0)
    pieces = []
    for x, var in zip(call.maps, call.eqn.invars, strict=True):
        shape[1 + axis] = shape_of(var)[axis]
        spans = np.int32(NOTHING) if x is None else x.spans
        pieces.append(np.broadcast_to(spans, tuple(shape)))
    line = functools.reduce(Line.union, (x.line for x in inputs))
    if line.strides[axis]:
        line = irregular(line.strides)
    return AxisMap(compact(np.concatenate(pieces, 1 + axis)), line)


def parts(call: Call) -> list[AxisMap]:
    """Split one axis: into slices, or into single elements, whose axis goes."""
    axis, single = call.params["axis"], call.eqn.primitive.name == "unstack"
    results, start = [], 0
    for size in [1] * call.shape[axis] if single else map(int, call.params["sizes"]):
        starts = [start if other == axis else 0 for other in range(len(call.shape))]
        counts = [size if other == axis else n for other, n in enumerate(call.shape)]
        part = sliced(call.only, starts, counts)
        results.append(without(part, [axis]) if single else part)
        start += size
    return results


def stack(call: Call) -> AxisMap:
    """Lay arrays along a new axis."""
    return stacked(call.maps, call.params["axis"])


def tile(call: Call) -> AxisMap:
    """Repeat whole axes."""
    x, reps = call.only, call.params["reps"]
    pairs = zip(x.spans.shape[1:], reps, strict=True)
    spans = np.tile(x.spans, [1, *(1 if size == 1 else times for size, times in pairs)])
    repeated = any(reps[axis] > 1 for axis in x.line.axes)
    return AxisMap(spans, irregular(x.line.strides) if repeated else x.line)


def write(call: Call) -> AxisMap:
    """Keep each element, or replace it by what any other operand sees."""
    x, *others = call.maps
    if x is None:
        return everything(call)
    rank, written = len(call.result_shape), zip(others, call.eqn.invars[1:], strict=True)
    return union([x, *(lone(y, shape_of(var), rank) for y, var in written if y is not None)])
