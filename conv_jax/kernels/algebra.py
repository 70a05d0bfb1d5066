"""Kernels made of kernels: moved, composed, taken apart, turned."""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, Shaped

from conv_jax import dtypes
from conv_jax.correlation import conv2d
from conv_jax.kernels.arguments import (
    Known,
    Number,
    as_taps,
    at_once_if_known,
    centre,
    known_number,
    namespace,
    number,
    odd_sizes,
    real_matrix,
)


class Separation(NamedTuple):
    """A kernel's nearest outer product, column row^T, and how many it takes to make it."""

    column: Float[Array, "kH"]
    row: Float[Array, "kW"]  # the largest of its absolute values is 1
    rank: Int[Array, ""]  # 1 where the kernel is column row^T


def identity(size: int | Sequence[int] = 1) -> Float[Array, "kH kW"]:
    """Return the kernel that leaves an image as it is.

    Args:
      size: height and width, or one number for both; odd, for an even kernel has no centre.

    Returns:
      [kH, kW], 1 in the centre and 0 around it.

    Raises:
      ValueError: for a size that is not of odd whole numbers.

    >>> identity(3).tolist()
    [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    return as_taps(centre(odd_sizes(size)))


def shift(dy: Known, dx: Known) -> Float[Array, "kH kW"]:
    """Return the kernel that moves an image.

    out[i, j] = image[i - dy, j - dx], with padding "same". Between pixels the image is interpolated
    linearly along each axis.

    Args:
      dy: pixels down, below 0 up; known when the call is traced.
      dx: pixels to the right, below 0 to the left; known too.

    Returns:
      [2 ceil(|dy|) + 1, 2 ceil(|dx|) + 1].

    Raises:
      ValueError: for a distance that is not a finite number.

    Source: Getreuer, Linear Methods for Image Interpolation (2011).

    >>> shift(0, 1).tolist()
    [[1.0, 0.0, 0.0]]
    """
    column, row = (
        np.maximum(0, 1 - abs(np.arange(-math.ceil(abs(d)), math.ceil(abs(d)) + 1) + d))
        for d in (known_number("dy", dy), known_number("dx", dx))
    )
    return as_taps(np.outer(column, row))


def compose(*kernels: Shaped[ArrayLike, "_ _"] | list) -> Shaped[Array, "_ _"]:
    """Return the one kernel that does what several do one after the other.

    The full convolution of all: corr2d(corr2d(image, a), b) = corr2d(image, compose(a, b)) where
    no padding comes between them. The order does not matter.

    Args:
      *kernels: [kH, kW] each, at least one.

    Returns:
      [sum (kH - 1) + 1, sum (kW - 1) + 1], of the dtype that `conv2d` gives.

    Raises:
      ValueError: for no kernel, or one that is no matrix of numbers.

    Source: Oppenheim and Schafer, Discrete-Time Signal Processing (2010), section 2.4.

    >>> compose([[1, 1]], [[-1, 1]], [[1], [2]]).tolist()
    [[-1, 0, 1], [-2, 0, 2]]
    """
    if not kernels:
        raise ValueError("kernels: expected at least one, got none")
    with at_once_if_known(kernels):
        arrays = [dtypes.as_array("kernels", kernel) for kernel in kernels]
        if any(array.ndim != 2 or not array.size for array in arrays):
            shapes = [array.shape for array in arrays]
            raise ValueError(f"kernels: expected shapes (kH, kW), got {shapes}")
        one = jnp.ones((1, 1), arrays[0].dtype)
        # Not by Fourier transforms, which would leave taps below 0 in what two blurs make.
        step = functools.partial(conv2d, padding="full", algorithm="direct")
        return functools.reduce(step, arrays, one)


def separate(kernel: Shaped[ArrayLike, "kH kW"] | list) -> Separation:
    """Return the nearest outer product of a column and a row, and the kernel's rank.

    By singular values: nearest in the sum of squares. `corr2d(image, (column, row))` is then the
    correlation with it, one axis at a time.

    Args:
      kernel: [kH, kW] real numbers, not all 0.

    Returns:
      Separation(column [kH], row [kW], rank): singular values above max(kH, kW) eps times the
      largest count, so the rank does not depend on the scale of the kernel. The largest
      absolute value of the row is 1, the element of the column that has its largest is positive;
      where the kernel has rank 1, column row^T is the kernel. They have derivatives where no
      other singular value equals the largest.

    Raises:
      ValueError: if it is no matrix of finite real numbers.

    Source: Treitel and Shanks, The Design of Multistage Separable Planar Filters (1971).

    >>> separate([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]).rank.item()
    1
    """
    taps = real_matrix(kernel)
    left, values, right = jnp.linalg.svd(taps, full_matrices=False)
    noise = max(taps.shape) * jnp.finfo(taps.dtype).eps * values[0]
    column, row = left[:, 0], right[0]
    scale = jnp.sign(column[jnp.argmax(abs(column))]) * abs(row).max()
    return Separation(column * values[0] * scale, row / scale, jnp.sum(values > noise))


def steer(
    kernels: Sequence[Shaped[ArrayLike, "kH kW"]] | Float[Array, "count kH kW"], angle: Number
) -> Float[Array, "kH kW"]:
    """Return the derivative in any direction from those along the axes.

    K_a = sum_j binom(n, j) cos(a)^(n - j) sin(a)^j K_j, with K_j the derivative of order n - j
    to the right and j down: the derivative of order n along (sin a, cos a).

    Args:
      kernels: K_0 ... K_n, n + 1 kernels of one shape, at least two; for n = 1 (right, down).
      angle: from right towards down, in radians. May be traced.

    Returns:
      [kH, kW].

    Raises:
      ValueError: for fewer than two kernels, or kernels of different shapes.

    Source: Freeman and Adelson, The Design and Use of Steerable Filters (1991).

    >>> right, down = jnp.array([[0.0, 1.0]]), jnp.array([[2.0, 0.0]])
    >>> steer((right, down), 0.0).tolist()
    [[0.0, 1.0]]
    """
    angle, order = number("angle", angle), len(kernels) - 1
    shapes = {np.shape(kernel) for kernel in kernels}
    if order < 1 or len(shapes) > 1 or len(next(iter(shapes))) != 2:
        raise ValueError(
            "kernels: expected at least two of one shape (kH, kW), "
            f"got {[np.shape(kernel) for kernel in kernels]}"
        )
    xp = namespace(angle, kernels)
    cos, sin = xp.cos(angle), xp.sin(angle)
    terms = [
        math.comb(order, j) * cos ** (order - j) * sin**j * xp.asarray(kernel)
        for j, kernel in enumerate(kernels)
    ]
    return as_taps(sum(terms))
