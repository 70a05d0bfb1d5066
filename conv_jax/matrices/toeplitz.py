"""The matrix of a correlation, dense or sparse."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Int, Num, Shaped

from conv_jax import dtypes
from conv_jax.algorithms.separable import Factors
from conv_jax.correlation import as_kernel
from conv_jax.matrices.windows import Windows, pixels, place
from conv_jax.padding import Padding, Pair

MOST_ENTRIES = 2**40  # terabytes, and below what overflows XLA's counts of bytes


def corr2d_matrix(
    kernel: Shaped[ArrayLike, "kH kW"] | list | tuple,
    image_shape: Sequence[int],
    *,
    stride: int | Pair = 1,
    dilation: int | Pair = 1,
    padding: Padding = "valid",
    boundary: str = "constant",
    sparse: bool = False,
) -> Shaped[Array, "outputs pixels"] | Any:
    """Return the matrix of a correlation, which takes all pixels to all outputs.

    corr2d(x, k).ravel() == corr2d_matrix(k, x.shape) @ x.ravel()

    With stride 1 and zeros around the image it is doubly blocked Toeplitz: H' x H blocks [W', W],
    alike along diagonals, each alike along its own. Where a boundary shows an output the same
    pixel several times, their kernel elements add up. The transposed matrix takes a cotangent of
    the outputs to the gradient of the image, which is what networks call transposed convolution.

    Args:
      kernel: [kH, kW], as for `corr2d`; for C channels and O kernels, `jax.vmap` makes O x C
        such matrices.
      image_shape: (..., H, W); only the last two count.
      stride: as for `corr2d`, like all that follow but the last.
      dilation: distance between kernel elements.
      padding: what is added around the image.
      boundary: what lies there, zeros if "constant".
      sparse: return a `jax.experimental.sparse.BCOO` of the entries that meet a kernel element,
        about kH kW H' W' of them, sorted and without duplicates.

    Returns:
      [H' W', H W], in the dtype that `corr2d` gives for images of the kernel's dtype.

    Raises:
      ValueError: as `corr2d`, and for a dense matrix of 2**40 entries or more.

    >>> corr2d_matrix([[1, -1]], (2, 3))
    Array([[ 1, -1,  0,  0,  0,  0],
           [ 0,  1, -1,  0,  0,  0],
           [ 0,  0,  0,  1, -1,  0],
           [ 0,  0,  0,  0,  1, -1]], dtype=int32)
    """
    kernel = as_kernel(kernel)
    windows = place(
        image_shape,
        kernel.shape,
        stride=stride,
        dilation=dilation,
        padding=padding,
        boundary=boundary,
    )
    sums, result = dtypes.sum_and_result(kernel.dtype, kernel.dtype)
    kernel = kernel.product(sums) if isinstance(kernel, Factors) else kernel.astype(sums)
    return (_sparse if sparse else dense)(kernel, windows, result)


@functools.partial(jax.jit, static_argnames=("windows", "dtype"), inline=True)
def dense(
    kernel: Num[Array, "kH kW"], windows: Windows, dtype: np.dtype
) -> Num[Array, "outputs pixels"]:
    """Return the matrix as an array."""
    shape = _shape(windows)
    if math.prod(shape) >= MOST_ENTRIES:  # XLA would abort the process
        raise ValueError(
            f"image_shape: expected a dense matrix of fewer than 2**40 entries, got {shape} (image "
            f"{windows.image}); corr2d_matrix(..., sparse=True) keeps those that are not zero"
        )
    indices, values = _entries(kernel, windows)
    zeros = jnp.zeros(shape, dtype)
    values = values.astype(dtype)
    return zeros.at[*indices.T].set(values, indices_are_sorted=True, unique_indices=True)


@functools.partial(jax.jit, static_argnames=("windows", "dtype"), inline=True)
def _sparse(kernel: Num[Array, "kH kW"], windows: Windows, dtype: np.dtype) -> Any:
    from jax.experimental.sparse import BCOO  # takes 0.4 s, and few need it

    indices, values = _entries(kernel, windows)
    return BCOO(
        (values.astype(dtype), jnp.asarray(indices)),
        shape=_shape(windows),
        indices_sorted=True,
        unique_indices=True,
    )


def _shape(windows: Windows) -> Pair:
    return math.prod(windows.output), math.prod(windows.image)


def _entries(
    kernel: Num[Array, "kH kW"], windows: Windows
) -> tuple[Int[np.ndarray, "entries 2"], Num[Array, "entries"]]:
    """Return where the matrix has entries, (output, pixel) in order, and their values."""
    pixel = pixels(windows).ravel()
    output, tap = np.divmod(np.arange(pixel.size), math.prod(windows.kernel))
    seen = pixel >= 0
    size = math.prod(windows.image)
    positions, entry = np.unique((output * size + pixel)[seen], return_inverse=True)
    values = jnp.zeros(len(positions), kernel.dtype).at[entry].add(kernel.ravel()[tap[seen]])
    return np.stack(np.divmod(positions, size), axis=-1).astype(np.int32), values
