"""Pooling for Flax networks, [batch, spatial..., features], with a fast gradient."""

import functools
import itertools
import math
import operator
from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Windowed = Sequence[int]
LaxPadding = str | Sequence[tuple[int, int]]


def max_pool(
    x: Float[Array, "..."],
    window_shape: Windowed,
    strides: Windowed | None = None,
    padding: LaxPadding = "VALID",
) -> Float[Array, "..."]:
    """Take the maximum of each window; the same call as `flax.linen.max_pool`.

    Windows side by side (strides equal to the window, "VALID") are maxima of strided slices,
    whose gradient XLA:CPU computes about ten times faster than `reduce_window`'s. The whole
    gradient goes to the first of equal entries in row-major order, and NaN wins, as in torch.

    Args:
      x: [..., spatial axes, features]; as many spatial axes as `window_shape` has.
      window_shape: size of the window on each spatial axis, at least 1.
      strides: distance between windows; None means 1 on each axis, as in Flax.
      padding: "VALID", "SAME" or (before, after) pairs, filled with minus infinity.

    Returns:
      The pooled array, [..., spatial axes', features].

    Raises:
      ValueError: if x has too few axes, strides and window differ in length, or a number or word
        is out of range.
    """
    strides = _checked_strides(x, window_shape, strides)
    if tuple(strides) == tuple(window_shape) and padding == "VALID":
        return functools.reduce(_first_maximum, _slices(x, window_shape))
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
      padding: "VALID", "SAME" or (before, after) pairs, filled with zeros.
      count_include_pad: whether padded zeros count in the mean.

    Returns:
      The pooled array, [..., spatial axes', features].

    Raises:
      ValueError: if x has too few axes, strides and window differ in length, or a number or word
        is out of range.
    """
    strides = _checked_strides(x, window_shape, strides)
    if tuple(strides) == tuple(window_shape) and padding == "VALID":
        total = functools.reduce(operator.add, _slices(x, window_shape))
        return total / math.prod(window_shape)
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


def _slices(x: Array, window_shape: Windowed) -> list[Array]:
    """Return the entries of all windows, one strided slice per place in the window."""
    spatial = x.shape[-1 - len(window_shape) : -1]
    ends = [n - n % k for n, k in zip(spatial, window_shape, strict=True)]
    places = itertools.product(*map(range, window_shape))
    return [x[(..., *map(slice, place, ends, window_shape), slice(None))] for place in places]


def _first_maximum(first: Array, second: Array) -> Array:
    """Return the larger; `first` if they are equal, so that it takes the gradient; NaN if any."""
    return jnp.where((second > first) | jnp.isnan(second), second, first)


def _full_window(
    x: Array, window_shape: Windowed, strides: Windowed, padding: LaxPadding
) -> tuple[tuple[int, ...], tuple[int, ...], LaxPadding]:
    """Widen window, strides and padding over the batch and feature axes, for `reduce_window`."""
    batch = (1,) * (x.ndim - len(window_shape) - 1)
    if isinstance(padding, str) and padding not in ("VALID", "SAME"):
        raise ValueError(f"padding: expected 'VALID', 'SAME' or pairs, got {padding!r}")
    if not isinstance(padding, str):
        padding = (*((0, 0) for _ in batch), *padding, (0, 0))
    return (*batch, *window_shape, 1), (*batch, *strides, 1), padding
