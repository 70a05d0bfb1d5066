"""Correlation as its definition says: what every other algorithm is tested against."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int, Num

from conv_jax import padding
from conv_jax.padding import Pads, Pair


def reference(
    image: Num[Array, "*batch H W"],
    kernel: Num[Array, "kH kW"],
    *,
    stride: Pair,
    dilation: Pair,
    pads: Pads,
) -> Num[Array, "*batch H_out W_out"]:
    """Take one window, multiply, sum; then `vmap` over columns, over rows, over images."""
    padded = padding.pad(image, pads)
    extent = padding.kernel_extent(kernel.shape, dilation)
    size = padding.output_shape(padded.shape, kernel.shape, stride=stride, dilation=dilation)
    rows = stride[0] * jnp.arange(size[0])
    columns = stride[1] * jnp.arange(size[1])

    def window_sum(
        pixels: Num[Array, "Hp Wp"], row: Int[Array, ""], column: Int[Array, ""]
    ) -> Num[Array, ""]:
        window = lax.dynamic_slice(pixels, (row, column), extent)
        products = window[:: dilation[0], :: dilation[1]] * kernel
        return jnp.sum(products, dtype=kernel.dtype)

    over_columns = jax.vmap(window_sum, in_axes=(None, None, 0))
    over_rows = jax.vmap(over_columns, in_axes=(None, 0, None))
    over_images = jax.vmap(over_rows, in_axes=(0, None, None))
    flat = over_images(padded.reshape(-1, *padded.shape[-2:]), rows, columns)
    return flat.reshape(*image.shape[:-2], *size)
