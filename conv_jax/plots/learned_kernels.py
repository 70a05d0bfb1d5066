"""Figures of a kernel that is learned: its way, what it became, its loss."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


def kernel_path(
    path: Float[np.ndarray, "S 2"],
    *,
    losses: Float[np.ndarray, "rows columns"],
    extent: tuple[float, float, float, float],
    target: tuple[float, float],
    title: str,
) -> Figure:
    """Draw the way of a kernel of two elements over the contours of the loss.

    Args:
      path: the kernel before each step and after the last, (first, second element).
      losses: the loss on a grid, rows by the second element.
      extent: (left, right, bottom, top) of the grid.
      target: the kernel with the least loss.
      title: above the figure.

    Returns:
      A figure with the start, every step and the target.
    """
    figure = Figure(figsize=(6.4, 5.4), layout="constrained")
    axes = figure.subplots()
    highest = losses[np.isfinite(losses)].max(initial=1e-30)
    levels = np.geomspace(1e-3 * highest, highest, 14)
    contours = axes.contour(losses, levels=levels, extent=extent, cmap="viridis", linewidths=0.9)
    axes.clabel(contours, levels=levels[levels > 0.02 * levels[-1]], fontsize=7, fmt="%.3g")
    axes.plot(path[:, 0], path[:, 1], "o-", color="C3", markersize=3, linewidth=1.2, label="kernel")
    axes.plot(*path[0], "s", color="C0", markersize=8, label=f"start ({_pair(path[0])})")
    axes.plot(*target, "*", color="black", markersize=13, label=f"least loss ({_pair(target)})")
    axes.set(xlabel="first element", ylabel="second element", title=title)
    axes.set_aspect("equal")
    axes.legend(loc="best", fontsize=8)
    return figure


def learned_kernel(
    learned: Float[np.ndarray, "kH kW"], target: Float[np.ndarray, "kH kW"], *, title: str
) -> Figure:
    """Draw the learned kernel, the target and their difference, with the numbers.

    Args:
      learned: the kernel after the last step.
      target: the kernel that made the outputs.
      title: above the figure.

    Returns:
      A figure of three panels.
    """
    rows, columns = target.shape
    figure = Figure(figsize=(9, 1.0 + 2.8 * rows / columns), layout="constrained")
    panels = {
        "learned": learned,
        "target": target,
        "learned - target (own scale)": learned - target,
    }
    for axes, (name, values) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        limit = float(np.abs(values).max()) or 1.0
        axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.set_title(name)
        _write_values(axes, values, limit)
    figure.suptitle(title)
    return figure


def loss_curve(losses: Float[np.ndarray, "S"], *, title: str) -> Figure:
    """Draw the loss before each step.

    Args:
      losses: one number a step.
      title: above the figure.

    Returns:
      A figure with a logarithmic axis.
    """
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    style = "o-" if len(losses) < 100 else "-"
    axes.plot(np.arange(1, len(losses) + 1), losses, style, markersize=3, linewidth=1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="step", ylabel="loss before the step", title=title)
    if (losses > 0).all():
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    return figure


def _write_values(axes: Axes, values: np.ndarray, limit: float) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if abs(value) > 0.6 * limit else "0.1"
        axes.text(column, row, f"{value:.3g}", ha="center", va="center", color=colour, fontsize=8)


def _pair(values: Sequence[float] | np.ndarray) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
