"""What the benchmark of correlation comes to: pure functions of the cells in result.json.

`python -m experiments.benchmarks.corr2d_summary RESULT.json` prints it.

A cell is {"n", "kernel", "kind", "batch", "quantity", "times"}, and times give for each
contestant {"median", "iqr", "rounds"} in seconds, with "compile" where it compiled, or {"skipped":
why}.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmarks import result_file

Row = Mapping[str, Any]

SMALLEST = 256  # smaller images measure what a call costs
LARGE = 2048  # and from here on images are larger than caches
JAX_PEERS = ("lax", "jax.scipy")
OTHER_LIBRARIES = ("cv2.", "scipy.", "torch.")
TORCH_CONVOLUTIONS = ("torch.conv2d", "torch.separable")
PLACE = ("n", "kernel", "kind", "batch", "quantity")


class Ratio(NamedTuple):
    """How much longer one contestant took than another in a cell."""

    cell: Row
    names: tuple[str, str]
    value: float


def is_other_library(name: str) -> bool:
    """Tell whether a contestant is from OpenCV, SciPy or torch."""
    return name.startswith(OTHER_LIBRARIES)


def is_own_algorithm(name: str) -> bool:
    """Tell whether a contestant is one of our algorithms by its name, not "auto"."""
    return name not in ("auto", *JAX_PEERS) and not is_other_library(name)


def others(cell: Row) -> list[str]:
    """Return the names of the contestants of other libraries."""
    return [name for name in cell["times"] if is_other_library(name)]


def own(cell: Row) -> list[str]:
    """Return the names of our algorithms."""
    return [name for name in cell["times"] if is_own_algorithm(name)]


def seconds(cell: Row, name: str) -> float | None:
    """Return the median of a contestant, None where it was not measured."""
    return cell["times"].get(name, {}).get("median")


def ratio(cell: Row, over: Iterable[str], under: Iterable[str]) -> Ratio | None:
    """Divide the least median of some contestants by the least of others, if both were measured."""
    (first, above), (second, below) = _fastest(cell, over), _fastest(cell, under)
    return Ratio(cell, (first, second), above / below) if above and below else None


def spread(ratios: Sequence[Ratio]) -> dict[str, Any] | None:
    """Return count, geometric mean, and the least and the greatest with their cells."""
    if not ratios:
        return None
    least, greatest = (choose(ratios, key=lambda r: r.value) for choose in (min, max))
    return {
        "cells": len(ratios),
        "geometric_mean": float(np.exp(np.mean(np.log([r.value for r in ratios])))),
        "least": _told(least),
        "greatest": _told(greatest),
    }


def summarize(cells: Sequence[Row], *, copies: Sequence[Row]) -> dict[str, Any]:
    """Return the numbers that the benchmark is for; None where there is nothing to compare.

    Args:
      cells: all that were measured; those under SMALLEST are left aside.
      copies: {"n", "batch", "bytes_per_second", "increment_seconds"}: a copy's bandwidth, and
        how long a compiled x + 1 takes.

    Returns:
      By quantity `others_over_auto`, `torch_over_auto` (its convolutions, not its transforms),
      `lax_over_auto` (also over kernels up to 15) and `auto_over_own_best`; `copy_share`, what
      part of the copy bandwidth values of 3x3 reach at 8 bytes a pixel; `largest_compile` of
      "auto" and of all.
    """
    large = [cell for cell in cells if cell["n"] >= SMALLEST]
    by_quantity = {
        quantity: [cell for cell in large if cell["quantity"] == quantity]
        for quantity in dict.fromkeys(cell["quantity"] for cell in cells)
    }
    increments = {(row["n"], row["batch"]): row["increment_seconds"] for row in copies}
    return {
        "others_over_auto": {
            quantity: _others_over_auto(some, increments) for quantity, some in by_quantity.items()
        },
        "auto_over_own_best": {
            quantity: _auto_over_own(some) for quantity, some in by_quantity.items()
        },
        "torch_over_auto": {
            quantity: spread(_ratios(some, TORCH_CONVOLUTIONS, ["auto"]))
            for quantity, some in by_quantity.items()
        },
        "lax_over_auto": {
            quantity: {
                "all_kernels": spread(_ratios(some, ["lax"], ["auto"])),
                "kernels_up_to_15": spread(_ratios(filter(_is_small, some), ["lax"], ["auto"])),
            }
            for quantity, some in by_quantity.items()
        },
        "copy_share": copy_share(cells, copies),
        "largest_compile": {
            "auto": largest_compile(cells, ["auto"]),
            "all": largest_compile(cells),
        },
    }


def copy_share(cells: Iterable[Row], copies: Iterable[Row]) -> list[dict[str, Any]]:
    """Return what part of the bandwidth of a copy "auto" reaches for 3x3 values of large images."""
    bandwidth = {(row["n"], row["batch"]): row["bytes_per_second"] for row in copies}
    rows = []
    for cell in cells:
        asked = (cell["kernel"], cell["quantity"]) == ("3x3", "value") and cell["n"] >= LARGE
        taken = seconds(cell, "auto")
        if asked and taken:
            rate = 8 * cell["batch"] * cell["n"] ** 2 / taken
            rows.append({**_place(cell), "share": rate / bandwidth[cell["n"], cell["batch"]]})
    return rows


def largest_compile(
    cells: Iterable[Row], names: Collection[str] | None = None
) -> dict[str, Any] | None:
    """Return the longest compilation, of any contestant or some, with its cell."""
    compiled = [
        {"seconds": times["compile"], "contestant": name, **_place(cell)}
        for cell in cells
        for name, times in cell["times"].items()
        if "compile" in times and (names is None or name in names)
    ]
    return max(compiled, key=lambda row: row["seconds"], default=None)


def lines(summary: Mapping[str, Any]) -> list[str]:
    """Say the summary in a line for each comparison."""
    told = []
    for quantity, compared in summary["others_over_auto"].items():
        if compared is not None:
            told.append(
                f"{quantity}: {_said('best other library / auto', compared)}, "
                f"{compared['below_0.9']} below 0.9, {compared['below_increment']} of them where "
                "that library takes less than a compiled x + 1"
            )
    for quantity, compared in summary["torch_over_auto"].items():
        if compared is not None:
            told.append(f"{quantity}: {_said('convolutions of torch / auto', compared)}")
    for quantity, compared in summary["lax_over_auto"].items():
        for kernels, some in compared.items():
            if some is not None:
                about = f"lax / auto, {kernels.replace('_', ' ')}"
                told.append(f"{quantity}: {_said(about, some)}")
    for quantity, compared in summary["auto_over_own_best"].items():
        if compared is not None:
            told.append(
                f"{quantity}: auto is within 1.15 of our best algorithm in "
                f"{compared['share_within_1.15']:.1%} of {compared['cells']} cells, "
                f"at worst {compared['greatest']['ratio']:.2f}"
            )
    for row in summary["copy_share"]:
        place = f"{row['n']} {row['kind']} x{row['batch']}"
        told.append(f"3x3 values at {place}: {row['share']:.0%} of the bandwidth of a copy")
    for who, row in summary["largest_compile"].items():
        if row is not None:
            told.append(
                f"longest compilation of {who}: {row['seconds']:.2f} s ({row['contestant']}, "
                f"{row['quantity']} {row['n']} {row['kernel']} {row['kind']} x{row['batch']})"
            )
    return told


def _said(what: str, compared: Mapping[str, Any]) -> str:
    mean, least = compared["geometric_mean"], compared["least"]
    place = f"{least['n']} {least['kernel']} {least['kind']} x{least['batch']}"
    return f"{what} {mean:.2f} over {compared['cells']} cells, least {least['ratio']:.2f} ({place})"


def tables(cells: Sequence[Row]) -> str:
    """Return a Markdown table for each quantity, batch and kind: image size by kernel."""
    kinds = dict.fromkeys((c["quantity"], c["batch"], c["kind"]) for c in cells)
    return "\n".join(
        f"## {quantity}, batch of {batch}, {kind} kernel\n\n"
        + _table([c for c in cells if (c["quantity"], c["batch"], c["kind"]) == about])
        for about in kinds
        for quantity, batch, kind in [about]
    )


def entry(cell: Row) -> str:
    """Say how long "auto" took, and how many times faster it was than the best other library."""
    taken = seconds(cell, "auto")
    if taken is None:
        return "-"
    against = ratio(cell, others(cell), ["auto"])
    text = f"{1e3 * taken:.3g} ms"
    if against is None:
        return text
    times = f"{against.value:.2f}" if against.value >= 0.1 else f"{against.value:.1g}"
    return f"{text} ({times}x {against.names[0]})"


def _table(cells: Sequence[Row]) -> str:
    kernels = list(dict.fromkeys(cell["kernel"] for cell in cells))
    at = {(cell["n"], cell["kernel"]): entry(cell) for cell in cells}
    lines = [["n", *kernels], ["---"] * (len(kernels) + 1)]
    for n in dict.fromkeys(cell["n"] for cell in cells):
        lines.append([str(n), *(at.get((n, kernel), "-") for kernel in kernels)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _others_over_auto(
    cells: Iterable[Row], increments: Mapping[tuple[int, int], float]
) -> dict[str, Any] | None:
    """How many times longer the best other library takes, and where that is under 0.9.

    `below_increment` counts those of them where it takes less than a compiled x + 1, which no
    program of JAX can match.
    """
    ratios = [r for cell in cells if (r := ratio(cell, others(cell), ["auto"]))]
    behind = sorted((r for r in ratios if r.value < 0.9), key=lambda r: r.value)
    summary = spread(ratios)
    if summary is not None:
        floors = [increments.get((r.cell["n"], r.cell["batch"]), 0.0) for r in behind]
        taken = [seconds(r.cell, r.names[0]) or 0.0 for r in behind]
        summary |= {
            "below_0.9": len(behind),
            "below_increment": sum(t < floor for t, floor in zip(taken, floors, strict=True)),
            "cells_below_0.9": [_told(r) for r in behind],
        }
    return summary


def _auto_over_own(cells: Iterable[Row]) -> dict[str, Any] | None:
    """How much "auto" loses to the best of our algorithms."""
    ratios = [r for cell in cells if (r := ratio(cell, ["auto"], own(cell)))]
    summary = spread(ratios)
    if summary is not None:
        summary["share_within_1.15"] = sum(r.value <= 1.15 for r in ratios) / len(ratios)
    return summary


def _ratios(cells: Iterable[Row], over: Collection[str], under: Collection[str]) -> list[Ratio]:
    return [r for cell in cells if (r := ratio(cell, over, under))]


def _fastest(cell: Row, names: Iterable[str]) -> tuple[str, float | None]:
    measured = [(taken, name) for name in names if (taken := seconds(cell, name)) is not None]
    taken, name = min(measured, default=(None, ""))
    return name, taken


def _is_small(cell: Row) -> bool:
    return max(map(int, cell["kernel"].split("x"))) <= 15


def _place(cell: Row) -> dict[str, Any]:
    return {key: cell[key] for key in PLACE}


def _told(ratio: Ratio) -> dict[str, Any]:
    return {"ratio": ratio.value, "of": ratio.names[0], "to": ratio.names[1], **_place(ratio.cell)}


def from_command_line(description: str) -> dict[str, Any]:
    """Return the benchmark's result that the command line names; exit with 2 if it names none."""
    return result_file.from_command_line(
        description, experiment="bench_corr2d", keys=("cells", "limits", "padding")
    )


def main() -> None:
    """Print the summary of a result anew."""
    result = from_command_line("Say what a benchmark of correlation came to.")
    print("\n".join(lines(summarize(result["cells"], copies=result["limits"]["copy"]))))


if __name__ == "__main__":
    main()
