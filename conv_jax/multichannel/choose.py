"""Which program computes a correlation with channels on a CPU fastest, by shapes alone.

The time of a program is taken to be linear in its arithmetic, in what its products or sums read
and write, and in what is copied or turned before. `experiments/benchmarks/fit_layer_costs.py`
measured the coefficients, and prints how far off they are.
"""

import itertools
import math
from collections.abc import Iterable
from typing import NamedTuple

from conv_jax.multichannel.placement import Window, extent, output_sizes

TILES = (1, 2, 4)
_NARROW = 16  # outputs up to which XLA's own convolution is twice as fast as above
# What a program's prediction is multiplied by when compared: XLA's own scatters by 1.6 about its
# predictions, and loses less to joined rows, and more to scattered ones, than they say.
_DOUBT = {"banded, joined": 1.3, "banded, scattered": 0.9}
_MOST_PARTS = 128  # copies or terms in a program, which compiles for 5 s with so many
_MOST_COPIED = 2**30  # elements that a program may keep beside its operands and its result
_NATIVE_GRADIENT = frozenset(range(8, 17))  # channels with which XLA's own is not slow

# Nanoseconds for each element of `Work`, measured on two cores of an AMD EPYC without AVX-512.
VALUE: dict[str, tuple[float, ...]] = {
    "native, narrow": (0, 0.0156, 0.197, 1.95, 0),
    "native, wide": (414000, 0.021, 0.331, 1.19, 0),
    "depthwise": (69900, 0, 0.0394, 1.21, 0),
    "banded, joined": (283000, 0.0155, 1.17, 0.111, 0),
    "banded, scattered": (281000, 0.0148, 1.12, 0.637, 0),
}
GRADIENT: dict[str, tuple[float, ...]] = {
    "native, narrow": (1460000, 0.0241, 0.11, 22.4, 0),
    "native, wide": (0, 0.0225, 0, 0, 0),
    "depthwise": (0, 0.497, 0, 0, 0.97),
    "banded, joined": (0, 0.0204, 1.03, 0.382, 0.513),
    "banded, scattered": (0, 0.0144, 1.19, 1.16, 0.941),
}


class Form(NamedTuple):
    """A program and its options."""

    name: str  # "native", "depthwise", or "banded", of which gradients are `turned`
    tile: int = 1  # outputs along the last axis that are computed together
    rows: str = "joined"  # or "scattered": what "banded" does with the rows of the kernel


class Work(NamedTuple):
    """What a program does, in numbers of elements."""

    calls: float  # 1
    products: float  # multiplications
    reads: float  # of what is multiplied, each element as often as a copy of it is made for that
    writes: float  # of products
    copies: float  # of the operands before


class Problem(NamedTuple):
    """A correlation, as its programs see it."""

    num_images: int
    image_sizes: tuple[int, ...]
    padded_sizes: tuple[int, ...]
    num_channels: int
    kernel_sizes: tuple[int, ...]
    sizes: tuple[int, ...]  # of the output
    num_outputs: int
    num_groups: int
    stride: int  # along the last axis
    dilation: int
    is_dense: bool  # whether the stride is 1 along all others


def choose(problem: Problem, *, gradient: bool) -> Form:
    """Return the program that is predicted to be fastest.

    Args:
      problem: of `describe`.
      gradient: whether the gradient of the kernel is wanted.
    """

    def predicted(form: Form) -> float:
        doubt = _DOUBT.get(kind(problem, form), 1.0)
        return doubt * predict(problem, form, gradient=gradient)

    return min(forms(problem, gradient=gradient), key=predicted)


def describe(
    image_shape: tuple[int, ...], kernel_shape: tuple[int, ...], window: Window
) -> Problem:
    """Describe a correlation.

    Args:
      image_shape: [N, *S, G, C], with no dilation.
      kernel_shape: [*K, C, G, O].
      window: how they lie on each other.
    """
    sizes, places = image_shape[1:-2], zip(image_shape[1:-2], window, strict=True)
    return Problem(
        num_images=image_shape[0],
        image_sizes=sizes,
        padded_sizes=tuple(n + place.before + place.after for n, place in places),
        num_channels=image_shape[-1],
        kernel_sizes=kernel_shape[:-3],
        sizes=tuple(output_sizes(sizes, kernel_shape[:-3], window)),
        num_outputs=kernel_shape[-1],
        num_groups=image_shape[-2],
        stride=window[-1].stride,
        dilation=window[-1].kernel_dilation,
        is_dense=all(place.stride == 1 for place in window[:-1]),
    )


def value_work(problem: Problem, form: Form) -> Work:
    """Count what a program for values does: see `Work`."""
    p = problem
    images = p.num_images * p.num_groups
    if form.name != "banded":
        rows, taps = images * math.prod(p.sizes), math.prod(p.kernel_sizes)
        k, n = p.num_channels, p.num_outputs
        return Work(1, rows * taps * k * n, rows * taps * k, rows * n, 0)
    num_tiles, reach = _tiles(p, form.tile)
    k, n = reach * p.num_channels, form.tile * p.num_outputs
    taps, places = math.prod(p.kernel_sizes[:-1]), math.prod(p.sizes[:-1])
    if form.rows == "scattered":
        rows = images * math.prod(p.image_sizes[:-1]) * num_tiles
        return Work(1, rows * taps * k * n, rows * k, rows * taps * n, rows * k)
    rows = images * places * num_tiles
    copies = images * math.prod(p.padded_sizes[:-1]) * num_tiles * k
    return Work(1, rows * taps * k * n, rows * taps * k, rows * n, copies)


def gradient_work(problem: Problem, form: Form) -> Work:
    """Count what a program for the gradient of a kernel does: see `Work`."""
    p = problem
    images = p.num_images * p.num_groups
    if form.name != "banded":
        taps, places = math.prod(p.kernel_sizes), math.prod(p.sizes)
        reads = images * places * taps * p.num_channels
        copies = images * (math.prod(p.image_sizes) * p.num_channels + places * p.num_outputs)
        writes = p.num_groups * taps * p.num_channels * p.num_outputs
        return Work(1, reads * p.num_outputs, reads, writes, copies)
    num_tiles, _ = _tiles(p, form.tile)
    pairs = itertools.product(range(form.tile), range(p.kernel_sizes[-1]))
    k = len({u * p.stride + v * p.dilation for u, v in pairs}) * p.num_channels
    n, taps = form.tile * p.num_outputs, math.prod(p.kernel_sizes[:-1])
    writes = p.num_groups * taps * k * n
    copies = images * math.prod(p.padded_sizes) * p.num_channels
    if form.rows == "scattered":
        rows = images * math.prod(p.image_sizes[:-1]) * num_tiles
        return Work(1, rows * taps * k * n, rows * (k + taps * n), writes, copies)
    rows = images * math.prod(p.sizes[:-1]) * num_tiles
    return Work(1, rows * taps * k * n, rows * (taps * k + n), writes, copies)


def forms(problem: Problem, *, gradient: bool) -> Iterable[Form]:
    """Return the programs that can compute a problem and may be the fastest."""
    p = problem
    if p.num_groups == math.prod(p.kernel_sizes) == 1:
        yield Form("banded")  # one matrix product
        return
    if p.num_groups > 1 and p.num_channels == 1:
        yield Form("depthwise" if math.prod(p.kernel_sizes) <= _MOST_PARTS else "native")
        return
    has_width, has_rows = p.kernel_sizes[-1] > 1, math.prod(p.kernel_sizes[:-1]) > 1
    tiles = [tile for tile in TILES if tile <= p.sizes[-1]] if has_width else [1]
    ways = ["joined"] + ["scattered"] * (has_rows and p.is_dense)
    banded = [Form("banded", tile, rows) for tile, rows in itertools.product(tiles, ways)]
    work = gradient_work if gradient else value_work
    banded = [
        form
        for form in banded
        if sum(work(p, form)[2:]) <= _MOST_COPIED and _num_parts(p, form) <= _MOST_PARTS
    ]
    num_axes, channels = len(p.sizes), {p.num_channels, p.num_outputs}
    is_quick = not gradient or num_axes == 1 or channels <= _NATIVE_GRADIENT
    # XLA's own is a plain loop for groups and volumes.
    if not banded or (is_quick and p.num_groups == 1 and num_axes < 3):
        yield Form("native")
    yield from banded


def predict(problem: Problem, form: Form, *, gradient: bool) -> float:
    """Return the predicted time in nanoseconds."""
    count, table = (gradient_work, GRADIENT) if gradient else (value_work, VALUE)
    work = count(problem, form)
    return float(
        sum(cost * amount for cost, amount in zip(table[kind(problem, form)], work, strict=True))
    )


def kind(problem: Problem, form: Form) -> str:
    """Return which coefficients hold for a program."""
    if form.name == "banded":
        return f"banded, {form.rows}"
    if form.name == "native":
        return "native, narrow" if problem.num_outputs <= _NARROW else "native, wide"
    return form.name


def _num_parts(problem: Problem, form: Form) -> int:
    rows, steps = math.prod(problem.kernel_sizes[:-1]), problem.kernel_sizes[-1] + form.tile - 1
    return rows * steps if form.rows == "joined" else rows + steps


def _tiles(problem: Problem, tile: int) -> tuple[int, int]:
    """Return the number of tiles along the last axis, and the elements that each reads."""
    reach = (tile - 1) * problem.stride + extent(problem.kernel_sizes[-1], problem.dilation)
    return -(-problem.sizes[-1] // tile), reach
