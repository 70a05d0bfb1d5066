"""What the kernels' functions share: their arguments checked, their results made arrays."""

import contextlib
import math
import operator
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Shaped

from conv_jax import dtypes
from conv_jax.padding import Pair, positive_pair

Known = int | float | np.number
Number = Known | Shaped[Array, ""]


def as_taps(taps: Any) -> Float[Array, "*axes"]:
    """Return taps as JAX's default float; known ones stay known while a caller is traced.

    A known kernel may be taken apart by `corr2d` into a column and a row.
    """
    with at_once_if_known(taps):
        values = np.asarray(taps, dtype=float) if is_known(taps) else taps
        return jnp.asarray(values, dtype=float)


def at_once_if_known(*values: Any) -> contextlib.AbstractContextManager[Any]:
    """Compute within it now what depends on known values alone, though a caller is traced."""
    return jax.ensure_compile_time_eval() if is_known(*values) else contextlib.nullcontext()


def real_matrix(kernel: Any) -> Float[Array, "kH kW"]:
    """Return a kernel as real numbers of at least 32 bits; known ones are finite."""
    array = dtypes.as_array("kernel", kernel)
    came = f"got {array.dtype}{list(array.shape)}"
    if array.ndim != 2 or not array.size or jnp.iscomplexobj(array):
        raise ValueError(f"kernel: expected a shape (kH, kW) of real numbers, {came}")
    if is_known(array) and not np.isfinite(np.asarray(array, dtype=float)).all():
        raise ValueError(f"kernel: expected finite numbers, {came} with others among them")
    with jax.numpy_dtype_promotion("standard"):
        return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def odd_sizes(size: Any) -> Pair:
    """Return (kH, kW), both odd, so that the kernel has a centre."""
    height, width = positive_pair("size", size)
    if not (height % 2 and width % 2):
        raise ValueError(f"size: expected odd sizes, which have a centre, got {size!r}")
    return height, width


def centre(sizes: Pair) -> np.ndarray:
    """Return 1 in the centre of odd sizes, and 0 around it."""
    taps = np.zeros(sizes)
    taps[sizes[0] // 2, sizes[1] // 2] = 1
    return taps


def is_known(*values: Any) -> bool:
    """Tell whether no array in the values is being traced."""
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(values))


def namespace(*values: Any) -> ModuleType:
    """Return NumPy for known numbers, so for float64 and no compilation, else jax.numpy."""
    return np if is_known(*values) else jnp


def positive(name: str, value: Any) -> Any:
    """Return a number above 0; one that is traced as it came."""
    return number(name, value, expected="a finite number above 0", above=0)


def number(
    name: str, value: Any, *, expected: str = "a finite number", above: int | None = None
) -> Any:
    """Return a finite number, above a limit where one is given; one that is traced as it came."""
    if isinstance(value, Tracer) and value.shape == ():
        return value
    try:
        known = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError, jax.errors.ConcretizationTypeError):
        known = math.nan
    if not math.isfinite(known) or (above is not None and known <= above):
        raise ValueError(f"{name}: expected {expected}, got {value!r}")
    return known


def positive_numbers(name: str, value: Any) -> tuple[Any, Any]:
    """Return one number, or a pair (down, right), as a pair, both above 0."""
    expected = "a finite number above 0, or two (down, right)"
    one = not isinstance(value, tuple | list) and not np.shape(value)
    down, right = (value, value) if one else two(name, value, expected=expected)
    return (
        number(name, down, expected=expected, above=0),
        number(name, right, expected=expected, above=0),
    )


def known_number(name: str, value: Any) -> float:
    """Return a finite number that is known, for it makes a shape or chooses a formula."""
    _refuse_traced(name, value)
    return number(name, value)


def known_positive(name: str, value: Any) -> float:
    """Return a number above 0 that is known."""
    _refuse_traced(name, value)
    return positive(name, value)


def direction(vector: Any) -> tuple[Any, Any]:
    """Return the numbers (down, right) of a vector that is not zero."""
    expected = "two finite numbers (down, right), not both 0"
    down, right = (
        number("vector", part, expected=expected)
        for part in two("vector", vector, expected=expected)
    )
    if is_known(down, right) and down == right == 0:
        raise ValueError(f"vector: expected {expected}, got {vector!r}")
    return down, right


def whole(name: str, value: Any, *, at_least: int) -> int:
    """Return a whole number of at least so much."""
    try:
        given = operator.index(value)
    except TypeError:
        given = at_least - 1
    if given < at_least or isinstance(value, bool):
        raise ValueError(f"{name}: expected a whole number of at least {at_least}, got {value!r}")
    return given


def checked_axis(axis: Any) -> int:
    """Return 0 or 1."""
    if isinstance(axis, bool) or axis not in (0, 1):
        raise ValueError(f"axis: expected 0 (down) or 1 (right), got {axis!r}")
    return int(axis)


def along(taps: Any, axis: int) -> Any:
    """Return [k] as a column [k, 1] for axis 0, as a row [1, k] for axis 1."""
    return taps[:, None] if axis == 0 else taps[None, :]


def offsets(size: int) -> np.ndarray:
    """Return the distances of `size` taps from their centre, which may lie between two."""
    return np.arange(size) - (size - 1) / 2


def two(name: str, value: Any, *, expected: str) -> tuple[Any, Any]:
    """Return the two entries of a pair."""
    try:
        first, second = value
    except (TypeError, ValueError):
        raise ValueError(f"{name}: expected {expected}, got {value!r}") from None
    return first, second


def _refuse_traced(name: str, value: Any) -> None:
    if isinstance(value, Tracer):
        raise ValueError(f"{name}: expected a number known when the call is traced, got {value!r}")
