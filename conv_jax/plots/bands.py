"""Lines with a band around each: the mean over seeds, and how far the seeds lie apart."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

# Colours that can be told apart, on white and on black; then the same with other dashes.
_COLOURS = ("#2a78c2", "#d0603a", "#3d9a63", "#9b6fc4", "#b0852a", "#7f8790")
_DASHES: tuple[tuple[int, ...], ...] = ((), (5, 2), (1, 2))


class Band(NamedTuple):
    """A line, and the least and the greatest of what it is the mean of."""

    x: Float[np.ndarray, "S"]
    low: Float[np.ndarray, "S"]
    mean: Float[np.ndarray, "S"]
    high: Float[np.ndarray, "S"]


def band_style(index: int) -> tuple[str, tuple[int, ...]]:
    """Return the colour of a line of `bands`, and its dashes, for a legend.

    Args:
      index: of the line; those behind the eighteenth look like earlier ones.
    """
    dashed, colour = divmod(index, len(_COLOURS))
    return _COLOURS[colour], _DASHES[dashed % len(_DASHES)]


def bands(
    lines: Sequence[Band], *, xlabel: str, ylabel: str, scale: Literal["linear", "log", "symlog"]
) -> Figure:
    """Draw lines with their bands, each in its `band_style`.

    Args:
      lines: at least one; one without points takes its style, and draws nothing.
      xlabel: below.
      ylabel: on the left.
      scale: of the values; "symlog" is linear below 0.1, so that it has a place for 0.

    Returns:
      A figure without a title or a legend.
    """
    figure = Figure(figsize=(4.6, 3.1), layout="constrained")
    axes = figure.subplots()
    for index, line in enumerate(lines):
        colour, dashes = band_style(index)
        marker = "o" if len(line.x) < 30 else None
        axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.2, linewidth=0)
        style: dict[str, Any] = {"marker": marker, "markersize": 3, "linewidth": 1.5}
        axes.plot(line.x, line.mean, color=colour, linestyle=(0, dashes), **style)
    axes.set_yscale(scale, **({"linthresh": 0.1} if scale == "symlog" else {}))
    axes.set(xlabel=xlabel, ylabel=ylabel)
    places = np.concatenate([line.x for line in lines])
    if len(places) and np.ptp(places) == 0:  # or the axis would show hundredths of an epoch
        axes.set_xlim(places[0] - 1, places[0] + 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if scale != "linear":
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, 0) if scale == "symlog" else low, high)
        narrow = scale == "symlog" or high < 30 * low  # with few decades to have numbers at
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        axes.yaxis.set_minor_formatter("{x:g}" if narrow else "")
    axes.grid(alpha=0.3, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
