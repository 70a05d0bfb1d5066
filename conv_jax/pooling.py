"""Pooling for networks: the calls of Flax, with a gradient that is fast on CPUs."""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Windowed = Sequence[int]
LaxPadding = str | Sequence[tuple[int, int]]

_MOST_PLACES = 64  # of a window whose maximum is found place by place; more compile for long


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
        return window_maximum(_blocks(x, window_shape), len(window_shape))
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
def window_maximum(blocks: Array, num_axes: int) -> Array:
    """Return the maximum of each window; its derivative is that of the place it came from."""
    return _first_maximum(blocks, num_axes)[0]


@window_maximum.defjvp
def _window_maximum_jvp(
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
