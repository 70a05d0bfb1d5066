"""Correlation by XLA's own convolution."""

import functools

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Num

from conv_jax.algorithms.reference import reference
from conv_jax.padding import Pads, Pair


def direct(
    image: Num[Array, "*batch H W"],
    kernel: Num[Array, "kH kW"],
    *,
    stride: Pair,
    dilation: Pair,
    pads: Pads,
) -> Num[Array, "*batch H_out W_out"]:
    """Correlate with `lax.conv_general_dilated`, which never flips the kernel.

    XLA has no convolution of 32-bit integers for GPUs (jax#7637), so there, for integers,
    `reference` takes its place when the program is lowered.
    """

    def convolve(image: Array, kernel: Array) -> Array:
        *batch, height, width = image.shape
        features = lax.conv_general_dilated(
            image.reshape(-1, 1, height, width),
            kernel[None, None],
            window_strides=stride,
            padding=pads,
            rhs_dilation=dilation,
            dimension_numbers=("NCHW", "OIHW", "NCHW"),
            # Or a GPU or TPU would round float32 factors to 10 or 7 bits.
            precision=lax.Precision.HIGHEST,
        )
        return features.reshape(*batch, *features.shape[-2:])

    if not jnp.issubdtype(image.dtype, jnp.integer):
        return convolve(image, kernel)
    by_definition = functools.partial(reference, stride=stride, dilation=dilation, pads=pads)
    return lax.platform_dependent(image, kernel, cpu=convolve, default=by_definition)
