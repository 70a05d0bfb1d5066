"""corr2d and conv2d, the face of the library: argument checks, dtypes, dispatch."""

import contextlib
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Shaped

from conv_jax import dtypes
from conv_jax import padding as padding_rules
from conv_jax.algorithms import ALGORITHMS
from conv_jax.algorithms.choose import separable_pays
from conv_jax.algorithms.separable import Factors, factorize, separable
from conv_jax.padding import Padding, Pads, Pair
from conv_jax.primitive import correlate

NAMES = ("auto", *ALGORITHMS, "separable")


def corr2d(
    image: Shaped[ArrayLike, "*batch H W"] | list,
    kernel: Shaped[ArrayLike, "kH kW"] | list | tuple,
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
      kernel: [kH, kW] numbers; or a tuple (column [kH], row [kW]) of two vectors, which stands
        for their outer product and is computed one axis at a time where that is faster. "auto"
        finds such a form, of one product or the sum of two, by itself in a kernel of floats that
        is known when the call is traced, never in a traced one; of two, elements are right to
        max(kH, kW) eps of the largest singular value (`algorithms/separable.py`).
      stride: rows and columns moved per output, at least 1; one number means both.
      dilation: distance between kernel elements, at least 1; one number means both.
      padding: "valid" (none), "same" (size kept; floor((k-1)/2) before, as torch and
        scipy.signal.correlate2d), "same_lower" (floor(k/2) before, as OpenCV and scipy.ndimage),
        "full" (every overlap), pixels on all sides, or ((top, bottom), (left, right)).
      boundary: what lies outside: "constant" (`fill_value`), "edge", "reflect", "symmetric" or
        "wrap", as `jnp.pad` names them. The padding may be longer than the image.
      fill_value: the constant of boundary "constant".
      algorithm: "auto", the one predicted to be fastest (`plan` tells which); "direct" (XLA's
        convolution), "shifted" (a sum of shifted copies), "fft", "matmul", "separable" or
        "reference" (the definition, vmap'd). Derivatives are computed by the same one, but for
        the kernel's by "shifted" and all by "separable", which are by "auto". "fft" is not for
        integers; it has an error bound of its own and spreads a NaN (`algorithms/fft.py`), also
        where "auto" takes it.
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
    image, kernel = dtypes.as_array("image", image), as_kernel(kernel)
    padding_rules.output_shape(
        image.shape, kernel.shape, stride=stride, dilation=dilation, padding=padding
    )
    if algorithm not in NAMES:
        known = ", ".join(map(repr, NAMES))
        hint = padding_rules.did_you_mean(algorithm, NAMES)
        raise ValueError(f"algorithm: expected one of {known}, got {algorithm!r}{hint}")
    sum_dtype, result_dtype = dtypes.sum_and_result(
        image.dtype, kernel.dtype, preferred=preferred_element_type
    )
    dilations = padding_rules.positive_pair("dilation", dilation)
    extent = padding_rules.kernel_extent(kernel.shape, dilations)
    pads = padding_rules.resolve(padding, extent=extent)
    padding_rules.check_boundary(image.shape, pads, boundary=boundary, fill_value=fill_value)
    fill = None  # of zeros
    if not padding_rules.is_literal_zero(fill_value):
        fill = dtypes.scalar("fill_value", fill_value, sum_dtype)
    if algorithm == "fft" and jnp.issubdtype(sum_dtype, jnp.integer):
        raise ValueError(
            f"algorithm: expected one that is exact for {image.dtype} images, got 'fft'; "
            "cast to a float first"
        )
    options: dict[str, Any] = {
        "stride": padding_rules.positive_pair("stride", stride),
        "dilation": dilations,
        "pads": pads,
        "algorithm": algorithm,
        "dtype": sum_dtype,
    }
    extended, around = padding_rules.before_algorithm(
        image.shape, pads, by_zeros=boundary == "constant" and fill is None
    )
    seen: dict[str, Any] = options | {"pads": around}
    return _correlate(
        image,
        _in_one_form(extended, kernel, **seen),
        fill,
        boundary=boundary,
        result_dtype=result_dtype,
        **options,
    )


def conv2d(
    image: Shaped[ArrayLike, "*batch H W"] | list,
    kernel: Shaped[ArrayLike, "kH kW"] | list | tuple,
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
    return corr2d(image, as_kernel(kernel, flip=True), **options)


def corr2d_reference(
    image: Shaped[ArrayLike, "*batch H W"] | list,
    kernel: Shaped[ArrayLike, "kH kW"] | list | tuple,
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
    if "algorithm" in options:
        raise ValueError(
            f"algorithm: expected none beside 'reference' itself, got {options['algorithm']!r}"
        )
    return corr2d(image, kernel, algorithm="reference", **options)


def as_kernel(kernel: Any, *, flip: bool = False) -> Shaped[Array, "kH kW"] | Factors:
    """Return a matrix, or the factors that a tuple of two vectors means, both flipped if asked.

    What is known stays known under jit, so that `factorize` may look at it.
    """
    if isinstance(kernel, Factors):
        return kernel
    is_traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(kernel))
    with contextlib.nullcontext() if is_traced else jax.ensure_compile_time_eval():
        if isinstance(kernel, tuple):
            vectors = _vectors(kernel)
            return Factors(*(jnp.flip(v)[None] if flip else v[None] for v in vectors))
        matrix = dtypes.as_array("kernel", kernel)
        if matrix.ndim != 2:
            raise ValueError(f"kernel: expected a shape (kH, kW), got {matrix.shape}")
        return jnp.flip(matrix) if flip else matrix


def _vectors(kernel: tuple) -> list[Shaped[Array, "k"]]:
    """Return the (column, row) of a separable kernel in one dtype."""
    vectors = [] if any(isinstance(part, tuple) for part in kernel) else kernel
    vectors = [dtypes.as_array("kernel", vector) for vector in vectors]
    if len(vectors) != 2 or any(v.ndim != 1 or v.size == 0 for v in vectors):
        came = f"shapes {[v.shape for v in vectors]}" if vectors else f"{kernel!r}"
        raise ValueError(
            "kernel: expected a tuple to be two vectors (column, row), arrays or lists, got "
            f"{came}; write a matrix as an array or a list of rows"
        )
    column, row = vectors
    with jax.numpy_dtype_promotion("standard"):
        common = jnp.promote_types(column.dtype, row.dtype)
    return [column.astype(common), row.astype(common)]


def _in_one_form(
    image_shape: tuple[int, ...],
    kernel: Shaped[Array, "kH kW"] | Factors,
    *,
    algorithm: str,
    **options: Any,
) -> Shaped[Array, "kH kW"] | Factors:
    """Return the kernel as the algorithm wants it: a matrix, or factors.

    "auto" decides here for JAX's default platform: form comes before lowering.
    """

    def pays(rank: int = 1) -> bool:
        if algorithm != "auto":
            return algorithm == "separable"
        return separable_pays(
            image_shape,
            (kernel.shape[0], kernel.shape[1]),
            platform=jax.default_backend(),
            rank=rank,
            # Factors that have to be found are rounded, and take time to find.
            least_gain=0.0 if isinstance(kernel, Factors) else 2e-4,
            **options,
        )

    if isinstance(kernel, Factors):
        return kernel if pays() else kernel.product(options["dtype"])
    factors = factorize(kernel, options["dtype"]) if pays() else None
    if factors is not None and not pays(rank=len(factors.rows)):
        return kernel
    if factors is None and algorithm == "separable":
        raise ValueError(
            "kernel: expected (column, row), or known floats of rank 1 or 2, for algorithm "
            f"'separable', got {kernel.dtype}{list(kernel.shape)} "
            + ("that is being traced" if isinstance(kernel, Tracer) else "of another kind or rank")
        )
    return kernel if factors is None else factors


@functools.partial(
    jax.jit,
    static_argnames=(
        "stride",
        "dilation",
        "pads",
        "algorithm",
        "dtype",
        "boundary",
        "result_dtype",
    ),
    inline=True,
)
def _correlate(
    image: Shaped[Array, "*batch H W"],
    kernel: Shaped[Array, "kH kW"] | Factors,
    fill_value: Shaped[Array, ""] | None,
    *,
    stride: Pair,
    dilation: Pair,
    pads: Pads,
    algorithm: str,
    dtype: np.dtype,
    boundary: str,
    result_dtype: np.dtype,
) -> Shaped[Array, "*batch H_out W_out"]:
    """Compute in the dtype of the sums; jitted, so that a call outside jit is one program."""
    image, kernel = image.astype(dtype), jax.tree.map(lambda part: part.astype(dtype), kernel)
    if boundary != "constant" or fill_value is not None:
        # Algorithms extend by zeros; any other surrounding is made here.
        image = padding_rules.pad(image, pads, boundary=boundary, fill_value=fill_value)
        pads = ((0, 0), (0, 0))
    images = image.reshape(1, math.prod(image.shape[:-2]), 1, *image.shape[-2:])
    if isinstance(kernel, Factors):
        sums = separable(images, kernel, stride=stride, dilation=dilation, pads=pads)
    else:
        sums = correlate(
            images,
            kernel[None, None, None],
            stride=stride,
            dilation=dilation,
            pads=pads,
            algorithm=algorithm,
        )
    return sums.reshape(*image.shape[:-2], *sums.shape[-2:]).astype(result_dtype)
