"""Measure the programs that convolutions choose among on a CPU, and fit their cost model.

`python -m experiments.benchmarks.fit_layer_costs FILE` measures, for a quarter of an hour with
nothing beside it, keeps the times in FILE, and prints the tables of
`conv_jax/multichannel/choose.py`. If FILE is there already, it only fits. The problems are single
layers of many shapes, not those of the benchmark alone.
"""

import argparse
import functools
import itertools
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import nnls

from conv_jax.allocator import keep_freed_memory
from conv_jax.multichannel import choose, on_cpu
from conv_jax.multichannel.choose import Form, Problem
from conv_jax.multichannel.placement import (
    Placement,
    Window,
)
from experiments.benchmarks import timing
from experiments.benchmarks.timing import Pace

PACE = Pace(seconds=0.05, turn=0.01, min_rounds=3, max_rounds=20)
LIMIT = 0.3  # seconds; slower programs are left out


class Layer(NamedTuple):
    """A convolution without dilation of the image."""

    num_images: int
    sizes: tuple[int, ...]
    channels: tuple[int, int]
    kernel: tuple[int, ...]
    stride: int = 1
    dilation: int = 1
    groups: int = 1

    @property
    def shapes(self) -> tuple[Any, Any, Window]:
        """Shapes of image and kernel, and the window that keeps the size but for the stride."""
        reach = [(k - 1) * self.dilation for k in self.kernel]
        window = tuple(Placement(self.stride, r // 2, r - r // 2, 1, self.dilation) for r in reach)
        inner, outer = (c // self.groups for c in self.channels)
        image = (self.num_images, *self.sizes, self.groups, inner)
        return image, (*self.kernel, inner, self.groups, outer), window


LAYERS = [
    *(
        Layer(num_images, (n, n), channels, (k, k), stride)
        for (num_images, n, channels), k, stride in itertools.product(
            [
                (128, 32, (1, 20)),
                (32, 64, (3, 32)),
                (128, 14, (20, 20)),
                (32, 28, (32, 32)),
                (16, 32, (64, 64)),
                (64, 8, (64, 64)),
                (8, 14, (256, 128)),
                (1, 56, (64, 128)),
                (64, 28, (32, 64)),
                (16, 56, (16, 16)),
                (32, 13, (64, 64)),
            ],
            (3, 5),
            (1, 2),
        )
        if (k, stride) != (5, 2)
    ),
    *(Layer(32, (n, n), (c, c), (1, 1)) for n, c in ((28, 64), (14, 256), (56, 16))),
    *(Layer(n, (14, 14), (c, c), (7, 7)) for n, c in ((128, 20), (8, 128))),
    Layer(128, (32, 32), (1, 20), (7, 7)),
    *(
        Layer(n, (size, size), channels, (k, k))
        for n, size, channels, k in (
            (64, 28, (20, 1), 5),
            (32, 32, (32, 3), 3),
            (128, 18, (20, 20), 5),
            (64, 13, (64, 32), 3),
            (128, 11, (32, 64), 3),
            (16, 48, (8, 8), 3),
            (32, 20, (128, 128), 3),
            (128, 12, (24, 24), 5),
            (128, 12, (32, 32), 3),
            (64, 24, (48, 48), 3),
            (128, 8, (64, 64), 3),
            (32, 16, (20, 20), 5),
            (32, 24, (64, 24), 3),
            (64, 16, (16, 16), 3),
        )
    ),
    Layer(32, (28, 28), (32, 32), (3, 3), dilation=2),
    Layer(32, (28, 28), (64, 64), (3, 3), groups=4),
    Layer(32, (28, 28), (64, 64), (5, 5), groups=8),
    *(
        Layer(32, (28, 28), (64, 64), (k, k), stride, groups=64)
        for k, stride in ((3, 1), (3, 2), (5, 1), (7, 1))
    ),
    Layer(32, (28, 28), (32, 64), (3, 3), groups=32),
    Layer(32, (256,), (64, 64), (9,)),
    Layer(32, (256,), (64, 64), (9,), groups=64),
    Layer(32, (1024,), (1, 16), (25,)),
    Layer(16, (12, 12, 12), (8, 16), (3, 3, 3)),
    Layer(8, (16, 16, 16), (1, 8), (3, 3, 3)),
]


def measure(layer: Layer, *, gradient: bool) -> list[dict[str, Any]]:
    """Time every program on one layer.

    Args:
      layer: the convolution.
      gradient: whether its kernel's gradient is meant.

    Returns:
      A row for each program: the problem, the direction, the form, the seconds.
    """
    image, kernel, window = layer.shapes
    problem = choose.describe(image, kernel, window)
    numbers = np.random.default_rng(0)
    out = (image[0], *problem.sizes, *kernel[-2:])
    arrays = [
        jnp.asarray(numbers.normal(size=shape).astype(np.float32))
        for shape in (image, out if gradient else kernel)
    ]
    calls = {}
    for form in choose.forms(problem, gradient=gradient):
        if gradient:
            compute = functools.partial(
                on_cpu.gradient_by, form, window=window, kernel_size=kernel[:-3], precision=None
            )
        else:
            compute = functools.partial(on_cpu.correlate_by, form, window=window, precision=None)
        call = functools.partial(_call, jax.jit(compute), arrays)
        call()
        if timing.time_warm(call) < LIMIT:
            calls[form] = call
    turns = timing.time_in_turns(calls, pace=PACE, seed=0)
    return [
        {
            "problem": problem,
            "gradient": gradient,
            "form": form,
            "seconds": float(np.median(samples)),
        }
        for form, samples in turns.items()
    ]


def fit(rows: list[dict[str, Any]]) -> dict[str, dict[str, tuple[float, ...]]]:
    """Fit nonnegative coefficients to relative errors, for every kind of program.

    Args:
      rows: of `measure`.

    Returns:
      The tables of `choose.py`, in nanoseconds.
    """
    tables: dict[str, dict[str, tuple[float, ...]]] = {"VALUE": {}, "GRADIENT": {}}
    for gradient, table in zip((False, True), tables.values(), strict=True):
        some = [row for row in rows if row["gradient"] == gradient]
        count = choose.gradient_work if gradient else choose.value_work
        for kind in dict.fromkeys(_kind(row) for row in some):
            of_kind = [row for row in some if _kind(row) == kind]
            times = np.array([1e9 * row["seconds"] for row in of_kind])
            work = np.array([count(row["problem"], row["form"]) for row in of_kind])
            found, _ = nnls(work / times[:, None], np.ones(len(times)))
            table[kind] = tuple(float(f"{cost:.3g}") for cost in found)
    return tables


def losses(rows: list[dict[str, Any]]) -> list[tuple[float, Any]]:
    """Return, for every problem, how much longer the chosen program takes than the fastest."""
    found = []
    for _, group in itertools.groupby(rows, lambda row: (row["problem"], row["gradient"])):
        some = list(group)
        measured = {row["form"]: row["seconds"] for row in some}
        problem, gradient = some[0]["problem"], some[0]["gradient"]
        chosen = choose.choose(problem, gradient=gradient)
        if chosen not in measured:  # slower than LIMIT
            continue
        best = min(measured, key=measured.__getitem__)
        about = (problem, gradient, chosen, best, measured.get(Form("native")))
        found.append((measured[chosen] / measured[best], about))
    return sorted(found, key=lambda item: -item[0])


def main() -> None:
    """Measure where FILE is not there yet, then fit."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="JSON of the times")
    path: Path = parser.parse_args().file
    if not path.exists():
        keep_freed_memory()
        measured = []
        for layer, gradient in itertools.product(LAYERS, (False, True)):
            measured += measure(layer, gradient=gradient)
            print(layer, "gradient of the kernel" if gradient else "value", flush=True)
        path.write_text(json.dumps(measured), encoding="utf-8")
    rows = [
        {**row, "problem": Problem(*map(_tupled, row["problem"])), "form": Form(*row["form"])}
        for row in json.loads(path.read_text(encoding="utf-8"))
    ]
    tables = fit(rows)
    for name, table in tables.items():
        print(name, json.dumps(table, indent=4))
        getattr(choose, name).update(table)
    lost = losses(rows)
    mean = np.exp(np.mean([np.log(loss) for loss, _ in lost]))
    print(f"chosen / fastest: {mean:.3f} (geometric mean of {len(lost)}); the worst:")
    for loss, about in lost[:12]:
        print(f"{loss:.2f}", *about)


def _kind(row: dict[str, Any]) -> str:
    return choose.kind(row["problem"], row["form"])


def _call(program: Any, arrays: list[jax.Array]) -> Any:
    return jax.block_until_ready(program(*arrays))


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


if __name__ == "__main__":
    main()
