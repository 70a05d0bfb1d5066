"""Where the windows of an image lie, and which pixel meets which kernel element."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from conv_jax import padding as padding_rules
from conv_jax.padding import Padding, Pads, Pair


class Windows(NamedTuple):
    """All that a caller said of the windows of an image, spelt out."""

    image: Pair  # H, W
    kernel: Pair  # kH, kW
    output: Pair  # H', W'
    stride: Pair
    dilation: Pair
    pads: Pads
    boundary: str


def place(
    image_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    stride: int | Pair,
    dilation: int | Pair,
    padding: Padding,
    boundary: str,
    fill_value: Any = 0,
) -> Windows:
    """Check the options of a correlation, with the errors of `corr2d`, and spell them out."""
    output = padding_rules.output_shape(
        image_shape, kernel_shape, stride=stride, dilation=dilation, padding=padding
    )
    image = int(image_shape[-2]), int(image_shape[-1])
    kernel = int(kernel_shape[0]), int(kernel_shape[1])
    strides = padding_rules.positive_pair("stride", stride)
    dilations = padding_rules.positive_pair("dilation", dilation)
    extent = padding_rules.kernel_extent(kernel, dilations)
    pads = padding_rules.resolve(padding, extent=extent)
    padding_rules.check_boundary(image, pads, boundary=boundary, fill_value=fill_value)
    return Windows(image, kernel, output, strides, dilations, pads, boundary)


def pixels(windows: Windows) -> Int[np.ndarray, "H_out W_out kH kW"]:
    """Return the number of the pixel that each kernel element meets, -1 on the constant."""
    numbers = np.arange(math.prod(windows.image)).reshape(windows.image)
    options: dict[str, Any] = {"mode": windows.boundary}
    if windows.boundary == "constant":
        options["constant_values"] = -1
    padded = np.pad(numbers, windows.pads, **options)
    extent = padding_rules.kernel_extent(windows.kernel, windows.dilation)
    seen = np.lib.stride_tricks.sliding_window_view(padded, extent)
    (down, right), (rows, columns) = windows.stride, windows.dilation
    return seen[::down, ::right, ::rows, ::columns]
