"""Fit the cost model of "auto" to a benchmark: `python -m experiments.fit_costs RESULT.json`.

Prints the table for `conv_jax/algorithms/choose.py`, and how far its predictions are off.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from conv_jax.algorithms import choose
from conv_jax.algorithms.choose import Cost, Count

ALGORITHMS = ("direct", "shifted", "fft", "matmul")


def samples(cells: list[dict[str, Any]]) -> dict[str, list[tuple[Count, float]]]:
    """Return what was done and how long it took, by way, for cells of values and random kernels."""
    found: dict[str, list[tuple[Count, float]]] = {way: [] for way in choose.CPU}
    for cell in cells:
        if cell["quantity"] != "value" or cell["kind"] != "random":
            continue
        for name, done in _counts(cell).items():
            seconds = cell["times"].get(name, {}).get("median")
            if seconds is not None:
                found[done.way].append((done, seconds))
    return found


def fit(measured: list[tuple[Count, float]]) -> Cost:
    """Return the non-negative costs of least squared relative error, in nanoseconds."""
    seconds = np.array([seconds for _, seconds in measured])
    features = np.array([[1.0, done.pixels, done.work] for done, _ in measured])
    scale = features.max(axis=0)
    solution, _ = nnls(features / scale / seconds[:, None], np.ones(len(measured)))
    return Cost(*(1e9 * solution / scale))


def _counts(cell: dict[str, Any]) -> dict[str, Count]:
    height, width = map(int, cell["kernel"].split("x"))
    return choose.count(
        (1, cell["batch"], 1, cell["n"], cell["n"]),
        (1, 1, 1, height, width),
        stride=(1, 1),
        dilation=(1, 1),
        pads=((0, 0), (0, 0)),
        pairs=True,
    )


def main(path: str) -> None:
    """Read a result, fit, print."""
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    for way, measured in samples(cells).items():
        if len(measured) < 6:
            print(f"    # {way!r}: kept, {len(measured)} samples are too few")
            continue
        cost = fit(measured)
        predicted = [cost.call + cost.pixel * d.pixels + cost.work * d.work for d, _ in measured]
        errors = np.abs(np.log(np.array(predicted) * 1e-9 / [s for _, s in measured]))
        numbers = ", ".join(f"{number:.3g}" for number in cost)
        print(f'    "{way}": Cost({numbers}),  # off by {np.expm1(np.median(errors)):.0%}')


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m experiments.fit_costs RESULT.json")
    main(sys.argv[1])
