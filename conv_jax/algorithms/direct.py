"""Correlation by XLA's own convolution."""

import functools

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Num

from conv_jax.algorithms.reference import reference
from conv_jax.padding import Pads, Pair


def direct(
    image: Num[Array, "G N C H W"],
    kernel: Num[Array, "G O C kH kW"],
    *,
    stride: Pair,
    dilation: Pair,
    pads: Pads,
) -> Num[Array, "G N O H_out W_out"]:
    """Correlate with `lax.conv_general_dilated`, which never flips the kernel.

    XLA has no convolution of 32-bit integers for GPUs (jax#7637), so there, for integers,
    `reference` takes its place when the program is lowered.
    """

    def convolve(image: Array, kernel: Array) -> Array:
        groups, images, channels = image.shape[:3]
        features = lax.conv_general_dilated(
            image.swapaxes(0, 1).reshape(images, groups * channels, *image.shape[-2:]),
            kernel.reshape(-1, *kernel.shape[2:]),
            window_strides=stride,
            padding=pads,
            rhs_dilation=dilation,
            dimension_numbers=("NCHW", "OIHW", "NCHW"),
            feature_group_count=groups,
            # Or a GPU or TPU would round float32 factors to 10 or 7 bits.
            precision=lax.Precision.HIGHEST,
        )
        return features.reshape(images, groups, -1, *features.shape[-2:]).swapaxes(0, 1)

    if not jnp.issubdtype(image.dtype, jnp.integer):
        return convolve(image, kernel)
    by_definition = functools.partial(reference, stride=stride, dilation=dilation, pads=pads)
    return lax.platform_dependent(image, kernel, cpu=convolve, default=by_definition)
