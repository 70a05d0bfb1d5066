"""Figures of kernels learned from their outputs: which, how exactly, how fast."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure


class ErrorCurve(NamedTuple):
    """Measured errors and what was predicted of them."""

    x: Float[np.ndarray, "X"]  # what varies
    mean: Float[np.ndarray, "X"]
    std: Float[np.ndarray, "X"]
    expected: Float[np.ndarray, "X"]


class Tile(NamedTuple):
    """A kernel and a line below it."""

    kernel: Float[np.ndarray, "kH kW"]
    caption: str


class Convergence(NamedTuple):
    """The eigenvalues of a normal matrix and the way of gradient descent."""

    eigenvalues: Float[np.ndarray, "taps"]
    distances: Float[np.ndarray, "S"]  # from the kernel of least squares, before each step
    expected: Float[np.ndarray, "S"]


def error_curves(
    panels: Mapping[str, Mapping[str, ErrorCurve]],
    *,
    label: str,
    title: str,
    marks: Mapping[str, int | float] | None = None,
) -> Figure:
    """Draw errors as points with bars of a standard deviation, and what is predicted as lines.

    Args:
      panels: the curves by panel and name; a name has one colour in all panels.
      label: of what varies.
      title: above the figure.
      marks: where a dotted line goes up, by panel.

    Returns:
      A figure with logarithmic axes, up to three panels in a row; a bar that would reach 0 has
      no lower half.
    """
    across = min(3, len(panels))
    down = -(-len(panels) // across)
    size = (1.2 + 3.3 * across, 1.2 + 2.6 * down)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    styles = _styles(name for curves in panels.values() for name in curves)
    handles = {}
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    for axes, (panel, curves) in zip(grid, panels.items(), strict=False):
        if marks and panel in marks:
            axes.axvline(marks[panel], color="0.5", linewidth=1, linestyle=":")
        for name, curve in curves.items():
            handles[name] = _draw_errors(axes, curve, styles[name])
        axes.set(xscale="log", yscale="log")
        axes.set_title(panel, fontsize=10)
        axes.grid(alpha=0.25)
        axes.set_ylim(*_reach(panels))
        if axes.get_subplotspec().is_last_row():
            axes.set_xlabel(label)
    figure.supylabel("error / norm of the kernel", fontsize=10)
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=6)
    figure.suptitle(title)
    return figure


def kernel_tiles(
    rows: Mapping[str, Mapping[str, Tile]],
    *,
    images: Mapping[str, Float[np.ndarray, "H W"]],
    title: str,
) -> Figure:
    """Draw kernels in rows, blue below 0, white 0 and red above; a row has one scale.

    Args:
      rows: tiles by row and column; a row may lack some. The first sets the scale of its row.
      images: what stands above the columns, by their names, in grey.
      title: above the figure.

    Returns:
      A figure with a line below each kernel.
    """
    columns = list(dict.fromkeys(name for tiles in rows.values() for name in tiles))
    heights = [1.0, *(max(0.5, _height(tiles)) + 0.3 for tiles in rows.values())]
    size = (1.1 + 1.2 * len(columns), 0.6 + 1.2 * sum(heights))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(heights), len(columns), squeeze=False, height_ratios=heights)
    for axes in grid.ravel():
        axes.set(xticks=[], yticks=[])
        axes.set_axis_off()
    for axes, column in zip(grid[0], columns, strict=True):
        axes.set_title(column, fontsize=10)
        if column in images:
            _draw_image(axes, images[column])
    for line, (row, tiles) in zip(grid[1:], rows.items(), strict=True):
        limit = 1.2 * float(np.abs(next(iter(tiles.values())).kernel).max()) or 1.0
        line[0].text(-0.12, 0.5, row, transform=line[0].transAxes, ha="right", va="center")
        for column, tile in tiles.items():
            axes = line[columns.index(column)]
            axes.set_axis_on()
            axes.spines[:].set_color("0.7")
            axes.imshow(tile.kernel, cmap="RdBu_r", vmin=-limit, vmax=limit)
            axes.set_xlabel(tile.caption, fontsize=8, labelpad=3)
    figure.suptitle(title)
    return figure


def convergence(curves: Mapping[str, Convergence], *, title: str) -> Figure:
    """Draw the eigenvalues of normal matrices, and how fast gradient descent goes with each.

    Args:
      curves: by name.
      title: above the figure.

    Returns:
      A figure of two panels: eigenvalues, the largest first, over the largest, down to rounding;
      and distances against steps, points measured, lines expected.
    """
    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, (colour, marker) in _styles(curves).items():
        curve = curves[name]
        point: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 4}
        values = np.sort(curve.eigenvalues)[::-1] / curve.eigenvalues.max()
        shown = np.maximum(values, 1e-16)
        left.plot(np.arange(1, len(values) + 1), shown, linewidth=1, label=name, **point)
        steps = np.arange(1, len(curve.distances) + 1)
        right.plot(steps, curve.expected, color=colour, linewidth=1.3)
        some = np.unique(np.geomspace(1, len(steps), 30).astype(int)) - 1
        right.plot(steps[some], curve.distances[some], linestyle="none", **point)
    left.set(yscale="log", xlabel="eigenvalue", ylabel="over the largest")
    left.set_title("A singular matrix leaves part of the kernel open", fontsize=10)
    right.set(xscale="log", yscale="log", xlabel="step", ylabel="distance / norm of the kernel")
    right.set_title("The condition number sets the rate", fontsize=10)
    for axes in (left, right):
        axes.set_ylim(3e-17, 5)
        axes.axhspan(1e-17, 1e-13, color="0.93", zorder=0)
        axes.text(0.02, 0.03, "rounding", transform=axes.transAxes, color="0.5", fontsize=8)
        axes.grid(alpha=0.25)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=6)
    figure.suptitle(title)
    return figure


def _draw_image(axes: Axes, image: Float[np.ndarray, "H W"]) -> None:
    """Draw an image in grey from its least to its greatest value; a constant one half-way."""
    margin = 0.0 if np.ptp(image) else 1.0
    axes.imshow(image, cmap="gray", vmin=image.min() - margin, vmax=image.max() + margin)
    axes.set_anchor("N")
    axes.set_axis_on()
    axes.spines[:].set_color("0.7")


def _draw_errors(axes: Axes, curve: ErrorCurve, style: tuple[str, str]) -> Any:
    """Draw a line and points, and return the points."""
    colour, marker = style
    axes.plot(curve.x, curve.expected, color=colour, linewidth=1.3)
    lower = np.where(curve.std < curve.mean, curve.std, 0)
    return axes.errorbar(
        curve.x,
        curve.mean,
        yerr=(lower, curve.std),
        color=colour,
        marker=marker,
        markersize=4,
        linestyle="none",
        elinewidth=1,
        capsize=2,
    )


def _reach(panels: Mapping[str, Mapping[str, ErrorCurve]]) -> tuple[float, float]:
    """Return limits that hold every mean, whatever the bars."""
    means = np.concatenate([curve.mean for curves in panels.values() for curve in curves.values()])
    return means.min() / 3, means.max() * 3


def _height(tiles: Mapping[str, Tile]) -> float:
    """Return the height of a row's kernels over their width, at most 1."""
    height, width = next(iter(tiles.values())).kernel.shape
    return min(1.0, height / width)


def _styles(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Give each name a colour and a marker."""
    looks = itertools.cycle(zip(("C0", "C1", "C2", "C3", "C4", "0.45"), "osD^vP", strict=True))
    return dict(zip(dict.fromkeys(names), looks, strict=False))
