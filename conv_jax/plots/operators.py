"""The figure of networks that correlate and networks that convolve."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def operators_compared(
    kernels: Mapping[str, Float[np.ndarray, "kH kW O"]],
    accuracies: Mapping[str, Float[np.ndarray, "K"]],
    *,
    interval: tuple[float, float],
    title: str,
) -> Figure:
    """Draw kernels row by row, accuracies in pairs and the differences within the pairs.

    Args:
      kernels: up to ten of every layer are drawn, on one symmetric scale.
      accuracies: of two operators, in [0, 1]; the same place is the same pair.
      interval: of the mean of second - first.
      title: above the figure.

    Returns:
      A figure of kernels on the left, blue below 0 and red above, and two panels on the right.
    """
    figure = Figure(figsize=(12.5, 4), layout="constrained")
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.15, 1))[0]
    limit = max(float(np.abs(weights).max()) for weights in kernels.values()) or 1.0
    rows = left.subplots(len(kernels), 1, squeeze=False)[:, 0]
    for axes, (name, weights) in zip(rows, kernels.items(), strict=True):
        axes.imshow(_row(weights[..., :10]), cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.set_title(name, fontsize=10)
        axes.set_axis_off()
    left.colorbar(rows[0].images[0], ax=list(rows), shrink=0.8, label="weight")
    pairs, differences = right.subplots(1, 2)
    _draw_pairs(pairs, accuracies)
    first, second = accuracies.values()
    _draw_differences(differences, second - first, interval)
    names = list(accuracies)
    differences.set_title(f"{names[1]} - {names[0]}", fontsize=10)
    figure.suptitle(title)
    return figure


def _row(weights: Float[np.ndarray, "kH kW O"]) -> Float[np.ndarray, "kH columns"]:
    """Lay kernels side by side, a column of NaN apart."""
    spaced = np.pad(weights, ((0, 0), (0, 1), (0, 0)), constant_values=np.nan)
    return np.concatenate(list(np.moveaxis(spaced, -1, 0)), axis=1)[:, :-1]


def _draw_pairs(axes: Axes, accuracies: Mapping[str, Float[np.ndarray, "K"]]) -> None:
    """Draw a line a pair, and the means."""
    both = 100 * np.stack(list(accuracies.values()))
    axes.plot(both, "o-", color="C0", alpha=0.4, linewidth=1, markersize=4)
    axes.plot(both.mean(axis=1), "D-", color="C1", linewidth=2, label="mean")
    axes.set_xticks((0, 1), list(accuracies))
    axes.set_xlim(-0.3, 1.3)
    axes.set_ylabel("accuracy (%)")
    axes.set_title("a line a seed", fontsize=10)
    axes.legend(loc="lower center", fontsize=8)
    axes.grid(alpha=0.3, axis="y")


def _draw_differences(
    axes: Axes, differences: Float[np.ndarray, "K"], interval: tuple[float, float]
) -> None:
    """Draw the differences in their order, the mean and its interval."""
    points = 100 * np.sort(differences)
    axes.axhspan(
        100 * interval[0], 100 * interval[1], color="C1", alpha=0.25, label="95 % of the mean"
    )
    axes.axhline(0, color="0.3", linewidth=1)
    axes.axhline(points.mean(), color="C1", linewidth=2, label="mean")
    axes.plot(np.arange(1, len(points) + 1), points, "o", color="C0", markersize=4)
    axes.set(xlabel="seeds, by their difference", ylabel="difference of accuracy (points)")
    axes.legend(loc="upper left", fontsize=7)
    axes.grid(alpha=0.3, axis="y")
