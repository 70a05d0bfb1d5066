"""The cost model of "auto": what each algorithm does for given shapes, and how long that takes."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from conv_jax import padding
from conv_jax.algorithms import fft_rows
from conv_jax.algorithms.circle import bend, convolves, reached
from conv_jax.algorithms.matmul import TILE
from conv_jax.algorithms.shifted import is_paired
from conv_jax.padding import Pads, Pair

MOST_TERMS = 144  # more terms than this "shifted" compiles for a second and more
MOST_COLUMNS = 32  # and more columns of a result than this "matmul" of tiles


class Cost(NamedTuple):
    """Nanoseconds of one way to compute, for float32."""

    call: float  # of one correlation in a compiled program, whatever it does
    pixel: float  # of each pixel read, written or padded
    work: float  # of each unit of arithmetic, which `count` defines


class Count(NamedTuple):
    """What one call does."""

    way: str  # the key of its `Cost`
    pixels: float
    work: float


# Fitted by `python -m experiments.benchmarks.fit_costs` to a benchmark of images from 256 to 2048
# squared on two cores of an AMD EPYC; both kinds of tiles, "shifted" and the calls of "direct" by
# hand.
CPU = {
    "direct": Cost(70e3, 6.9, 0.52),
    "shifted": Cost(70e3, 0.11, 0.025),
    "shifted in pairs": Cost(210e3, 0.44, 0.027),
    "fft": Cost(280e3, 0, 0.17),
    "fft of rows": Cost(200e3, 2.5, 0.093),
    "fft of tiles of rows": Cost(500e3, 2.5, 0.093),
    "matmul of windows": Cost(70e3, 0.27, 0.033),
    "matmul of tiles": Cost(100e3, 3.3, 0.08),
}
# Not fitted, for no GPU was at hand: ratios of the arithmetic and memory of a large one.
ACCELERATOR = {
    "direct": Cost(5e3, 0.001, 0.0003),
    "shifted": Cost(5e3, 0.001, 0.00006),
    "fft": Cost(20e3, 0.005, 0.0005),
    "matmul of windows": Cost(10e3, 0.002, 0.0001),
    "matmul of tiles": Cost(20e3, 0.002, 0.0001),
}


def predict(
    image_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    dtype: np.dtype,
    stride: Pair,
    dilation: Pair,
    pads: Pads,
    platform: str,
) -> dict[str, float]:
    """Return the predicted seconds of every algorithm that "auto" may take."""
    shapes = {"stride": stride, "dilation": dilation, "pads": pads}
    on_cpu = platform == "cpu"
    costs = CPU if on_cpu else ACCELERATOR
    is_complex = jnp.issubdtype(dtype, jnp.complexfloating)
    width = dtype.itemsize / 4 * (2 if is_complex else 1)
    exact = jnp.issubdtype(dtype, jnp.integer)
    real = on_cpu and jnp.issubdtype(dtype, jnp.floating)
    return {
        name: 1e-9 * _nanoseconds(costs[done.way], done, width)
        for name, done in count(image_shape, kernel_shape, real_on_cpu=real, **shapes).items()
        if not (exact and name == "fft")
    }


def predict_separable(
    image_shape: Sequence[int],
    kernel_shape: Pair,
    *,
    stride: Pair,
    dilation: Pair,
    pads: Pads,
    rank: int = 1,
    **options: Any,
) -> float:
    """Return the predicted seconds of a pass over rows and one over columns."""
    of_rows = {"stride": (1, stride[1]), "dilation": (1, dilation[1])}
    rows = predict(
        image_shape, (1, rank, 1, 1, kernel_shape[1]), pads=((0, 0), pads[1]), **of_rows, **options
    )
    _, width = padding.output_shape(
        image_shape, (1, kernel_shape[1]), padding=((0, 0), pads[1]), **of_rows
    )
    columns = predict(
        (*image_shape[:2], rank, image_shape[-2], width),
        (1, 1, rank, kernel_shape[0], 1),
        stride=(stride[0], 1),
        dilation=(dilation[0], 1),
        pads=(pads[0], (0, 0)),
        **options,
    )
    return min(rows.values()) + min(columns.values())


def count(
    image_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    stride: Pair,
    dilation: Pair,
    pads: Pads,
    real_on_cpu: bool,
) -> dict[str, Count]:
    """Return what each algorithm does for these shapes.

    Work is products of a pixel and a weight; for "fft" pixels transformed, times their log2, as if
    none were cut into strips, and where rows alone are transformed, which pixels count, products
    of a frequency.
    """
    groups, images, channels, *size = image_shape
    kernels, taps = kernel_shape[1], math.prod(kernel_shape[-2:])
    padded = [n + sum(pad) for n, pad in zip(size, pads, strict=True)]
    out = padding.output_shape(
        image_shape, kernel_shape[-2:], stride=stride, dilation=dilation, padding=pads
    )
    extent = padding.kernel_extent(kernel_shape[-2:], dilation)
    unstrided = [n - e + 1 for n, e in zip(padded, extent, strict=True)]
    planes_in, planes_out = groups * images * channels, groups * images * kernels
    read, written = planes_in * math.prod(padded), planes_out * math.prod(out)
    pixels = read + written + (2 * read if any(map(any, pads)) else 0)
    products = written * channels * taps
    shapes = {"stride": stride, "dilation": dilation, "pads": pads, "real_on_cpu": real_on_cpu}
    counts = {
        "direct": Count("direct", pixels, products),
        "fft": _count_fft(image_shape, kernel_shape, **shapes),
    }
    if math.prod(out) >= taps:
        windows = planes_in * math.prod(out) * taps
        counts["matmul"] = Count("matmul of windows", pixels + 2 * windows, products)
    elif min(unstrided) <= MOST_COLUMNS:
        # Of a dilated kernel and all outputs, zeros and left out ones included.
        tiles = math.prod(extent) * min(unstrided) * (TILE + max(unstrided) - 1)
        work = planes_out * channels * tiles
        counts["matmul"] = Count("matmul of tiles", pixels * min(unstrided), work)
    if channels * taps <= MOST_TERMS:
        paired = real_on_cpu and is_paired(kernel_shape, out[0], stride=stride, dilation=dilation)
        counts["shifted"] = Count("shifted in pairs" if paired else "shifted", pixels, products)
    return counts


def _nanoseconds(cost: Cost, done: Count, width: float) -> float:
    return cost.call + width * (cost.pixel * done.pixels + cost.work * done.work)


def _count_fft(
    image_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    stride: Pair,
    dilation: Pair,
    pads: Pads,
    real_on_cpu: bool,
) -> Count:
    groups, images, channels, *size = image_shape
    kernels, kernel_size = kernel_shape[1], kernel_shape[-2:]
    out = padding.output_shape(
        image_shape, kernel_size, stride=stride, dilation=dilation, padding=pads
    )
    if real_on_cpu and fft_rows.is_turned(kernel_shape, out):
        return _count_fft(
            (groups, images, channels, *size[::-1]),
            (groups, kernels, channels, *kernel_size[::-1]),
            stride=(stride[1], stride[0]),
            dilation=(dilation[1], dilation[0]),
            pads=(pads[1], pads[0]),
            real_on_cpu=True,
        )
    extent = padding.kernel_extent(kernel_size, dilation)
    convolved = convolves(extent, pads)
    rest = reached(extent, pads)
    widened = [n + sum(pad) - sum(r) for n, pad, r in zip(size, pads, rest, strict=True)]
    circles = bend(widened, extent, rest, convolved=convolved)
    planes_in, planes_out = groups * images * channels, groups * images * kernels
    if not (
        real_on_cpu and fft_rows.is_by_rows(image_shape, kernel_shape, out[0], convolved=convolved)
    ):
        area = circles[0].length * circles[1].length
        transforms = planes_in + groups * kernels * channels + planes_out
        return Count("fft", 0, transforms * area * math.log2(max(2, area)))
    length, lines = circles[1].length, planes_out * out[0]
    kernel_rows, image_rows = kernel_size[0], size[0] + sum(pads[0])
    many = channels * kernel_rows > fft_rows.TILE
    if many:
        tiles = -(-kernel_rows // fft_rows.TILE)
        kernel_rows = tiles * fft_rows.TILE
        image_rows = tiles * ((fft_rows.TILE - 1) * dilation[0] + (out[0] - 1) * stride[0] + 1)
    rows = planes_in * image_rows + groups * kernels * channels * kernel_rows + lines
    way = "fft of tiles of rows" if many else "fft of rows"
    return Count(way, rows * length, lines * channels * kernel_rows * length)
