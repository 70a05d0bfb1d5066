"""Figures of benchmarks: times and ratios of contestants."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator


class Timings(NamedTuple):
    """How long everybody took, by kernel."""

    kernels: Sequence[str]  # their names
    sides: Float[np.ndarray, "K"]  # the roots of their areas
    seconds: Mapping[str, Float[np.ndarray, "K"]]  # by contestant, NaN where not measured
    bounds: Mapping[str, Float[np.ndarray, "K"]]  # seconds that the machine needs at least


def times_by_kernel(panels: Mapping[str, Timings], *, title: str) -> Figure:
    """Draw times against the size of the kernel, both logarithmic, a line for each contestant.

    Names without a dot are our algorithms, drawn bold, but for "lax"; a name with a dot begins
    with its library.

    Args:
      panels: what to draw side by side, by title.
      title: above the figure.

    Returns:
      A figure with a panel for each title and one legend.
    """
    figure = Figure(figsize=(2.6 + 5 * len(panels), 6), layout="constrained")
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    names, bounds = (
        list(dict.fromkeys(name for timings in panels.values() for name in getattr(timings, field)))
        for field in ("seconds", "bounds")
    )
    styles = _line_styles(names, bounds)
    handles = {}
    for axes, (name, timings) in zip(grid, panels.items(), strict=True):
        lines = {**timings.seconds, **timings.bounds}
        for line, seconds in lines.items():
            if np.isfinite(seconds).any():
                [handles[line]] = axes.plot(timings.sides, 1e3 * seconds, **styles[line])
        axes.set(title=name, xlabel="kernel", xscale="log", yscale="log")
        axes.set_xticks(timings.sides, timings.kernels, rotation=60, ha="right", fontsize=8)
        axes.minorticks_off()
        axes.yaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.25)
    grid[0].set_ylabel("time (ms, log)")
    shown = [name for name in styles if name in handles]
    figure.legend([handles[name] for name in shown], shown, loc="outside right center", fontsize=9)
    figure.suptitle(title)
    return figure


def ratio_maps(
    panels: Mapping[str, Float[np.ndarray, "rows columns"]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    label: str,
) -> Figure:
    """Draw ratios over image and kernel size, blue above 1 and red below, with the numbers.

    Args:
      panels: ratios by title, NaN where there is none.
      rows: image sizes.
      columns: kernel sizes.
      title: above the figure.
      label: what the ratio is.

    Returns:
      A figure with up to two panels in a row, and a logarithmic colour bar.
    """
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    panel = max(3.6, 0.8 + 0.52 * len(columns)), max(2.2, 1.0 + 0.42 * len(rows))
    size = (1.6 + across * panel[0], 1.3 + down * panel[1])
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(down, across, squeeze=False)
    finite = [v for values in panels.values() for v in values[np.isfinite(values)]]
    limit = float(np.clip(np.abs(np.log2([*finite, 2])).max(), 1, 3))
    for axes in grid.ravel()[len(panels) :]:
        axes.set_axis_off()
    colours = ScalarMappable(Normalize(-limit, limit), cmap="RdBu")
    for axes, (name, values) in zip(grid.ravel(), panels.items(), strict=False):
        logs = np.log2(values)
        axes.imshow(logs, cmap=colours.cmap, norm=colours.norm, aspect="auto")
        axes.set_facecolor("0.9")
        axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", fontsize=8)
        axes.set_yticks(range(len(rows)), rows, fontsize=8)
        axes.set(title=name, xlabel="kernel", ylabel="image")
        for (row, column), value in np.ndenumerate(values):
            dark = abs(logs[row, column]) > 0.6 * limit
            text = "" if np.isnan(value) else f"{value:.2g}" if value < 9.95 else f"{value:.0f}"
            options = {"ha": "center", "va": "center", "color": "white" if dark else "0.1"}
            axes.text(column, row, text, fontsize=8, **options)
    ticks = np.arange(-np.floor(limit), np.floor(limit) + 1)
    bar = figure.colorbar(colours, ax=grid, shrink=0.7, label=label, extend="both", ticks=ticks)
    bar.set_ticklabels([f"{2**t:g}" if t >= 0 else f"1/{2**-t:g}" for t in ticks])
    figure.suptitle(title)
    return figure


def step_times(
    bars: Mapping[str, Mapping[str, float]], floors: Sequence[float], *, title: str
) -> Figure:
    """Draw the times of contestants as bars, a panel for each network, with the machine's floor.

    Ours are dark; a name that ends with "in scan" is hatched.

    Args:
      bars: milliseconds by contestant, by network.
      floors: milliseconds that each network's products take at the rate of a large one.
      title: above the figure.

    Returns:
      A figure with a logarithmic axis in each panel.
    """
    down = -(-len(bars) // 2)
    figure = Figure(figsize=(11, 0.8 + 2.9 * down), layout="constrained")
    grid = figure.subplots(down, min(2, len(bars)), squeeze=False).ravel()
    for axes in grid[len(bars) :]:
        axes.set_axis_off()
    for axes, (network, times), floor in zip(grid, bars.items(), floors, strict=False):
        names, values = list(times), list(times.values())
        for place, (name, value) in enumerate(times.items()):
            colour = "C0" if name.startswith("ours") else "C1" if "torch" in name else "0.7"
            hatch = "//" if name.endswith("in scan") else None
            axes.barh(place, value, color=colour, hatch=hatch, edgecolor="white")
            axes.text(value, place, f" {three_digits(value)}", va="center", fontsize=8)
        axes.axvline(floor, color="black", linestyle="--", linewidth=1)
        axes.text(floor, -0.75, f" floor {three_digits(floor)}", fontsize=8, va="center")
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.set(xscale="log", title=network, xlabel="ms (log)")
        axes.set_xlim(0.6 * min(floor, *values), 2.2 * max(values))
        axes.set_ylim(len(names) - 0.4, -1.1)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
        axes.title.set_fontsize(10)
    figure.suptitle(title)
    return figure


def ratio_bars(ratios: Mapping[str, Mapping[str, float]], *, title: str) -> Figure:
    """Draw ratios as points on a logarithmic axis, a line for each name, a colour for each kind.

    Args:
      ratios: by name, by kind.
      title: above the figure.

    Returns:
      A figure with a line at 1.
    """
    names = list(dict.fromkeys(name for some in ratios.values() for name in some))
    figure = Figure(figsize=(8, 1.2 + 0.19 * len(names)), layout="constrained")
    axes = figure.subplots()
    for (kind, some), marker in zip(ratios.items(), itertools.cycle("os^v"), strict=False):
        places = [names.index(name) for name in some]
        axes.plot(list(some.values()), places, marker, markersize=5, label=kind)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set(xscale="log", title=title, xlabel="times as fast (log)", ylim=(len(names), -1))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(LogLocator(subs=(2, 3, 5)))
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.tick_params(axis="x", which="minor", labelsize=7)
    axes.grid(alpha=0.3, axis="x", which="both")
    axes.grid(alpha=0.15, axis="y")
    figure.legend(loc="outside lower right", ncols=len(ratios))
    return figure


def _line_styles(names: Sequence[str], bounds: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Give ours bold lines, each library a colour and markers, bounds dashes; in this order."""
    bold = {"linewidth": 2.4, "zorder": 3, "marker": "."}
    thin = {"linewidth": 1.1, "markersize": 5, "alpha": 0.9, "zorder": 2}
    colours = itertools.cycle(["C0", "C1", "C2", "C3", "C4"])
    libraries = {"jax": "0.35", "cv2": "C6", "scipy": "C8", "torch": "C5"}
    markers = {library: itertools.cycle("osv^Dx") for library in libraries}
    own: dict[str, dict[str, Any]] = {}
    others: dict[str, dict[str, Any]] = {}
    for name in names:
        library = "jax" if name == "lax" else name.partition(".")[0]
        if name == "auto":
            own[name] = {"color": "black", **bold, "linewidth": 3.6}
        elif library not in libraries:
            own[name] = {"color": next(colours), **bold}
        else:
            marker = next(markers[library])
            others[name] = {"color": libraries[library], "marker": marker, **thin}
    grey = {"color": "0.5", "linewidth": 1.4, "zorder": 1}
    dashes = {
        name: {**grey, "linestyle": style}
        for name, style in zip(bounds, itertools.cycle(("--", ":")), strict=False)
    }
    return own | others | dashes


def three_digits(value: float) -> str:
    """Write a number in three significant digits, as in "0.0123" and "12,300"."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:g}" if rounded < 1000 else f"{rounded:,.0f}"
