"""Which algorithm "auto" means: the one predicted to be fastest, from shapes and platform alone."""

import functools
import math
from collections.abc import Sequence

import numpy as np

from conv_jax.algorithms.costs import predict, predict_separable
from conv_jax.padding import Pads, Pair


@functools.cache
def choose(
    image_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    dtype: np.dtype,
    stride: Pair,
    dilation: Pair,
    pads: Pads,
    platform: str,
) -> str:
    """Return the name of the algorithm with the least predicted time.

    Integers never go through "fft", which would round them. For floats its errors are bounded by
    12 log2(n) eps ||image||_2 ||kernel||_2, with (kH C + 2) eps / 2 of the same on top where sums
    replace transforms along columns, instead of by (terms + 1) eps sum |x||k| as those of a sum;
    and one NaN or infinity of the image may spread over all of the result.

    Args:
      image_shape: (G, N, C, H, W).
      kernel_shape: (G, O, C, kH, kW).
      dtype: that of the sums.
      stride: rows and columns moved per output.
      dilation: distance between kernel elements.
      pads: zeros around the image.
      platform: "cpu", or anything else for an accelerator.

    Returns:
      A name in `ALGORITHMS`; never "reference".
    """
    times = predict(
        image_shape,
        kernel_shape,
        dtype=dtype,
        stride=stride,
        dilation=dilation,
        pads=pads,
        platform=platform,
    )
    return min(times, key=times.__getitem__)


@functools.cache
def separable_pays(
    image_shape: Sequence[int],
    kernel_shape: Pair,
    *,
    dtype: np.dtype,
    stride: Pair,
    dilation: Pair,
    pads: Pads,
    platform: str,
    rank: int = 1,
    least_gain: float = 0.0,
) -> bool:
    """Tell whether two passes, over rows and over columns, are predicted to beat one.

    Args:
      image_shape: (..., H, W).
      kernel_shape: (kH, kW).
      dtype: that of the sums.
      stride: rows and columns moved per output.
      dilation: distance between kernel elements.
      pads: zeros around the image.
      platform: as for `choose`.
      rank: number of outer products in the kernel.
      least_gain: seconds by which they must.
    """
    options = {"dtype": dtype, "platform": platform}
    image = (1, math.prod(image_shape[:-2]), 1, *image_shape[-2:])
    one_pass = predict(
        image, (1, 1, 1, *kernel_shape), stride=stride, dilation=dilation, pads=pads, **options
    )
    two_passes = predict_separable(
        image, kernel_shape, stride=stride, dilation=dilation, pads=pads, rank=rank, **options
    )
    return two_passes + least_gain < min(one_pass.values())
