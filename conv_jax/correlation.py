"""corr2d and conv2d, the face of the library: argument checks, dtypes, dispatch."""

from typing import Any

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Shaped

from conv_jax import dtypes
from conv_jax import padding as padding_rules
from conv_jax.algorithms import ALGORITHMS
from conv_jax.algorithms.choose import choose
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
      preferred_element_type: dtype of the result, and of its sums where it is the wider one. It
        may round (float32 to bfloat16, integers to a float), but drops no fraction, imaginary
        part or range of integers.

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
    image, kernel = dtypes.as_array("image", image), dtypes.as_array("kernel", kernel)
    if kernel.ndim != 2:
        raise ValueError(f"kernel: expected a shape (kH, kW), got {kernel.shape}")
    padding_rules.output_shape(
        image.shape, kernel.shape, stride=stride, dilation=dilation, padding=padding
    )
    if algorithm not in ("auto", *ALGORITHMS):
        known = ", ".join(map(repr, ("auto", *ALGORITHMS)))
        raise ValueError(f"algorithm: expected one of {known}, got {algorithm!r}")
    sum_dtype, result_dtype = dtypes.sum_and_result(
        image.dtype, kernel.dtype, preferred=preferred_element_type
    )
    strides = padding_rules.positive_pair("stride", stride)
    dilations = padding_rules.positive_pair("dilation", dilation)
    extent = padding_rules.kernel_extent(kernel.shape, dilations)
    pads = padding_rules.resolve(padding, extent=extent)
    if algorithm == "auto":
        algorithm = choose(
            image.shape,
            kernel.shape,
            dtype=sum_dtype,
            stride=strides,
            dilation=dilations,
            pads=pads,
        )

    image, kernel = image.astype(sum_dtype), kernel.astype(sum_dtype)
    if boundary != "constant" or not padding_rules.is_literal_zero(fill_value):
        # Algorithms extend by zeros; any other surrounding is made here, and XLA may fuse it.
        image = padding_rules.pad(image, pads, boundary=boundary, fill_value=fill_value)
        pads = ((0, 0), (0, 0))
    correlate = ALGORITHMS[algorithm]
    sums = correlate(image, kernel, stride=strides, dilation=dilations, pads=pads)
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
      **options: those of `corr2d`; the padding is placed as there, for the flipped kernel, so
        that scipy.signal.convolve2d's "same" is "same_lower".

    Returns:
      [..., H', W'], as `corr2d`.

    Raises:
      ValueError: as `corr2d`.

    >>> conv2d([[0, 1, 2], [3, 4, 5], [6, 7, 8]], [[3, 2], [1, 0]])
    Array([[19, 25],
           [37, 43]], dtype=int32)
    """
    return corr2d(image, jnp.flip(dtypes.as_array("kernel", kernel)), **options)


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
