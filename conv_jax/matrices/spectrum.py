"""The singular values of a correlation's matrix."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Inexact, Shaped

from conv_jax import dtypes
from conv_jax.algorithms.separable import Factors
from conv_jax.correlation import as_kernel
from conv_jax.matrices import toeplitz
from conv_jax.matrices.windows import Windows, place
from conv_jax.padding import Padding, Pair

_MOST_ENTRIES = 2**28  # a gigabyte, and hours to decompose


def singular_values(
    kernel: Shaped[ArrayLike, "kH kW"] | Shaped[ArrayLike, "kH kW C O"] | list | tuple,
    image_shape: Sequence[int],
    *,
    stride: int | Pair = 1,
    dilation: int | Pair = 1,
    padding: Padding = "valid",
    boundary: str = "constant",
) -> Float[Array, "values"]:
    """Return the singular values of a correlation's matrix, the largest first.

    There is an orthonormal basis of images, each of which the correlation multiplies in length by
    one of them, and whose results are orthogonal. So nothing is amplified by more than the first,
    and what an image has of the elements with values near 0 is lost.

    The basis is Fourier's where every output sees the same picture, as with boundary "wrap",
    padding "same" and a stride that divides the image. Then the singular values are the moduli of
    the kernel's transform F at the frequencies f of the image; for a layer, the singular values of
    its C x O matrices F(f). A stride s makes one frequency of all that differ by multiples of H/s
    and W/s; their matrices, one above the other and divided by sqrt(s_h s_w), take the place of F.
    All of this costs a Fourier transform, and for a layer small decompositions.

    Elsewhere the dense matrix is decomposed, at a cost that grows with the third power of its
    size: seconds for 32 x 32 pixels.

    Args:
      kernel: [kH, kW] numbers, or [kH, kW, C, O] for a layer from C to O channels.
      image_shape: (..., H, W); only the last two count.
      stride: as for `corr2d_matrix`, like all that follow.
      dilation: distance between kernel elements.
      padding: what is added around the image.
      boundary: what lies there, zeros if "constant".

    Returns:
      [min(H' W' O, H W C)] real numbers of at least 32 bits, each right to some eps of the
      largest. A value has a gradient where it is not 0 and no other value crosses it.

    Raises:
      ValueError: as `corr2d_matrix`, and where a dense matrix would have 2**28 entries or more.

    Source: Sedghi, Gupta and Long, The Singular Values of Convolutional Layers, ICLR 2019, for
    stride 1.

    >>> singular_values([[1, 1]], (1, 4), padding="same", boundary="wrap").round(3)
    Array([2.   , 1.414, 1.414, 0.   ], dtype=float32)
    """
    kernels = _layer(kernel)
    windows = place(
        image_shape,
        kernels.shape[:2],
        stride=stride,
        dilation=dilation,
        padding=padding,
        boundary=boundary,
    )
    return _sorted(kernels, windows)


def operator_norm(
    kernel: Shaped[ArrayLike, "kH kW"] | Shaped[ArrayLike, "kH kW C O"] | list | tuple,
    image_shape: Sequence[int],
    *,
    stride: int | Pair = 1,
    dilation: int | Pair = 1,
    padding: Padding = "valid",
    boundary: str = "constant",
) -> Float[Array, ""]:
    """Return the most by which a correlation lengthens an image: the largest singular value.

    It is the Lipschitz constant of a layer, and gradient descent on |corr2d(x, k) - y|^2 / 2
    converges for steps below 2 / norm^2.

    Where the matrix is too large to decompose, a Fourier transform still gives a bound. Zeros
    around an image lengthen nothing, nor do outputs left out: the norm with boundary "constant"
    is at most that with "wrap", padding "same" and stride 1, for the size of the padded image. It
    exceeds the norm by about the square of the kernel's size over the image's.

    Args:
      kernel: as for `singular_values`.
      image_shape: (..., H, W); only the last two count.
      stride: as for `singular_values`, like all that follow.
      dilation: distance between kernel elements.
      padding: what is added around the image.
      boundary: what lies there, zeros if "constant".

    Returns:
      The norm.

    Raises:
      ValueError: as `singular_values`.

    >>> operator_norm([[1, 2, 1]], (1, 100), padding="same", boundary="wrap")
    Array(4., dtype=float32)
    """
    return singular_values(
        kernel,
        image_shape,
        stride=stride,
        dilation=dilation,
        padding=padding,
        boundary=boundary,
    )[0]


def _layer(kernel: Any) -> Inexact[Array, "kH kW C O"]:
    """Return the kernels of a layer in a type that can be decomposed."""
    if isinstance(kernel, Factors | tuple):
        kernel = as_kernel(kernel)
        kernel = kernel.product(kernel.dtype) if isinstance(kernel, Factors) else kernel
    kernels = dtypes.as_array("kernel", kernel)
    if kernels.ndim not in (2, 4) or 0 in kernels.shape[2:]:
        raise ValueError(
            f"kernel: expected a shape (kH, kW) or (kH, kW, C, O), got {kernels.shape}"
        )
    with jax.numpy_dtype_promotion("standard"):
        kernels = kernels.astype(jnp.promote_types(kernels.dtype, jnp.float32))
    return kernels[..., None, None] if kernels.ndim == 2 else kernels


@functools.partial(jax.jit, static_argnames="windows", inline=True)
def _sorted(kernels: Inexact[Array, "kH kW C O"], windows: Windows) -> Float[Array, "values"]:
    values = (_circular if _is_circular(windows) else _decomposed)(kernels, windows)
    return jnp.sort(values.ravel(), descending=True)


def _is_circular(windows: Windows) -> bool:
    """Tell whether every output sees the same picture, moved around a torus."""
    is_endless = windows.boundary == "wrap" or not any(map(any, windows.pads))
    sizes = zip(windows.output, windows.stride, windows.image, strict=True)
    return is_endless and all(count * step == size for count, step, size in sizes)


def _circular(kernels: Inexact[Array, "kH kW C O"], windows: Windows) -> Float[Array, "..."]:
    """Decompose one small matrix for each frequency of the output."""
    (height, width), (down, right) = windows.image, windows.stride
    rows, columns = (
        d * np.arange(k) % n
        for d, k, n in zip(windows.dilation, windows.kernel, windows.image, strict=True)
    )
    around = jnp.zeros((height, width, *kernels.shape[2:]), kernels.dtype)
    around = around.at[rows[:, None], columns].add(kernels)
    spectrum = jnp.fft.fft2(around, axes=(0, 1))
    # A stride makes one frequency of those that differ by a multiple of the output's size.
    aliases = spectrum.reshape(down, height // down, right, width // right, *kernels.shape[2:])
    blocks = jnp.moveaxis(aliases, (0, 2), (2, 3))  # [H', W', s_h, s_w, C, O]
    blocks = blocks.reshape(*blocks.shape[:2], -1, blocks.shape[-1]) / math.sqrt(down * right)
    if blocks.shape[2:] == (1, 1):
        return jnp.abs(blocks)
    return jnp.linalg.svd(blocks, compute_uv=False)


def _decomposed(kernels: Inexact[Array, "kH kW C O"], windows: Windows) -> Float[Array, "..."]:
    """Decompose the dense matrix [O H' W', C H W]."""
    rows, columns = (
        count * math.prod(sizes)
        for count, sizes in zip(kernels.shape[:1:-1], (windows.output, windows.image), strict=True)
    )
    if rows * columns >= _MOST_ENTRIES:
        raise ValueError(
            f"image_shape: expected a dense matrix of fewer than 2**28 entries, got {rows} x "
            f"{columns}; with boundary 'wrap' and padding 'same' there is no limit"
        )
    build = functools.partial(toeplitz.dense, windows=windows, dtype=kernels.dtype)
    over_inputs = jax.vmap(build, in_axes=2, out_axes=1)
    over_outputs = jax.vmap(over_inputs, in_axes=3)
    blocks = over_outputs(kernels)  # [O, H' W', C, H W]
    return jnp.linalg.svd(blocks.reshape(rows, -1), compute_uv=False)
