"""What the result of each primitive sees, from what its operands see: one axis of the image.

What no rule describes sees all that its operands see: never less than the truth.
"""

import math

import numpy as np
from jaxtyping import Bool

from conv_jax.receptive_field import movement_rules, window_rules
from conv_jax.receptive_field.axis_map import (
    AxisMap,
    compact,
    full_along,
    irregular,
    lone,
    transposed,
    union,
    united,
    without,
)
from conv_jax.receptive_field.calls import Call, Rule, everything, shape_of
from conv_jax.receptive_field.lattice import NOTHING

_MOST_NUMBERS = 2**24  # of a matrix product whose zeros are looked at

_ELEMENTWISE = """
abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e
bitcast_convert_type cbrt ceil clamp clz complex conj convert_element_type copy copy_p cos cosh
device_put digamma div eq eq_to erf erf_inv erfc exp exp2 expm1 floor ge gt igamma igamma_grad_a
igammac imag integer_pow is_finite layout_constraint le le_to lgamma log log1p log2 logistic lt
lt_to max min mul mulhi name ne neg nextafter not one_minus_square optimization_barrier or
polygamma population_count pow pvary random_gamma_grad real reduce_precision
regularized_incomplete_beta relayout rem reshard round rsqrt select_n sharding_constraint
shift_left shift_right_arithmetic shift_right_logical sign sin sinh sqrt square stop_gradient sub
tan tanh xor zeta
"""
_SUMS = """
argmax argmin reduce reduce_and reduce_max reduce_min reduce_or reduce_prod reduce_sum reduce_xor
"""
_RUNNING_SUMS = "cumlogsumexp cummax cummin cumprod cumsum"
_POOLS = "reduce_window reduce_window_max reduce_window_min reduce_window_sum"
_WRITES = "scatter scatter-add scatter-max scatter-min scatter-mul scatter-sub dynamic_update_slice"
_RESULTS_ALIKE = ("reduce", "reduce_window", "sort", "top_k")  # all see the same


def results_of(call: Call) -> list[AxisMap]:
    """Return what the elements of each of a primitive's results see."""
    name, count = call.eqn.primitive.name, len(call.eqn.outvars)
    if name in ("split", "unstack"):
        return movement_rules.parts(call)
    if count > 1 and name not in _RESULTS_ALIKE:
        return [everything(call, result=index) for index in range(count)]
    return [_RULES.get(name, everything)(call)] * count


def _elementwise(call: Call) -> AxisMap:
    """Every element of the result sees what the same element of an operand sees."""
    shape, seen = call.result_shape, []
    for x, given in call.operands:
        if not given:
            x = lone(x, given, len(shape))
        elif len(given) != len(shape) or any(
            n not in (1, m) for n, m in zip(given, shape, strict=True)
        ):
            return everything(call)
        repeated = [n != m for n, m in zip(given, shape, strict=False)]
        strides = [0 if r else s for s, r in zip(x.line.strides, repeated, strict=False)]
        seen.append(x._replace(line=x.line.moved(strides)) if any(repeated) else x)
    return union(seen)


def _sort(call: Call) -> AxisMap:
    axis = call.params["axis"] if "axis" in call.params else call.params["dimension"]
    return union([united(x, [axis], shape) for x, shape in call.operands])


def _reduce(call: Call) -> AxisMap:
    axes = call.params["axes"] if "axes" in call.params else call.params["dimensions"]
    if any(shape != call.shape for _, shape in call.operands):  # a start that pixels change
        return everything(call)
    return union([without(united(x, axes, shape), axes) for x, shape in call.operands])


def _cumulate(call: Call) -> AxisMap:
    """An element sees what those before it see, or behind it."""
    x, axis = call.only, call.params["axis"]
    turned = slice(None, None, -1 if call.params["reverse"] else 1)
    spans = np.moveaxis(full_along(x, axis, call.shape[axis]), 1 + axis, 0)[turned]
    spans = np.moveaxis(np.minimum.accumulate(spans)[turned], 0, 1 + axis)
    along = x.line.strides[axis] != 0
    return AxisMap(compact(spans), irregular(x.line.strides) if along else x.line)


def _dot_general(call: Call) -> AxisMap:
    """Unite over the axes that are contracted; the others lie batch, left, right."""
    contracted, batches = call.params["dimension_numbers"]
    rank, seen = len(call.result_shape), []
    for side, x in enumerate(call.maps):
        if x is None:
            continue
        shape = shape_of(call.eqn.invars[side])
        summed, batch = list(contracted[side]), list(batches[side])
        free = [axis for axis in range(len(shape)) if axis not in (*summed, *batch)]
        nonzero = _nonzero(call, side, x)
        if nonzero is not None:
            order = [*free, *summed] if side == 0 else [*summed, *free]
            seen.append(transposed(_by_matrix(x, summed[0], nonzero), order))
            continue
        kept = [*batch, *free]
        x = transposed(united(x, summed, shape), [*kept, *summed])
        x = without(x, range(len(kept), len(shape)))
        seen.append(_widened(x, len(kept) if side == 0 else len(batch), rank - len(kept)))
    return union(seen)


def _nonzero(call: Call, side: int, x: AxisMap) -> Bool[np.ndarray, "f c"] | None:
    """Return where a known matrix that one axis is multiplied by is not zero, as in resizing."""
    contracted, batches = call.params["dimension_numbers"]
    summed, other = contracted[side], shape_of(call.eqn.invars[1 - side])
    single = len(summed) == 1 and not batches[side] and len(other) == 2
    if not single or x.spans.shape[1 + summed[0]] == 1 or math.prod(other) > _MOST_NUMBERS:
        return None
    matrix = call.values[1 - side]()
    if matrix is None or not matrix.any():  # as weights may be before training
        return None
    return (matrix if contracted[1 - side][0] == 1 else matrix.T) != 0


def _by_matrix(x: AxisMap, axis: int, nonzero: Bool[np.ndarray, "f c"]) -> AxisMap:
    """Return the map of a product with a matrix along an axis: zeros see nothing."""
    inputs = np.moveaxis(x.spans, 1 + axis, -1)
    outputs = [np.where(row, inputs, np.int32(NOTHING)).min(-1) for row in nonzero]
    return AxisMap(np.stack(outputs, 1 + axis), irregular(x.line.strides))


def _widened(x: AxisMap, at: int, count: int) -> AxisMap:
    """Return the map with `count` axes more, which make no difference."""
    shape, strides = list(x.spans.shape), list(x.line.strides)
    shape[1 + at : 1 + at] = [1] * count
    strides[at:at] = [0] * count
    return AxisMap(x.spans.reshape(shape), x.line.moved(strides))


_RULES: dict[str, Rule] = {
    "broadcast_in_dim": movement_rules.broadcast_in_dim,
    "concatenate": movement_rules.concatenate,
    "conv_general_dilated": window_rules.conv_general_dilated,
    "corr2d": window_rules.corr2d,
    "correlate_channels": window_rules.correlate_channels,
    "dot_general": _dot_general,
    "dynamic_slice": movement_rules.dynamic_slice,
    "gather": movement_rules.gather,
    "pad": movement_rules.pad,
    "reshape": movement_rules.reshape,
    "rev": movement_rules.rev,
    "slice": movement_rules.cut,
    "sort": _sort,
    "squeeze": movement_rules.squeeze,
    "stack": movement_rules.stack,
    "tile": movement_rules.tile,
    "top_k": _sort,
    "transpose": movement_rules.transpose,
    **dict.fromkeys(_ELEMENTWISE.split(), _elementwise),
    **dict.fromkeys(_SUMS.split(), _reduce),
    **dict.fromkeys(_RUNNING_SUMS.split(), _cumulate),
    **dict.fromkeys(_POOLS.split(), window_rules.reduce_window),
    **dict.fromkeys(_WRITES.split(), movement_rules.write),
}
