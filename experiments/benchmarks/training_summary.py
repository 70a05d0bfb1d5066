"""What the benchmark of training came to: ratios, tables, figures, from the numbers alone.

`python -m experiments.benchmarks.training_summary RESULT.json` says it again.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from conv_jax import plots
from conv_jax.plots.benchmarks import three_digits
from experiments.benchmarks import result_file

Row = dict[str, Any]
TORCH = ("torch", "torch.compile")
STOCK = ("nnx", "linen")
SLOWER = 1.1  # times lax, from which on a layer counts as slower


def line(row: Row) -> str:
    """Say in a line what one row of any table came to."""
    about = f"{row['network']}, batch {row['batch_size']}" if "network" in row else row["name"]
    about += f", {row['quantity']}" if "quantity" in row else ""
    others = [f"{name} {_text(seconds)}" for name, seconds in _medians(row).items()]
    return f"{about}: {', '.join(others)}"


def summarize(results: Row) -> Row:
    """Return the ratios that the README states.

    Args:
      results: of a run, whole or in part.

    Returns:
      "steps" with a row for every network and batch, "race" with one for every contestant,
      "layers" over all layers, and "2x2 pools" over those side by side.
    """
    return {
        "steps": [_step(row, results["matmul_flops"]) for row in results["steps"]],
        "race": {name: _finish(runs) for name, runs in results.get("race", {}).items()},
        "layers": _over(results["layers"], "lax"),
        "2x2 pools": _over(
            [r for r in results["pools"] if r["name"].startswith("2x2")], "reduce_window"
        ),
    }


def lines(summary: Row) -> list[str]:
    """Say what `summarize` returned."""
    said = []
    for row in summary["steps"]:
        parts = [f"{row['network']}, batch {row['batch_size']}: {_text(row['seconds'])} a step"]
        for key, words in (
            ("over_floor", "{:.2g} times the floor of its products"),
            ("torch_over_ours", "the better torch takes {:.2f} times as long"),
            ("stock_over_ours", "the better stock Flax {:.2f}"),
            ("scan_over_ours", "in lax.scan {:.2f} times outside"),
            ("stock_scan_over_ours", "stock Flax in lax.scan {:.1f} times ours there"),
        ):
            if row[key] is not None:
                parts.append(words.format(row[key]))
        said.append("; ".join(parts))
    for name, numbers in summary["race"].items():
        said.append(
            f"LeNet5 to {100 * numbers['accuracy']:.2f} +- {100 * numbers['accuracy_std']:.2f} % "
            f"on MNIST, {name}: {numbers['seconds']:.2f} s ({numbers['count']} seeds)"
        )
    for name, other in (("layers", "lax"), ("2x2 pools", "reduce_window")):
        for quantity, numbers in summary[name].items():
            said.append(
                f"{name}, {quantity}: {other} / ours {numbers['mean']:.2f} (geometric mean of "
                f"{numbers['count']}), least {numbers['least']:.2f} ({numbers['worst']}), "
                f"{numbers['slower']} below {1 / SLOWER:.2f}"
            )
    return said


def tables(results: Row) -> str:
    """Return the tables of a run in Markdown, in milliseconds."""
    parts = ["# Training steps, pools and layers on a CPU\n\nMilliseconds, medians of turns.\n"]
    for title, key in (("Steps", "steps"), ("Pools", "pools"), ("Layers", "layers")):
        rows = results[key]
        if not rows:
            continue
        names = list(dict.fromkeys(name for row in rows for name in _medians(row)))
        parts.append(f"\n## {title}\n")
        parts.append("| | " + " | ".join(names) + " |")
        parts.append("|---" * (len(names) + 1) + "|")
        for row in rows:
            about, _, _ = line(row).partition(":")
            medians = _medians(row)
            cells = [three_digits(1e3 * medians[n]) if n in medians else "" for n in names]
            parts.append(f"| {about} | " + " | ".join(cells) + " |")
    return "\n".join(parts) + "\n"


def figures(results: Row) -> dict[str, Figure]:
    """Return the figures of a run by name."""
    drawn = {}
    if results["steps"]:
        bars = {
            f"{row['network']}\nbatch {row['batch_size']}": {
                name: 1e3 * seconds for name, seconds in _medians(row).items()
            }
            for row in results["steps"]
        }
        floors = [1e3 * row["flops"] / results["matmul_flops"] for row in results["steps"]]
        drawn["steps"] = plots.step_times(bars, floors, title="Time of a training step")
    layers = results["layers"]
    if layers:
        ratios = {
            quantity: {
                row["name"]: _medians(row)["lax"] / _medians(row)["ours"]
                for row in layers
                if row["quantity"] == quantity
            }
            for quantity in dict.fromkeys(row["quantity"] for row in layers)
        }
        drawn["layers"] = plots.ratio_bars(
            ratios, title="Single layers: how many times faster than lax"
        )
    return drawn


def _step(row: Row, matmul_flops: float) -> Row:
    times = _medians(row)

    def least(names: Sequence[str]) -> float | None:
        return min((times[name] for name in names if name in times), default=None)

    def over(one: float | None, other: float | None) -> float | None:
        return one / other if one and other else None

    ours, ours_in_scan = times["ours"], times.get("ours in scan")
    return {
        "network": row["network"],
        "batch_size": row["batch_size"],
        "seconds": ours,
        "over_floor": ours / (row["flops"] / matmul_flops),
        "torch_over_ours": over(least(TORCH), ours),
        "stock_over_ours": over(least(STOCK), ours),
        "scan_over_ours": over(ours_in_scan, ours),
        "stock_scan_over_ours": over(least([f"{n} in scan" for n in STOCK]), ours_in_scan),
    }


def _finish(runs: Row) -> Row:
    """Return mean seconds, mean accuracy and its deviation over seeds."""
    accuracies, seconds = runs["accuracy"], runs["seconds"]
    return {
        "seconds": statistics.mean(seconds),
        "accuracy": statistics.mean(accuracies),
        "accuracy_std": statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0,
        "count": len(seconds),
    }


def _over(rows: Sequence[Row], other: str) -> Row:
    """Return how the other's times compare to ours, by quantity."""
    found = {}
    for quantity in dict.fromkeys(row["quantity"] for row in rows):
        ratios = {
            row["name"]: _medians(row)[other] / _medians(row)["ours"]
            for row in rows
            if row["quantity"] == quantity
        }
        worst = min(ratios, key=lambda name: ratios[name])
        found[quantity] = {
            "count": len(ratios),
            "mean": math.exp(sum(map(math.log, ratios.values())) / len(ratios)),
            "least": ratios[worst],
            "worst": worst,
            "slower": sum(ratio < 1 / SLOWER for ratio in ratios.values()),
        }
    return found


def _medians(row: Row) -> Mapping[str, float]:
    return {name: times["median"] for name, times in row["times"].items()}


def _text(seconds: float) -> str:
    return f"{three_digits(1e3 * seconds)} ms"


def main() -> None:
    """Print what a run came to."""
    results = result_file.from_command_line(
        "Say what a benchmark of training came to.",
        experiment="bench_training",
        keys=("steps", "layers", "pools", "matmul_flops"),
    )
    print(*lines(summarize(results)), sep="\n")


if __name__ == "__main__":
    main()
