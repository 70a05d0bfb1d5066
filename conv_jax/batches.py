"""A batch axis of `jax.vmap` merged into an axis that an operation has already."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Shaped


def merge(array: Shaped[Array, "..."], axis: int, into: int) -> Shaped[Array, "..."]:
    """Merge a batch axis into another one, before whose elements it comes.

    Args:
      array: with the batch axis.
      axis: the batch axis.
      into: the other one, counted without the batch axis.
    """
    array = jnp.moveaxis(array, axis, into)
    merged = array.shape[into] * array.shape[into + 1]
    return array.reshape(*array.shape[:into], merged, *array.shape[into + 2 :])


def fold(
    array: Shaped[Array, "..."],
    axis: int,
    into: int,
    *,
    compute: Callable[[Array], Array],
    out_axis: int,
) -> tuple[Shaped[Array, "..."], int]:
    """Merge a batch axis, compute, and take the batch out of an axis of the result.

    That axis is as long as the one that the batch was merged into.

    Returns:
      The result and its batch axis, `out_axis`.
    """
    result = compute(merge(array, axis, into))
    size, rest = array.shape[axis], jnp.moveaxis(array, axis, into).shape[into + 1]
    shape = (*result.shape[:out_axis], size, rest, *result.shape[out_axis + 1 :])
    return result.reshape(shape), out_axis
