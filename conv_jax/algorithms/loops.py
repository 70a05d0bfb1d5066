"""What makes XLA compile fast loops over pixels: sums of shifted copies, loops kept apart."""

import functools
import math
from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Num

from conv_jax.padding import Pair

_CHAINS = 3
_LINE = 16  # float32 numbers in a line of a cache


def chained_sum(terms: Sequence[Array]) -> Array:
    """Add up in a few sums side by side, so that one addition need not wait for the last."""
    chains = [functools.reduce(lax.add, terms[i::_CHAINS]) for i in range(_CHAINS) if terms[i:]]
    return functools.reduce(lax.add, chains)


def shift(
    image: Num[Array, "G N C H W"], start: tuple[int, int, int], *, size: Pair, stride: Pair
) -> Num[Array, "G N 1 H_out W_out"]:
    """Return the pixels from a channel, row and column on; jnp's indexing would trace slowly."""
    channel, row, column = start
    last = row + (size[0] - 1) * stride[0], column + (size[1] - 1) * stride[1]
    return lax.slice(
        image,
        (0, 0, channel, row, column),
        (*image.shape[:2], channel + 1, last[0] + 1, last[1] + 1),
        (1, 1, 1, *stride),
    )


def apart(
    compute: Callable[[], Array],
    kernel: Num[Array, "G O C kH kW"],
    *,
    shape: Sequence[int],
    dtype: jnp.dtype,
) -> Array:
    """Compute as a unit of its own: XLA on a CPU fuses nothing into it and it into nothing.

    XLA drops `lax.optimization_barrier` before it fuses, but cannot look beyond a condition on
    data. This one fails only where the first weight of every kernel is NaN, and so every sum.
    """
    is_complex = jnp.issubdtype(dtype, jnp.complexfloating)
    nan = complex(math.nan, math.nan) if is_complex else math.nan
    nans = functools.partial(jnp.full, shape, nan, dtype)
    return lax.cond(jnp.isnan(kernel[:, :, 0, 0, 0]).all(), nans, compute)


def spread_width(width: int) -> int:
    """Return the least width, of at least this, at which rows spread over all sets of a cache.

    Rows an even number of lines apart, a power of two above all, share a few sets, and push
    each other out of the cache where a loop reads many at once.

    >>> [spread_width(n) for n in (1, 16, 513, 1024)]
    [16, 16, 528, 1040]
    """
    return (-(-width // _LINE) | 1) * _LINE
