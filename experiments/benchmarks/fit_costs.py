"""Fit the cost model of "auto" to a benchmark.

`python -m experiments.benchmarks.fit_costs RESULT.json`

Prints the table for `conv_jax/algorithms/costs.py`, and how far its predictions are off.
"""

import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import nnls

from conv_jax.algorithms import costs
from conv_jax.algorithms.costs import Cost, Count
from experiments.benchmarks.corr2d_summary import from_command_line

PLAIN = {"stride": (1, 1), "dilation": (1, 1), "real_on_cpu": True}


class Sample(NamedTuple):
    """How long some correlations took together, all computed one way."""

    calls: int
    pixels: float
    work: float
    seconds: float


def samples(cells: list[dict[str, Any]]) -> dict[str, list[Sample]]:
    """Return samples by way, from the cells of random kernels."""
    found: dict[str, list[Sample]] = {way: [] for way in costs.CPU}
    for cell in cells:
        if cell["kind"] != "random":
            continue
        parts = [_value(cell)] if cell["quantity"] == "value" else _gradients(cell)
        for name, times in cell["times"].items():
            counts = [part[name] for part in parts if name in part]
            ways = {done.way for done in counts}
            # The kernel's gradient by "shifted" is by "auto".
            if "median" not in times or len(ways) != 1 or len(counts) != len(parts):
                continue
            if name == "shifted" and len(parts) > 1:
                continue
            pixels, work = sum(done.pixels for done in counts), sum(done.work for done in counts)
            found[ways.pop()].append(Sample(len(parts), pixels, work, times["median"]))
    return found


def fit(measured: list[Sample]) -> Cost:
    """Return the non-negative costs of least squared relative error, in nanoseconds."""
    seconds = np.array([sample.seconds for sample in measured])
    features = np.array([sample[:3] for sample in measured], float)
    scale = np.maximum(features.max(axis=0), 1)  # none of a way may count pixels
    solution, _ = nnls(features / scale / seconds[:, None], np.ones(len(measured)))
    return Cost(*(1e9 * solution / scale))


def errors(cost: Cost, measured: Iterable[Sample]) -> np.ndarray:
    """Return the factors by which predictions are off, their logarithms' absolute values."""
    predicted = [1e-9 * np.dot(cost, sample[:3]) for sample in measured]
    return abs(np.log(predicted) - np.log([sample.seconds for sample in measured]))


def _value(cell: dict[str, Any]) -> dict[str, Count]:
    height, width = map(int, cell["kernel"].split("x"))
    image, kernel = (1, cell["batch"], 1, cell["n"], cell["n"]), (1, 1, 1, height, width)
    return costs.count(image, kernel, pads=((0, 0), (0, 0)), **PLAIN)


def _gradients(cell: dict[str, Any]) -> list[dict[str, Count]]:
    """Return what the image's and the kernel's gradient take; the second sums over a batch."""
    height, width = map(int, cell["kernel"].split("x"))
    n, batch = cell["n"], cell["batch"]
    size = (n - height + 1, n - width + 1)
    full = ((height - 1, height - 1), (width - 1, width - 1))
    return [
        costs.count((1, batch, 1, *size), (1, 1, 1, height, width), pads=full, **PLAIN),
        costs.count((1, 1, batch, n, n), (1, 1, batch, *size), pads=((0, 0), (0, 0)), **PLAIN),
    ]


def main() -> None:
    """Read a result, fit, print."""
    result = from_command_line("Fit the cost model of the algorithm 'auto' to a benchmark.")
    if result["padding"] != "valid":
        sys.exit(f"expected a benchmark with grid.padding 'valid', got {result['padding']!r}")
    for way, measured in samples(result["cells"]).items():
        if len(measured) < 6:
            print(f"    # {way!r}: kept, {len(measured)} samples are too few")
            continue
        cost = fit(measured)
        numbers = ", ".join(f"{number:.3g}" for number in cost)
        off = np.expm1(np.median(errors(cost, measured)))
        print(f'    "{way}": Cost({numbers}),  # off by {off:.0%}')


if __name__ == "__main__":
    main()
