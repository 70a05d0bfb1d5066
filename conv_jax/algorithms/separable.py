"""Correlation with an outer product, or a sum of two: one axis after the other."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Num, Shaped

from conv_jax.padding import Pads, Pair
from conv_jax.primitive import correlate

MOST_FACTORS = 2


class Factors(NamedTuple):
    """kernel = sum_r column_r row_r^T."""

    columns: Shaped[Array, "R kH"]
    rows: Shaped[Array, "R kW"]

    @property
    def shape(self) -> Pair:
        """(kH, kW)."""
        return self.columns.shape[1], self.rows.shape[1]

    @property
    def dtype(self) -> np.dtype:
        """That of the elements."""
        return self.columns.dtype

    def product(self, dtype: np.dtype) -> Shaped[Array, "kH kW"]:
        """Return the kernel itself."""
        columns, rows = self.columns.astype(dtype), self.rows.astype(dtype)
        return jnp.einsum("rh,rw->hw", columns, rows, precision="highest")


def separable(
    image: Num[Array, "G N C H W"],
    factors: Factors,
    *,
    stride: Pair,
    dilation: Pair,
    pads: Pads,
) -> Num[Array, "G N O H_out W_out"]:
    """Correlate each row of the image, then each column of the result, and add up the factors.

    kH + kW products for each factor and pixel instead of kH * kW. The image's derivatives are those
    of the two passes; the factors' go through the kernel that they make, whose gradient takes one
    correlation instead of two and no intermediate image. (In forward mode a change of the factors
    costs a correlation with that kernel.)

    Rows go first: they shorten each other from, as a rule, a power of two to a length at which
    the pixels that the pass over columns needs together do not fall on one line of a cache. At
    2048 x 2048 and 31 x 31 that halves the time.
    """
    return _two_passes(image, factors, stride, dilation, pads)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4))
def _two_passes(
    image: Num[Array, "G N C H W"], factors: Factors, stride: Pair, dilation: Pair, pads: Pads
) -> Num[Array, "G N O H_out W_out"]:
    wide = correlate(
        image,
        factors.rows[None, :, None, None, :],
        stride=(1, stride[1]),
        dilation=(1, dilation[1]),
        pads=((0, 0), pads[1]),
        algorithm="auto",
    )
    return correlate(
        wide,
        factors.columns[None, None, :, :, None],
        stride=(stride[0], 1),
        dilation=(dilation[0], 1),
        pads=(pads[0], (0, 0)),
        algorithm="auto",
    )


@functools.partial(_two_passes.defjvp, symbolic_zeros=True)
def _derivative(
    stride: Pair,
    dilation: Pair,
    pads: Pads,
    primals: tuple[Array, Factors],
    tangents: tuple[Array | SymbolicZero, Factors],
) -> tuple[Array, Array]:
    image, factors = primals
    of_image, of_factors = tangents
    sums = _two_passes(image, factors, stride, dilation, pads)
    parts = []
    if not isinstance(of_image, SymbolicZero):
        parts.append(_two_passes(of_image, factors, stride, dilation, pads))
    kernels = [
        Factors(*pair).product(image.dtype)
        for pair in ((of_factors.columns, factors.rows), (factors.columns, of_factors.rows))
        if not any(isinstance(part, SymbolicZero) for part in pair)
    ]
    if kernels:
        kernel = functools.reduce(jnp.add, kernels)[None, None, None]
        options = {"stride": stride, "dilation": dilation, "pads": pads, "algorithm": "auto"}
        parts.append(correlate(image, kernel, **options))
    return sums, functools.reduce(jnp.add, parts)


def factorize(kernel: Shaped[Array, "kH kW"], dtype: np.dtype) -> Factors | None:
    """Write a known kernel as the sum of one or two outer products, if it is one.

    From the singular value decomposition, in 64 bits. The rank counts the singular values above
    max(kH, kW) eps of the largest, whatever the kernel's scale: what rounding the elements of a
    kernel of that rank can produce. One outer product is then read off the kernel, the column
    and the row of its largest element, and taken only if it repeats every element to 4 eps; of
    two, elements are right to max(kH, kW) eps of the largest singular value.

    Args:
      kernel: [kH, kW].
      dtype: of the sums, which gives eps.

    Returns:
      Its factors, of that dtype; None for a higher rank, for integers, which are to stay exact,
      for what is not finite, and for a kernel that is being traced, which is never inspected.

    >>> factorize(jnp.float32([[1, 2], [2, 4]]), jnp.dtype("float32")).rows
    Array([[0.5, 1. ]], dtype=float32)
    """
    if isinstance(kernel, Tracer) or not jnp.issubdtype(kernel.dtype, jnp.inexact):
        return None
    is_complex = jnp.issubdtype(kernel.dtype, jnp.complexfloating)
    values = jax.device_get(kernel).astype(np.complex128 if is_complex else np.float64)
    eps = float(jnp.finfo(dtype).eps)
    if not np.isfinite(values).all() or _is_of_higher_rank(values, eps):
        return None
    left, scales, right = np.linalg.svd(values, full_matrices=False)
    threshold = max(kernel.shape) * eps * scales[0]
    rank = max(1, int((scales > threshold).sum()))
    if rank > MOST_FACTORS:
        return None
    columns, rows = (left[:, :rank] * scales[:rank]).T, right[:rank]
    if rank == 1:
        peak = np.unravel_index(np.abs(values).argmax(), values.shape)
        columns, rows = values[None, :, peak[1]], values[None, peak[0]] / (values[peak] or 1)
        if (abs(columns.T @ rows - values) > 4 * eps * abs(values)).any():
            return None
    with jax.ensure_compile_time_eval():
        return Factors(jnp.asarray(columns, dtype), jnp.asarray(rows, dtype))


def _is_of_higher_rank(values: Shaped[np.ndarray, "kH kW"], eps: float) -> bool:
    """Tell most kernels of rank 3 and more without their singular values, which take far longer.

    What two steps of elimination with complete pivoting leave has no element above 16 times the
    third singular value.
    """
    rest = values
    for _ in range(MOST_FACTORS):
        row, column = np.unravel_index(abs(rest).argmax(), rest.shape)
        if rest[row, column] == 0:
            return False
        rest = rest - np.outer(rest[:, column] / rest[row, column], rest[row])
    return bool(abs(rest).max() > 32 * max(values.shape) * eps * np.linalg.norm(values))
