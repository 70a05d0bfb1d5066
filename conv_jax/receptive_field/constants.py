"""Values in a program that no pixel changes: computed only where a rule asks for the number."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn, jaxprs_in_params

_DRAWN = ("random_", "rng_", "threefry")  # beginnings of primitives whose results are weights


class Constant:
    """A value that no pixel changes: indices and the weights of a resizing are known, for instance.

    Args:
      compute: a function that returns it, given the constants that the same trace has computed
        already, by their ids; None if the value is not known.
    """

    def __init__(self, compute: Callable[[dict[int, Any]], Any] | None = None) -> None:
        self._compute = compute

    @property
    def known(self) -> bool:
        """Tell whether the value can be computed."""
        return self._compute is not None

    @functools.cached_property
    def value(self) -> np.ndarray | None:
        """The number, None if it is not known."""
        if not self.known:
            return None
        with jax.ensure_compile_time_eval():
            try:
                return np.asarray(jax.jit(lambda: self.traced({}))())
            except RecursionError:  # behind a thousand operations that nobody asked for before
                return None

    def traced(self, computed: dict[int, Any]) -> Any:
        """Return the value within a trace, where each constant is computed once."""
        if "value" in self.__dict__:
            return self.value
        if id(self) not in computed:
            assert self._compute is not None
            computed[id(self)] = self._compute(computed)
        return computed[id(self)]


def closed_over(array: Any) -> Constant:
    """Return an array that a function closes over: known if it may be an index, not if a weight."""
    index = jnp.issubdtype(array.dtype, jnp.integer) or array.dtype == bool
    return Constant((lambda _: array) if index else None)


def literal(value: Any, dtype: Any) -> Constant:
    """Return a number that is written in the program."""
    return Constant(lambda _: np.asarray(value, dtype))


def result(eqn: JaxprEqn, operands: Sequence[Constant], index: int) -> Constant:
    """Return a result of a primitive, known if the operands are, unless it is drawn at random.

    What a primitive that runs another program gives is not looked at either.
    """
    drawn = eqn.primitive.name.startswith(_DRAWN)
    if drawn or not all(x.known for x in operands) or any(jaxprs_in_params(eqn.params)):
        return Constant()

    def compute(computed: dict[int, Any]) -> Any:
        results = eqn.primitive.bind(*(x.traced(computed) for x in operands), **eqn.params)
        return results[index] if eqn.primitive.multiple_results else results

    return Constant(compute)


def entry(x: Constant, index: int) -> Constant:
    """Return x[index] along the first axis."""
    return Constant((lambda computed: x.traced(computed)[index]) if x.known else None)
