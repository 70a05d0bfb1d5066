"""Receptive fields read off the program of a function, primitive by primitive."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn, Literal

from conv_jax import pooling
from conv_jax.receptive_field import axis_map, constants, rules
from conv_jax.receptive_field.axis_map import AxisMap, Shape
from conv_jax.receptive_field.calls import Call, shape_of
from conv_jax.receptive_field.constants import Constant
from conv_jax.receptive_field.fields import Field, irregular, regular
from conv_jax.receptive_field.lattice import as_pairs

Seen = tuple[AxisMap, ...]  # one map for every axis of the image
Value = Seen | Constant

# Primitives that run a program once, on their operands, and the parameters that may hold it.
_CALLS = (
    "checkpoint",
    "closed_call",
    "composite",
    "core_call",
    "custom_jvp_call",
    "custom_vjp_call",
    "custom_vjp_call_jaxpr",
    "jit",
    "pjit",
    "remat",
    "remat2",
)
_PROGRAMS = ("jaxpr", "call_jaxpr", "fun_jaxpr")
_LAYERS = {
    "conv_general_dilated": "conv",
    "corr2d": "conv",
    "correlate_channels": "conv",
    "reduce_window": "pool",
    "reduce_window_max": "pool",
    "reduce_window_min": "pool",
    "reduce_window_sum": "pool",
}
_OUR_MAXIMUM = (
    pooling.window_maximum.__name__
)  # of `max_pool`, which takes slices and compares them
_MOST_TURNS = 512  # of a scan that is followed turn by turn


def from_model(
    fn: Callable[[Any], Any],
    image_shape: Sequence[int],
    *,
    layers: bool = False,
    spatial_axes: Sequence[int] | None = None,
    dtype: Any = jnp.float32,
) -> tuple[Field, ...]:
    """Return what the outputs of a function see of its image, read off its program.

    The function is traced, not run, and every primitive of its jaxpr is followed: a field holds
    every pixel that can change an output, whatever the weights. It is exact for convolutions,
    pools, slices, padding of all kinds, reshaping, resizing, sums and all that acts element by
    element, also in calls and scans. A primitive that it does not know sees all that its operands
    see, as does a loop whose turns are not counted; what reads a mutable array, the whole image.

    Args:
      fn: of one array: a Flax NNX module, a bound Linen module, a `functools.partial` of a
        model's `apply` and its parameters, or any other function that JAX can trace. Arrays it
        closes over or draws are weights, whose values do not count; whole numbers may be indices,
        whose values do.
      image_shape: shape of that array: [..., H, W, C] or [H, W].
      layers: True puts every convolution and pool before the outputs, in order.
      spatial_axes: the image's axes of pixels, rows and columns for instance; None takes the two
        before the last, or both of [H, W].
      dtype: of the image.

    Returns:
      A `Field` for each output, named by its place in the result, with an entry for each of
      `spatial_axes`. An output without an axis for the rows (or columns) has one row.

    Raises:
      ValueError: for axes that the image does not have.

    >>> from conv_jax import corr2d
    >>> kernel = jnp.ones((3, 3))
    >>> (field,) = from_model(lambda image: corr2d(corr2d(image, kernel), kernel, stride=2), (9, 9))
    >>> field.size, field.jump, field.shape, field.pixels((1, 2))
    ((5, 5), (2, 2), (3, 3), ((2, 6), (4, 8)))
    """
    shape = tuple(image_shape)
    axes = check_axes(shape, spatial_axes)
    program, results = jax.make_jaxpr(fn, return_shape=True)(jax.ShapeDtypeStruct(shape, dtype))
    reader = _Reader(tuple(shape[axis] for axis in axes))
    values = reader.run(program, [tuple(axis_map.of_image(shape, axis) for axis in axes)])
    if not layers:
        reader.fields.clear()
    paths = jax.tree_util.tree_leaves_with_path(results)
    for (path, _), value, var in zip(paths, values, program.jaxpr.outvars, strict=True):
        name = jax.tree_util.keystr(path, simple=True, separator=".") or "output"
        reader.keep(name, value, shape_of(var))
    return tuple(reader.fields)


def check_axes(shape: Shape, axes: Sequence[int] | None) -> Shape:
    """Return the axes of pixels, counted from 0."""
    if axes is None:
        if len(shape) < 2:
            raise ValueError(f"image_shape: expected (H, W) or (..., H, W, C), got {shape}")
        axes = (0, 1) if len(shape) == 2 else (-3, -2)
    if not axes or not all(-len(shape) <= axis < len(shape) for axis in axes):
        raise ValueError(f"spatial_axes: expected axes of an image {shape}, got {tuple(axes)}")
    positive = tuple(axis % len(shape) for axis in axes)
    if len(set(positive)) < len(positive):
        raise ValueError(f"spatial_axes: expected different axes, got {tuple(axes)}")
    return positive


class _Reader:
    """Follows a program, and keeps the fields of its convolutions and pools."""

    def __init__(self, pixels: Shape) -> None:
        self.pixels = pixels
        self.fields: list[Field] = []
        self._counts: dict[str, int] = {}

    def run(self, program: Any, inputs: Sequence[Value]) -> list[Value]:
        """Return what the outputs of a program see, from what its inputs see."""
        jaxpr, arrays = getattr(program, "jaxpr", program), getattr(program, "consts", ())
        values: dict[Any, Value] = dict(zip(jaxpr.invars, inputs, strict=True))
        values.update(zip(jaxpr.constvars, map(constants.closed_over, arrays), strict=True))

        def read(var: Any) -> Value:
            if isinstance(var, Literal):
                return constants.literal(var.val, getattr(var.aval, "dtype", None))
            return values[var]

        for eqn in jaxpr.eqns:
            results = self._follow(eqn, [read(var) for var in eqn.invars])
            for var, value in zip(eqn.outvars, results, strict=True):
                without_elements = 0 in getattr(var.aval, "shape", ())
                values[var] = Constant() if without_elements else value
        return [read(var) for var in jaxpr.outvars]

    def keep(self, name: str, value: Value, shape: Shape) -> None:
        """Keep the field of a value under a name."""
        nothing = axis_map.constant(0, -1, len(shape))
        maps = (nothing,) * len(self.pixels) if isinstance(value, Constant) else value
        self.fields.append(_field(name, maps, shape, self.pixels))

    def _keep_layer(self, kind: str, eqn: JaxprEqn, value: Value) -> None:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if not isinstance(value, Constant):
            self.keep(f"{kind}{self._counts[kind]}", value, shape_of(eqn.outvars[0]))

    def _follow(self, eqn: JaxprEqn, inputs: Sequence[Value]) -> list[Value]:
        """Return what the results of one primitive see."""
        name = eqn.primitive.name
        called = next((eqn.params[key] for key in _PROGRAMS if key in eqn.params), None)
        if name in _CALLS and called is not None:
            return self._call(called, eqn, inputs)
        if name == "cond":
            return self._cond(eqn, inputs)
        known = [x for x in inputs if isinstance(x, Constant)]
        changed = len(known) < len(inputs)
        if name == "scan" and (changed or eqn.effects) and eqn.params["length"] <= _MOST_TURNS:
            return self._scan(eqn, inputs)
        if eqn.effects:  # the world outside, or a mutable array, which may have seen any pixel
            return [self._whole(var) for var in eqn.outvars]
        if not changed:
            return [constants.result(eqn, known, index) for index in range(len(eqn.outvars))]
        return self._primitive(eqn, inputs)

    def _call(self, called: Any, eqn: JaxprEqn, inputs: Sequence[Value]) -> list[Value]:
        results = self.run(called, inputs)
        jaxpr = getattr(called, "jaxpr", called)
        if jaxpr.debug_info is not None and jaxpr.debug_info.func_name == _OUR_MAXIMUM:
            self._keep_layer("pool", eqn, results[0])
        return results

    def _primitive(self, eqn: JaxprEqn, inputs: Sequence[Value]) -> list[Value]:
        values = [_value_of(x) for x in inputs]
        by_axis = []
        for index in range(len(self.pixels)):
            maps = [None if isinstance(x, Constant) else x[index] for x in inputs]
            by_axis.append(rules.results_of(Call(eqn, maps, values)))
        results: list[Value] = [tuple(maps) for maps in zip(*by_axis, strict=True)]
        kind = _LAYERS.get(eqn.primitive.name)
        if eqn.primitive.name.startswith("reduce_") and _unites_blocks(inputs[0], results[0]):
            kind = kind or "pool"
        if kind is not None:
            self._keep_layer(kind, eqn, results[0])
        return results

    def _cond(self, eqn: JaxprEqn, inputs: Sequence[Value]) -> list[Value]:
        """Unite what the branches see with what the choice between them sees."""
        choice, *operands = inputs
        ends = [self.run(branch, operands) for branch in eqn.params["branches"]]
        results = []
        for var, *values in zip(eqn.outvars, *ends, strict=True):
            rank = len(shape_of(var))
            if not isinstance(choice, Constant):
                values.append(tuple(axis_map.lone(x, (), rank) for x in choice))
            results.append(_union(values))
        return results

    def _scan(self, eqn: JaxprEqn, inputs: Sequence[Value]) -> list[Value]:
        """Follow every turn."""
        num_consts, num_carry = _split_of_scan(eqn.params)
        length, start = eqn.params["length"], num_consts + num_carry
        consts, carry, xs = inputs[:num_consts], list(inputs[num_consts:start]), inputs[start:]
        turns = range(length)[:: -1 if eqn.params["reverse"] else 1]
        stacked: list[list[Value]] = [[] for _ in eqn.outvars[num_carry:]]
        for turn in turns:
            entries = [
                _entry(x, turn, shape_of(v)) for x, v in zip(xs, eqn.invars[start:], strict=True)
            ]
            outputs = self.run(eqn.params["jaxpr"], [*consts, *carry, *entries])
            carry = outputs[:num_carry]
            for values, value in zip(stacked, outputs[num_carry:], strict=True):
                values.append(value)
        return carry + [self._stack(values[:: turns.step]) for values in stacked]

    def _stack(self, values: Sequence[Value]) -> Value:
        """Return what the results of all turns see, laid along a first axis."""
        if all(isinstance(x, Constant) for x in values):
            return Constant()
        return tuple(
            axis_map.stacked([None if isinstance(x, Constant) else x[index] for x in values], 0)
            for index in range(len(self.pixels))
        )

    def _whole(self, var: Any) -> Value:
        rank = len(getattr(var.aval, "shape", ()))
        return tuple(axis_map.constant(0, size - 1, rank) for size in self.pixels)


def _field(name: str, maps: Seen, shape: Shape, pixels: Shape) -> Field:
    """Describe what the elements of a value see, by the axis that tells one place alone."""
    axes = [set(x.line.axes) for x in maps]
    parts, known = [], []
    for x, own, size in zip(maps, axes, pixels, strict=True):
        alone = own.difference(*(other for other in axes if other is not own))
        place = alone.pop() if len(alone) == 1 else None
        x = axis_map.united(x, [axis for axis in range(len(shape)) if axis != place], shape)
        spans = x.spans if place is None else axis_map.full_along(x, place, shape[place])
        known.append(as_pairs(spans.reshape(2, -1)))
        lattice = x.line.lattice
        part = irregular(known[-1]) if lattice is None else regular(lattice, known[-1], pixels=size)
        parts.append(part)
    size, jump, start, padding = (tuple(values) for values in zip(*parts, strict=True))
    return Field(name, size, jump, start, padding, tuple(map(len, known)), tuple(known))


def _union(values: Sequence[Value]) -> Value:
    seen = [x for x in values if not isinstance(x, Constant)]
    return tuple(map(axis_map.union, zip(*seen, strict=True))) if seen else Constant()


def _value_of(x: Value) -> Callable[[], np.ndarray | None]:
    return lambda: x.value if isinstance(x, Constant) else None


def _unites_blocks(before: Value, after: Value) -> bool:
    """Tell whether an axis that was split in blocks lost the places within them: a pool."""
    if isinstance(before, Constant) or isinstance(after, Constant):
        return False
    pairs = zip(before, after, strict=True)
    return any(len(a.line.axes) > len(b.line.axes) > 0 for a, b in pairs)


def _entry(x: Value, index: int, shape: Shape) -> Value:
    """Return what x[index] sees."""
    if isinstance(x, Constant):
        return constants.entry(x, index)
    starts, counts = [index, *(0 for _ in shape[1:])], (1, *shape[1:])
    return tuple(axis_map.without(axis_map.sliced(a, starts, counts), [0]) for a in x)


def _split_of_scan(params: dict[str, Any]) -> tuple[int, int]:
    """Return the numbers of constants and of carried values, which JAX 0.12 tells by trees."""
    if "ft_in" in params:
        consts, carry, _ = params["ft_in"].unpack()
        return len(consts), len(carry)
    return params["num_consts"], params["num_carry"]
