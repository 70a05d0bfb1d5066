"""The windows of an image as rows of a matrix, and their adjoint."""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Shaped

from conv_jax import dtypes
from conv_jax import padding as padding_rules
from conv_jax.matrices.windows import Windows, place
from conv_jax.padding import Padding, Pair


def im2col(
    image: Shaped[ArrayLike, "*batch H W"] | list,
    kernel_shape: Sequence[int],
    *,
    stride: int | Pair = 1,
    dilation: int | Pair = 1,
    padding: Padding = "valid",
    boundary: str = "constant",
    fill_value: Shaped[ArrayLike, ""] = 0,
) -> Shaped[Array, "*batch H_out W_out taps"]:
    """Return the pixels that a kernel meets at each of its positions, one window a row.

    out[..., i, j, a kW + b] = image[..., i s + a d, j s + b d]

    with s the stride, d the dilation and the image extended by `padding`. A correlation is one
    product with it, `im2col(x, k.shape) @ k.ravel()`; with C channels and O kernels, the windows
    of all channels side by side, [H' W', C kH kW], meet a matrix [C kH kW, O]. Any other function
    of a window works as well: the median over the last axis is a median filter, the maximum a
    dilation of mathematical morphology.

    Args:
      image: [..., H, W] numbers; leading axes are a batch.
      kernel_shape: (kH, kW).
      stride: as for `corr2d`, like all that follow.
      dilation: distance between the pixels of a window.
      padding: what is added around the image.
      boundary: what lies there.
      fill_value: the constant of boundary "constant".

    Returns:
      [..., H', W', kH * kW] in the dtype of the image, in which products of narrow integers
      overflow: `jnp.matmul(..., preferred_element_type=jnp.int32)` is exact.

    Raises:
      ValueError: as `corr2d`.

    Source: Chellapilla, Puri and Simard, High Performance Convolutional Neural Networks for
    Document Processing, 2006.

    >>> im2col([[0, 1, 2], [3, 4, 5], [6, 7, 8]], (2, 2)).reshape(4, 4)
    Array([[0, 1, 3, 4],
           [1, 2, 4, 5],
           [3, 4, 6, 7],
           [4, 5, 7, 8]], dtype=int32)
    """
    image = dtypes.as_array("image", image)
    windows = place(
        image.shape,
        kernel_shape,
        stride=stride,
        dilation=dilation,
        padding=padding,
        boundary=boundary,
        fill_value=fill_value,
    )
    fill = None  # of zeros
    if not padding_rules.is_literal_zero(fill_value):
        fill = dtypes.scalar("fill_value", fill_value, image.dtype)
    return _gather(image, fill, windows)


def col2im(
    columns: Shaped[ArrayLike, "*batch H_out W_out taps"] | list,
    image_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    stride: int | Pair = 1,
    dilation: int | Pair = 1,
    padding: Padding = "valid",
    boundary: str = "constant",
) -> Shaped[Array, "*batch H W"]:
    """Add windows up where they lie: the adjoint of `im2col`.

    sum(im2col(x, ...) * c) == sum(x * col2im(c, x.shape, ...))

    A pixel is the sum over all windows that see it, through the boundary too; what a window has on
    the constant around the image is lost. `col2im(im2col(x)) / col2im(ones)` is x, wherever a
    window sees it. Sums have the dtypes of `corr2d`.

    Args:
      columns: [..., H', W', kH * kW] numbers, of the shape that `im2col` gives.
      image_shape: (..., H, W); only the last two count.
      kernel_shape: (kH, kW).
      stride: as for `im2col`, like all that follow.
      dilation: distance between the pixels of a window.
      padding: what was added around the image.
      boundary: what lay there.

    Returns:
      [..., H, W].

    Raises:
      ValueError: as `corr2d`, and for columns of another shape.

    >>> col2im(jnp.ones((2, 2, 4)), (3, 3), (2, 2))
    Array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]], dtype=float32)
    """
    columns = dtypes.as_array("columns", columns)
    windows = place(
        image_shape,
        kernel_shape,
        stride=stride,
        dilation=dilation,
        padding=padding,
        boundary=boundary,
    )
    expected = (*windows.output, math.prod(windows.kernel))
    if columns.shape[-3:] != expected:
        raise ValueError(
            f"columns: expected a shape (..., {', '.join(map(str, expected))}), got "
            f"{columns.shape} (image {windows.image}, kernel {windows.kernel})"
        )
    sums, result = dtypes.sum_and_result(columns.dtype, columns.dtype)
    image = jax.ShapeDtypeStruct((*columns.shape[:-3], *windows.image), sums)
    scatter = jax.linear_transpose(lambda image: _gather(image, None, windows), image)
    return scatter(columns.astype(sums))[0].astype(result)


@functools.partial(jax.jit, static_argnames="windows", inline=True)
def _gather(
    image: Shaped[Array, "*batch H W"], fill_value: Shaped[Array, ""] | None, windows: Windows
) -> Shaped[Array, "*batch H_out W_out taps"]:
    """Cut the padded image along columns, then along rows: kW + kH slices make kH * kW."""
    dtype = image.dtype
    if jnp.issubdtype(dtype, jnp.inexact):  # so that the transpose adds up float16 in float32
        image = image.astype(dtypes.sum_and_result(dtype, dtype)[0])
    padded = padding_rules.pad(
        image, windows.pads, boundary=windows.boundary, fill_value=fill_value
    )
    columns = jnp.stack(_slices(padded, 1, windows, axis=image.ndim - 1), axis=-1)
    both = jnp.stack(_slices(columns, 0, windows, axis=image.ndim - 2), axis=-2)
    return both.reshape(*both.shape[:-2], math.prod(windows.kernel)).astype(dtype)


def _slices(array: Array, which: int, windows: Windows, *, axis: int) -> list[Array]:
    """Return what each kernel element of one axis meets."""
    step = windows.stride[which]
    length = (windows.output[which] - 1) * step + 1
    starts = [windows.dilation[which] * element for element in range(windows.kernel[which])]
    return [lax.slice_in_dim(array, start, start + length, step, axis) for start in starts]
