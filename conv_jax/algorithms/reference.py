"""Correlation as its definition says: what every other algorithm is tested against."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int, Num

from conv_jax import padding
from conv_jax.padding import Pads, Pair


def reference(
    image: Num[Array, "G N C H W"],
    kernel: Num[Array, "G O C kH kW"],
    *,
    stride: Pair,
    dilation: Pair,
    pads: Pads,
) -> Num[Array, "G N O H_out W_out"]:
    """Take one window, multiply, sum; then `vmap` over columns and rows, and over the batches."""
    padded = padding.pad(image, pads)
    extent = padding.kernel_extent(kernel.shape[-2:], dilation)
    size = padding.output_shape(padded.shape, kernel.shape[-2:], stride=stride, dilation=dilation)
    rows = stride[0] * jnp.arange(size[0])
    columns = stride[1] * jnp.arange(size[1])

    def window_sum(
        pixels: Num[Array, "C Hp Wp"],
        weights: Num[Array, "C kH kW"],
        row: Int[Array, ""],
        column: Int[Array, ""],
    ) -> Num[Array, ""]:
        window = lax.dynamic_slice(pixels, (0, row, column), (pixels.shape[0], *extent))
        products = window[:, :: dilation[0], :: dilation[1]] * weights
        return jnp.sum(products, dtype=weights.dtype)

    over_columns = jax.vmap(window_sum, in_axes=(None, None, None, 0))
    over_rows = jax.vmap(over_columns, in_axes=(None, None, 0, None))
    over_kernels = jax.vmap(over_rows, in_axes=(None, 0, None, None))
    over_images = jax.vmap(over_kernels, in_axes=(0, None, None, None))
    over_groups = jax.vmap(over_images, in_axes=(0, 0, None, None))
    return over_groups(padded, kernel, rows, columns)
