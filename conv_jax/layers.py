"""Convolution and pooling for networks: the calls of lax and Flax, in programs fast on CPUs."""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Num

from conv_jax.multichannel.placement import Placement
from conv_jax.multichannel.primitive import Options, correlate

Windowed = Sequence[int]
LaxPadding = str | Sequence[tuple[int, int]]

_OURS = ("float16", "bfloat16", "float32", "float64")
_MOST_PLACES = 64  # of a window whose maximum is found place by place; more compile for long


def conv_general_dilated(
    lhs: ArrayLike,
    rhs: ArrayLike,
    window_strides: Sequence[int],
    padding: LaxPadding,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Num[Array, "..."]:
    """Correlate images with channels; the same call as `jax.lax.conv_general_dilated`.

    On a CPU it takes matrix products, sums of shifted images or XLA's own convolution in its
    fast layout, whatever the shapes make fastest, and does so inside loops as well, where
    XLA alone takes a layout without a fast program (jax#12868). On other platforms it is XLA's
    convolution. Derivatives of both modes and any order, `jax.vmap` and sharding work alike.
    Complex numbers, integers, batch groups, more than three spatial axes, symbolic shapes of
    `jax.export` and meshes with explicit axes go to lax itself.

    Args:
      lhs: images, with a batch axis, a channel axis and the spatial axes.
      rhs: kernels, with axes of output and input channels and the spatial axes.
      window_strides: distance between outputs along every spatial axis.
      padding: "SAME", "SAME_LOWER", "VALID" or (before, after) pairs of zeros.
      lhs_dilation: distance between the elements of lhs; above 1 for transposed convolutions.
      rhs_dilation: distance between the elements of rhs; above 1 for dilated convolutions.
      dimension_numbers: the order of the axes, as ("NHWC", "HWIO", "NHWC"); lax's default is
        channels first.
      feature_group_count: groups of channels that are correlated apart.
      batch_group_count: groups of images that are correlated apart.
      precision: of the products on accelerators, as lax takes it.
      preferred_element_type: dtype of the sums and the result.
      out_sharding: of the result, on a mesh with explicit axes.

    Returns:
      The array that lax returns, to within rounding. On a CPU, an infinity or a NaN also reaches
      outputs and gradients next to those that see it, for some are multiplied by zeros there.

    Raises:
      TypeError, ValueError, RuntimeError: as lax does.

    >>> images, kernels = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 4))
    >>> layout = ("NHWC", "HWIO", "NHWC")
    >>> conv_general_dilated(images, kernels, (1, 1), "SAME", dimension_numbers=layout).shape
    (2, 8, 8, 4)
    """
    by_lax = functools.partial(
        lax.conv_general_dilated,
        window_strides=window_strides,
        padding=padding,
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        dimension_numbers=dimension_numbers,
        feature_group_count=feature_group_count,
        batch_group_count=batch_group_count,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )
    lhs, rhs = jnp.asarray(lhs), jnp.asarray(rhs)
    meshes = [jax.typeof(array).sharding.mesh for array in (lhs, rhs)]
    meshes.append(jax.sharding.get_abstract_mesh())
    explicit = any(AxisType.Explicit in mesh.axis_types for mesh in meshes)
    symbolic = not all(isinstance(size, int) for size in (*lhs.shape, *rhs.shape))
    if explicit or symbolic or batch_group_count != 1 or out_sharding is not None:
        return by_lax(lhs, rhs)
    types = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in (lhs, rhs)]
    read = jax.make_jaxpr(by_lax)(*types)  # lax checks the call, and says all of it in one form
    (call,), (out,) = read.eqns, read.out_avals
    dtypes = {array.dtype.name for array in (lhs, rhs, out)}
    if not dtypes <= set(_OURS) or not 3 <= lhs.ndim <= 5:
        return by_lax(lhs, rhs)
    return _correlate(lhs, rhs, feature_group_count, dtype=out.dtype, **call.params)


def max_pool(
    x: Float[Array, "..."],
    window_shape: Windowed,
    strides: Windowed | None = None,
    padding: LaxPadding = "VALID",
) -> Float[Array, "..."]:
    """Take the maximum of each window; the same call as `flax.linen.max_pool`.

    Windows of up to 64 places side by side (strides equal to the window, "VALID") keep the place
    of each maximum, to which the gradient goes. The whole gradient goes to the first of equal
    entries in row-major order, and NaN wins, as in torch. Other windows are
    `jax.lax.reduce_window`'s.

    Args:
      x: [..., spatial axes, features]; as many spatial axes as `window_shape` has.
      window_shape: size of the window on each spatial axis, at least 1.
      strides: distance between windows; None means 1 on each axis, as in Flax.
      padding: "VALID", "SAME", "SAME_LOWER" or (before, after) pairs, filled with minus infinity.

    Returns:
      The pooled array, [..., spatial axes', features].

    Raises:
      ValueError: if x has too few axes, strides and window differ in length, or a number or word
        is out of range.

    >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1), (2, 2), (2, 2)).ravel().tolist()
    [5.0, 7.0, 13.0, 15.0]
    """
    strides = _checked_strides(x, window_shape, strides)
    beside = tuple(strides) == tuple(window_shape) and padding == "VALID"
    if beside and math.prod(window_shape) <= _MOST_PLACES:
        return _maximum(_blocks(x, window_shape), len(window_shape))
    window = _full_window(x, window_shape, strides, padding)
    return lax.reduce_window(x, -jnp.inf, lax.max, *window)


def avg_pool(
    x: Float[Array, "..."],
    window_shape: Windowed,
    strides: Windowed | None = None,
    padding: LaxPadding = "VALID",
    count_include_pad: bool = True,
) -> Float[Array, "..."]:
    """Take the mean of each window; the same call as `flax.linen.avg_pool`.

    Args:
      x: [..., spatial axes, features]; as many spatial axes as `window_shape` has.
      window_shape: size of the window on each spatial axis, at least 1.
      strides: distance between windows; None means 1 on each axis, as in Flax.
      padding: "VALID", "SAME", "SAME_LOWER" or (before, after) pairs, filled with zeros.
      count_include_pad: whether padded zeros count in the mean.

    Returns:
      The pooled array, [..., spatial axes', features].

    Raises:
      ValueError: if x has too few axes, strides and window differ in length, or a number or word
        is out of range.

    >>> avg_pool(jnp.arange(16.0).reshape(1, 4, 4, 1), (2, 2), (2, 2)).ravel().tolist()
    [2.5, 4.5, 10.5, 12.5]
    """
    strides = _checked_strides(x, window_shape, strides)
    if tuple(strides) == tuple(window_shape) and padding == "VALID":
        num_axes = len(window_shape)
        blocks = _blocks(x, window_shape)
        return jnp.mean(blocks, axis=_within(num_axes))
    window = _full_window(x, window_shape, strides, padding)
    total = lax.reduce_window(x, 0.0, lax.add, *window)
    if count_include_pad:
        return total / math.prod(window_shape)
    return total / lax.reduce_window(jnp.ones_like(x), 0.0, lax.add, *window)


def _checked_strides(x: Array, window_shape: Windowed, strides: Windowed | None) -> Windowed:
    if x.ndim < len(window_shape) + 1:
        raise ValueError(
            f"x: expected at least {len(window_shape) + 1} axes for window_shape "
            f"{tuple(window_shape)}, got shape {x.shape}"
        )
    strides = (1,) * len(window_shape) if strides is None else strides
    if len(strides) != len(window_shape):
        raise ValueError(
            f"strides: expected {len(window_shape)} numbers, as window_shape has, "
            f"got {tuple(strides)}"
        )
    for name, sizes in (("window_shape", window_shape), ("strides", strides)):
        if min(sizes, default=1) < 1:
            raise ValueError(f"{name}: expected numbers of at least 1, got {tuple(sizes)}")
    return strides


def _blocks(x: Array, window_shape: Windowed) -> Array:
    """Split each spatial axis in two: windows side by side, and the places within a window."""
    num_axes = len(window_shape)
    spatial = x.shape[-1 - num_axes : -1]
    counts = [n // k for n, k in zip(spatial, window_shape, strict=True)]
    whole = [slice(m * k) for m, k in zip(counts, window_shape, strict=True)]
    split = itertools.chain(*zip(counts, window_shape, strict=True))
    batch = x.shape[: -1 - num_axes]
    return x[(..., *whole, slice(None))].reshape(*batch, *split, x.shape[-1])


def _within(num_axes: int) -> tuple[int, ...]:
    """Return the axes of blocks that count places within a window."""
    return tuple(range(-2 * num_axes, 0, 2))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _maximum(blocks: Array, num_axes: int) -> Array:
    """Return the maximum of each window; its derivative is that of the place it came from."""
    return _first_maximum(blocks, num_axes)[0]


@_maximum.defjvp
def _maximum_jvp(
    num_axes: int, primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    maximum, place = _first_maximum(primals[0], num_axes)
    axes = _within(num_axes)
    chosen = jnp.expand_dims(place, axes) == _numbers(primals[0], num_axes, place.dtype)
    return maximum, jnp.sum(jnp.where(chosen, tangents[0], 0), axes)


def _first_maximum(blocks: Array, num_axes: int) -> tuple[Array, Array]:
    """Return the maximum of each window and its place, the first of equals; NaN wins."""
    sizes = [blocks.shape[axis] for axis in _within(num_axes)]
    parts = [
        blocks[(..., *itertools.chain(*((slice(None), i) for i in indices)), slice(None))]
        for indices in itertools.product(*map(range, sizes))
    ]
    maximum = parts[0]
    place = jnp.zeros(maximum.shape, jnp.int8)
    for number, some in enumerate(parts[1:], start=1):
        wins = (some > maximum) | jnp.isnan(some)
        maximum = jnp.where(wins, some, maximum)
        place = jnp.where(wins, jnp.asarray(number, place.dtype), place)
    return maximum, place


def _numbers(blocks: Array, num_axes: int, dtype: Any) -> Array:
    """Number the places within a window in row-major order, along the axes of blocks."""
    sizes = [blocks.shape[axis] for axis in _within(num_axes)]
    shape = [1] * blocks.ndim
    for axis, size in zip(_within(num_axes), sizes, strict=True):
        shape[axis] = size
    return jnp.arange(math.prod(sizes), dtype=dtype).reshape(shape)


def _full_window(
    x: Array, window_shape: Windowed, strides: Windowed, padding: LaxPadding
) -> tuple[tuple[int, ...], tuple[int, ...], LaxPadding]:
    """Widen window, strides and padding over the batch and feature axes, for `reduce_window`."""
    batch = (1,) * (x.ndim - len(window_shape) - 1)
    if isinstance(padding, str) and padding not in ("VALID", "SAME", "SAME_LOWER"):
        words = "'VALID', 'SAME', 'SAME_LOWER'"
        raise ValueError(f"padding: expected {words} or pairs, got {padding!r}")
    if not isinstance(padding, str):
        padding = (*((0, 0) for _ in batch), *padding, (0, 0))
    return (*batch, *window_shape, 1), (*batch, *strides, 1), padding


def _correlate(
    lhs: Array,
    rhs: Array,
    groups: int,
    *,
    dtype: Any,
    dimension_numbers: lax.ConvDimensionNumbers,
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int],
    rhs_dilation: Sequence[int],
    precision: Any,
    **_: Any,
) -> Array:
    """Bring the axes into one order, correlate, and bring those of the result into theirs."""
    batch, channel, *spatial = dimension_numbers.lhs_spec
    images = lhs.transpose(batch, *spatial, channel)
    out_channel, in_channel, *spatial = dimension_numbers.rhs_spec
    kernels = rhs.transpose(*spatial, in_channel, out_channel)
    before, after = zip(*padding, strict=True)
    out = correlate(
        _in_groups(images, groups)[None],
        _in_groups(kernels, groups)[None],
        options=Options(
            window=tuple(map(Placement, window_strides, before, after, lhs_dilation, rhs_dilation)),
            precision=precision,
            dtypes=(lhs.dtype.name, rhs.dtype.name, dtype.name),
        ),
    )
    out = out.reshape(*out.shape[1:-2], out.shape[-2] * out.shape[-1])
    batch, channel, *spatial = dimension_numbers.out_spec
    return out.transpose(np.argsort((batch, *spatial, channel)))


def _in_groups(array: Array, groups: int) -> Array:
    """Split the last axis into groups."""
    return array.reshape(*array.shape[:-1], groups, array.shape[-1] // groups)
