"""Programs that XLA fuses with nothing around them."""

from collections.abc import Callable

import jax
from jax.experimental.xla_metadata import set_xla_metadata
from jaxtyping import Array


def apart(compute: Callable[..., Array]) -> Callable[..., Array]:
    """Return a function that XLA does not inline, for a program of a single device.

    Fused into a sum of shifted parts, XLA computes what gives the image once for every part; and
    fused with what reads the sum, it adds up every element once for each time that it is read.
    `lax.optimization_barrier` does not help: XLA on a CPU drops it before it fuses.
    """

    def inner(*arrays: Array) -> Array:
        with set_xla_metadata(inlineable=None):  # what it calls is inlined
            return compute(*arrays)

    def call(*arrays: Array) -> Array:
        with set_xla_metadata(inlineable="false"):
            return jax.jit(inner)(*arrays)

    return call
