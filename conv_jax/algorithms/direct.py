"""Correlation by XLA's own convolution."""

from jax import lax
from jaxtyping import Array, Shaped

from conv_jax.padding import Pads, Pair


def direct(
    image: Shaped[Array, "*batch H W"],
    kernel: Shaped[Array, "kH kW"],
    *,
    stride: Pair,
    dilation: Pair,
    pads: Pads,
) -> Shaped[Array, "*batch H_out W_out"]:
    """Correlate with `lax.conv_general_dilated`, which never flips the kernel.

    The precision is the highest, or a GPU or TPU would round float32 factors to 10 or 7 bits.
    """
    *batch, height, width = image.shape
    features = lax.conv_general_dilated(
        image.reshape(-1, 1, height, width),
        kernel[None, None],
        window_strides=stride,
        padding=pads,
        rhs_dilation=dilation,
        dimension_numbers=("NCHW", "OIHW", "NCHW"),
        precision=lax.Precision.HIGHEST,
    )
    return features.reshape(*batch, *features.shape[-2:])
