"""corr2d and conv2d, the face of the library: argument checks, dtypes, dispatch."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Shaped

from conv_jax import padding as padding_rules
from conv_jax.algorithms import ALGORITHMS, choose
from conv_jax.padding import Padding, Pair


def corr2d(
    image: Shaped[ArrayLike, "*batch H W"] | list,
    kernel: Shaped[ArrayLike, "kH kW"] | list,
    *,
    stride: int | Pair = 1,
    dilation: int | Pair = 1,
    padding: Padding = "valid",
    boundary: str = "constant",
    fill_value: Shaped[ArrayLike, ""] = 0,
    algorithm: str = "auto",
    preferred_element_type: DTypeLike | None = None,
) -> Shaped[Array, "*batch H_out W_out"]:
    """Cross-correlate images with one kernel; the kernel is never flipped or conjugated.

    out[..., i, j] = sum_{a, b} image[..., i s + a d, j s + b d] * kernel[a, b]

    with s the stride, d the dilation and the image extended by `padding`. A strided result is
    the unstrided one with rows and columns left out, whatever the padding.

    dtypes: floats keep their type (float16 and bfloat16 are summed in float32), complex its
    own. Integers and booleans are exact: below 32 bits they are summed in and returned as
    int32, or uint32 if all are unsigned. A sum that does not fit 32 bits wraps, as all of XLA
    does: 8-bit products cannot for kernels of under 32,768 elements; for wider integers ask
    for an int64 result, under JAX's x64.

    Args:
      image: [..., H, W] numbers; leading axes are a batch. Python lists and NumPy arrays too.
      kernel: [kH, kW] numbers.
      stride: rows and columns moved per output, at least 1; one number means both.
      dilation: distance between kernel elements, at least 1; one number means both.
      padding: "valid" (none), "same" (size kept; floor((k-1)/2) before, as torch and
        scipy.signal.correlate2d), "same_lower" (floor(k/2) before, as OpenCV and scipy.ndimage),
        "full" (every overlap), pixels on all sides, or ((top, bottom), (left, right)).
      boundary: what lies outside: "constant" (`fill_value`), "edge", "reflect", "symmetric" or
        "wrap", as `jnp.pad` names them. The padding may be longer than the image.
      fill_value: the constant of boundary "constant".
      algorithm: "auto", or one of `conv_jax.algorithms.ALGORITHMS`: "direct" (XLA's
        convolution), "reference" (the definition, vmap'd).
      preferred_element_type: dtype of the result, and of its sums where it is the wider one.

    Returns:
      [..., H', W'], the size given by `output_shape`.

    Raises:
      ValueError: names the argument, what was expected and what came: a kernel larger than the
        padded image, an empty axis, a wrong rank, an unknown word, a number out of range, types
        without a common exact type.

    Source: Zhang, Lipton, Li and Smola, Dive into Deep Learning, "Convolutions for Images".

    >>> corr2d([[0, 1, 2], [3, 4, 5], [6, 7, 8]], [[0, 1], [2, 3]])
    Array([[19, 25],
           [37, 43]], dtype=int32)
    """
    image, kernel = _array("image", image), _array("kernel", kernel)
    if kernel.ndim != 2:
        raise ValueError(f"kernel: expected a shape (kH, kW), got {kernel.shape}")
    padding_rules.output_shape(
        image.shape, kernel.shape, stride=stride, dilation=dilation, padding=padding
    )
    if algorithm != "auto" and algorithm not in ALGORITHMS:
        known = ", ".join(map(repr, ("auto", *ALGORITHMS)))
        raise ValueError(f"algorithm: expected one of {known}, got {algorithm!r}")

    with jax.numpy_dtype_promotion("standard"):  # the rule above holds in "strict" mode too
        sum_dtype, result_dtype = _dtypes(image.dtype, kernel.dtype, preferred_element_type)
    image, kernel = image.astype(sum_dtype), kernel.astype(sum_dtype)
    strides = padding_rules.positive_pair("stride", stride)
    dilations = padding_rules.positive_pair("dilation", dilation)
    extent = padding_rules.kernel_extent(kernel.shape, dilations)
    pads = padding_rules.resolve(padding, extent=extent)
    if boundary != "constant" or not padding_rules.is_literal_zero(fill_value):
        # Algorithms extend by zeros; any other surrounding is made here, and XLA may fuse it.
        image = padding_rules.pad(image, pads, boundary=boundary, fill_value=fill_value)
        pads = ((0, 0), (0, 0))

    name = choose(image.shape, kernel.shape) if algorithm == "auto" else algorithm
    sums = ALGORITHMS[name](image, kernel, stride=strides, dilation=dilations, pads=pads)
    return sums.astype(result_dtype)


def conv2d(
    image: Shaped[ArrayLike, "*batch H W"] | list,
    kernel: Shaped[ArrayLike, "kH kW"] | list,
    **options: Any,
) -> Shaped[Array, "*batch H_out W_out"]:
    """Convolve strictly: correlate with the kernel flipped on both axes, never conjugated.

    out[..., i, j] = sum_{a, b} image[..., i s + a d, j s + b d] * kernel[kH-1-a, kW-1-b]

    Args:
      image: [..., H, W], as for `corr2d`.
      kernel: [kH, kW], as for `corr2d`.
      **options: those of `corr2d`; the padding is placed as there, for the flipped kernel.

    Returns:
      [..., H', W'], as `corr2d`.

    Raises:
      ValueError: as `corr2d`.

    >>> conv2d([[0, 1, 2], [3, 4, 5], [6, 7, 8]], [[3, 2], [1, 0]])
    Array([[19, 25],
           [37, 43]], dtype=int32)
    """
    return corr2d(image, jnp.flip(_array("kernel", kernel)), **options)


def corr2d_reference(
    image: Shaped[ArrayLike, "*batch H W"] | list,
    kernel: Shaped[ArrayLike, "kH kW"] | list,
    **options: Any,
) -> Shaped[Array, "*batch H_out W_out"]:
    """Correlate by the vmap'd definition: `corr2d` with algorithm "reference".

    Args:
      image: [..., H, W], as for `corr2d`.
      kernel: [kH, kW], as for `corr2d`.
      **options: those of `corr2d` but `algorithm`.

    Returns:
      [..., H', W'], as `corr2d`.

    >>> corr2d_reference([[1, 2, 4]], [[-1, 1]])
    Array([[1, 2]], dtype=int32)
    """
    return corr2d(image, kernel, algorithm="reference", **options)


def _array(name: str, value: Any) -> Array:
    """Return numbers as a JAX array; refuse integers that lose bits for want of x64."""
    try:
        host = None if isinstance(value, jax.Array) else np.asarray(value)
    except ValueError as error:  # rows of unequal length
        raise ValueError(f"{name}: expected an array of numbers; {error}") from error
    if host is not None and host.dtype.kind not in "biufcV":  # V: bfloat16 and its kin
        raise ValueError(f"{name}: expected an array of numbers, got dtype {host.dtype}")
    array = jnp.asarray(value if host is None else host)
    if not (array.dtype == jnp.bool_ or jnp.issubdtype(array.dtype, jnp.number)):
        raise ValueError(f"{name}: expected an array of numbers, got dtype {array.dtype}")
    if host is not None and host.dtype.kind in "iu" and host.dtype != array.dtype and host.size:
        limits = np.iinfo(array.dtype)
        if host.min() < limits.min or host.max() > limits.max:
            raise ValueError(
                f"{name}: expected values that {array.dtype} holds, or JAX's x64 on, got "
                f"{host.dtype} from {host.min()} to {host.max()}"
            )
    return array


def _dtypes(image: np.dtype, kernel: np.dtype, preferred: Any) -> tuple[np.dtype, np.dtype]:
    """Return the dtype of the sums and the dtype of the result."""
    common = jnp.promote_types(image, kernel)
    if _kind(image) == _kind(kernel) == 0:
        exact = _kind(common) == 0 and all(np.can_cast(d, common) for d in (image, kernel))
        if not exact:
            raise ValueError(
                f"image and kernel: expected integers that one type holds, got {image} and "
                f"{kernel}; cast one, or turn JAX's x64 on"
            )
        if jnp.iinfo(common).bits < 32 if common != jnp.bool_ else True:
            unsigned = jnp.issubdtype(common, jnp.unsignedinteger)
            common = jnp.dtype(jnp.uint32 if unsigned else jnp.int32)
    result = common if preferred is None else _checked_preference(preferred, common)
    if _kind(result) == 1:
        return jnp.promote_types(jnp.promote_types(common, result), jnp.float32), result
    return jnp.promote_types(common, result), result


def _checked_preference(preferred: Any, default: np.dtype) -> np.dtype:
    """Refuse a result type that drops a fraction, an imaginary part or integer bits."""
    try:
        dtype = jnp.dtype(preferred)
    except TypeError as error:
        raise ValueError(f"preferred_element_type: expected a dtype, got {preferred!r}") from error
    loses = _kind(dtype) < _kind(default)
    if _kind(dtype) == _kind(default) == 0:
        loses = not np.can_cast(default, dtype)
    if loses or jax.dtypes.canonicalize_dtype(dtype) != dtype:
        x64 = "" if loses else " (turn JAX's x64 on)"
        raise ValueError(
            f"preferred_element_type: expected a type that holds {default}, got {dtype}{x64}"
        )
    return dtype


def _kind(dtype: np.dtype) -> int:
    """Return 0 for integers and booleans, 1 for real numbers, 2 for complex ones."""
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return 2
    return 1 if jnp.issubdtype(dtype, jnp.floating) else 0
