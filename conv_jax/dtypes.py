"""The dtype rule of corr2d: what sums are kept in, what is returned, and what would be lost."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped


def as_array(name: str, value: Any) -> Array:
    """Return numbers as a JAX array; refuse integers that lose bits for want of x64.

    Args:
      name: of the argument, for the error.
      value: an array, nested lists, or an object with `__jax_array__`, such as `nnx.Param`.

    Returns:
      The array, of numbers or booleans.

    Raises:
      ValueError: if it is no array of numbers, or holds integers out of JAX's range.
    """
    if not isinstance(value, jax.Array) and hasattr(value, "__jax_array__"):
        value = value.__jax_array__()
    if np.ma.is_masked(value):
        raise ValueError(f"{name}: expected numbers without a mask, got a masked array; fill it")
    try:
        host = None if isinstance(value, jax.Array) else np.asarray(value)
    except jax.errors.TracerArrayConversionError:  # lists of traced numbers
        host = None
    except ValueError:
        raise ValueError(f"{name}: expected rows of equal length, got {value!r}") from None
    given = jnp.asarray(value).dtype if host is None else host.dtype
    is_number = given == np.bool_ or jnp.issubdtype(given, np.number)
    if not is_number or given.kind in "mM":  # NumPy counts durations among them
        raise ValueError(f"{name}: expected an array of numbers, got dtype {given}")
    if host is not None:
        host = host.astype(given.newbyteorder("="), copy=False)  # files may have the other order
        if jnp.issubdtype(given, np.inexact) and given.itemsize > 8 * (1 + (given.kind == "c")):
            raise ValueError(f"{name}: expected a type that JAX has, got {given}; cast it")
    array = jnp.asarray(value if host is None else host)
    if host is not None and host.dtype.kind in "iu" and host.dtype != array.dtype and host.size:
        limits = np.iinfo(array.dtype)
        if host.min() < limits.min or host.max() > limits.max:
            raise ValueError(
                f"{name}: expected values that {array.dtype} holds, or JAX's x64 on, got "
                f"{host.dtype} from {host.min()} to {host.max()}"
            )
    return array


def sum_and_result(
    image: np.dtype, kernel: np.dtype, *, preferred: Any = None
) -> tuple[np.dtype, np.dtype]:
    """Return the dtype of the sums and the dtype of the result.

    Args:
      image: dtype of the image.
      kernel: dtype of the kernel.
      preferred: what the caller wants of the result; None for the rule of `corr2d`.

    Returns:
      (sums, result).

    Raises:
      ValueError: for types without a common one, or a preference that loses too much.
    """
    with jax.numpy_dtype_promotion("standard"):  # the rule is the same in JAX's "strict" mode
        try:
            common = jnp.promote_types(image, kernel)
        except ValueError:
            raise ValueError(
                f"image and kernel: expected types with a common one, got {image} and {kernel}; "
                "cast one"
            ) from None
        if _kind(image) == _kind(kernel) == 0:
            common = _exact_integer(image, kernel, common)
        result = common if preferred is None else _checked_preference(preferred, common)
        wide = [_at_least_32_bits(d) for d in (common, result) if _kind(d) == _kind(result)]
        return jnp.promote_types(wide[0], wide[-1]), result


def scalar(name: str, value: Any, dtype: np.dtype) -> Shaped[Array, ""]:
    """Return one number in a dtype.

    Args:
      name: of the argument, for the error.
      value: a number or an array without axes.
      dtype: the type it is to have.

    Returns:
      The number; a float is rounded to the dtype.

    Raises:
      ValueError: if it is not one number, or the dtype cannot hold it.
    """
    expected = f"{name}: expected a number that {dtype} holds, got {value!r}"
    if isinstance(value, int) and _kind(dtype) > 0:
        value = float(value)  # NumPy has no integers beyond 64 bits
    given = value if isinstance(value, jax.Array) else np.asarray(value)
    if given.shape != ():
        raise ValueError(f"{name}: expected one number, got shape {given.shape}")
    is_number = given.dtype == np.bool_ or jnp.issubdtype(given.dtype, np.number)
    if not is_number or (_kind(given.dtype) == 2 and _kind(dtype) < 2):
        raise ValueError(expected)
    if isinstance(given, jax.Array):
        if _kind(dtype) == 0 and not np.can_cast(given.dtype, dtype):
            raise ValueError(expected)
        return given.astype(dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        cast = given.astype(dtype)
    lost = cast != given if _kind(dtype) == 0 else np.isfinite(given) and not np.isfinite(cast)
    if lost:
        raise ValueError(expected)
    return jnp.asarray(cast)


def _exact_integer(image: np.dtype, kernel: np.dtype, common: np.dtype) -> np.dtype:
    """Return the common type if it holds both, widened to 32 bits."""
    if _kind(common) > 0 or not all(np.can_cast(dtype, common) for dtype in (image, kernel)):
        raise ValueError(
            f"image and kernel: expected integers that one type holds, got {image} and {kernel}; "
            "cast one, or turn JAX's x64 on"
        )
    if common != np.bool_ and jnp.iinfo(common).bits >= 32:
        return common
    return jnp.dtype(jnp.uint32 if jnp.issubdtype(common, jnp.unsignedinteger) else jnp.int32)


def _checked_preference(preferred: Any, default: np.dtype) -> np.dtype:
    """Refuse a result type that drops a fraction, an imaginary part or the range of integers."""
    try:
        dtype = jnp.dtype(preferred)
    except TypeError:
        raise ValueError(f"preferred_element_type: expected a dtype, got {preferred!r}") from None
    loses = _kind(dtype) < _kind(default)
    if _kind(dtype) == _kind(default) == 0:
        loses = not np.can_cast(default, dtype)
    if loses or jax.dtypes.canonicalize_dtype(dtype) != dtype:
        x64 = "" if loses else " (turn JAX's x64 on)"
        raise ValueError(
            f"preferred_element_type: expected a type that holds {default}, got {dtype}{x64}"
        )
    return dtype


def _at_least_32_bits(dtype: np.dtype) -> np.dtype:
    return jnp.dtype(jnp.float32) if _kind(dtype) == 1 and dtype.itemsize < 4 else dtype


def _kind(dtype: np.dtype) -> int:
    """Return 0 for integers and booleans, 1 for real numbers, 2 for complex ones."""
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return 2
    return 1 if jnp.issubdtype(dtype, jnp.floating) else 0
