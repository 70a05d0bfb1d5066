"""How strong a change is: a number, known or traced."""

import math
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from conv_jax.kernels.arguments import is_known, number


def strength(name: str, value: Any, *, at_most: float | int = math.inf) -> Float[Array, ""]:
    """Return a strength as an array of JAX's default float.

    Args:
      name: of the argument, for the error.
      value: a number, which may be traced.
      at_most: its limit.

    Returns:
      The strength.

    Raises:
      ValueError: if it is known and below 0 or above the limit.
    """
    limit = "" if at_most == math.inf else f" and at most {at_most:g}"
    expected = f"a number of at least 0{limit}"
    checked = number(name, value, expected=expected)
    if is_known(checked) and not 0 <= checked <= at_most:
        raise ValueError(f"{name}: expected {expected}, got {value!r}")
    return jnp.asarray(checked, float)


def is_off(value: Any) -> bool:
    """Tell whether a strength is None or known to be 0; one that is traced is on."""
    return value is None or (is_known(value) and not value)
