"""Figures of experiments, each a function of arrays; the only file that imports matplotlib."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

_GREY = {"cmap": "gray", "interpolation": "nearest"}


class Curve(NamedTuple):
    """How one seed's training went."""

    epochs: Float[np.ndarray, "S"]  # where the losses were measured
    losses: Float[np.ndarray, "S"]  # of training
    accuracies: Float[np.ndarray, "E"]  # evaluated after epoch 1, 2, ..., in [0, 1]


def training_curves(curves: Sequence[Curve], *, title: str, evaluated_on: str) -> Figure:
    """Draw training loss and evaluated error against the epoch, one pale line a seed.

    Args:
      curves: one for every seed.
      title: above the figure.
      evaluated_on: which images the accuracy is of.

    Returns:
      A figure of two panels.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for curve in curves:
        few = "." if len(curve.losses) < 50 else ""
        left.plot(curve.epochs, curve.losses, few + "-", color="C0", alpha=0.6, linewidth=1)
        evaluated = np.arange(1, len(curve.accuracies) + 1)
        error = 100 * (1 - curve.accuracies)
        right.plot(evaluated, error, "o-", color="C1", alpha=0.6, linewidth=1, markersize=3)
    left.set(xlabel="epoch", ylabel="training loss (log)", yscale="log", title="Loss")
    right.set(xlabel="epoch", ylabel=f"{evaluated_on} error (%, log)", title="Error")
    right.set_yscale("symlog", linthresh=0.1)
    low, high = right.get_ylim()
    low, high = max(0, 0.8 * low), 1.2 * high + 0.05
    right.set_ylim(low, high)
    decades = [digit * unit for unit in (0.1, 1, 10) for digit in (1, 1.5, 2, 3, 4, 5, 6, 8)]
    ticks = [tick for tick in (0, *decades, 100) if low <= tick <= high]
    right.set_yticks(ticks[:: 1 + len(ticks) // 10])
    right.yaxis.set_major_formatter("{x:g}")
    right.yaxis.set_minor_formatter("")
    left.yaxis.set_minor_locator(LogLocator(subs=(2, 3, 5)))
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_formatter("{x:g}")
    for axes in (left, right):
        axes.grid(alpha=0.3, which="both")
        axes.set_xlim(0, len(curves[0].accuracies) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(f"{title} ({len(curves)} seed{'s' if len(curves) > 1 else ''})")
    return figure


def kernels(weights: Float[np.ndarray, "kH kW C O"], *, title: str) -> Figure:
    """Draw the kernels [kH, kW] of a layer for its first input channel, on one symmetric scale.

    Args:
      weights: HWIO weights of a convolution.
      title: above the figure.

    Returns:
      A figure with a colour bar: blue below 0, white 0, red above.
    """
    first_channel = np.moveaxis(weights[:, :, 0], -1, 0)
    columns = min(len(first_channel), 10)
    picture = _mosaic(first_channel, columns=columns)
    height, width = picture.shape
    figure = Figure(figsize=(9, 0.6 + 7.6 * height / width), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    limit = float(np.abs(first_channel).max()) or 1.0
    image = axes.imshow(picture, cmap="RdBu_r", vmin=-limit, vmax=limit)
    for index in range(len(first_channel)):
        row, column = divmod(index, columns)
        x, y = column * width / columns, row * height / -(-len(first_channel) // columns)
        axes.text(x - 0.5, y - 0.6, str(index), fontsize=8, va="bottom")
    figure.colorbar(image, ax=axes, shrink=0.8, label="weight")
    figure.suptitle(title)
    return figure


def feature_maps(maps: Mapping[str, Shaped[np.ndarray, "H W C"]], *, title: str) -> Figure:
    """Draw the feature maps of one image, a row a layer, each map on its own grey scale.

    Args:
      maps: layer name -> [H, W, C].
      title: above the figure.

    Returns:
      A figure with a row of up to 20 maps for every layer.
    """
    columns = min(20, max(layer.shape[-1] for layer in maps.values()))
    figure = Figure(figsize=(0.62 * columns + 1, 0.7 * len(maps) + 0.5), layout="constrained")
    grid = figure.subplots(len(maps), 1, squeeze=False)[:, 0]
    for axes, (name, layer) in zip(grid, maps.items(), strict=True):
        pictures = np.moveaxis(layer, -1, 0)[:columns].astype(float)
        low, high = (f(pictures, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
        pictures = (pictures - low) / np.maximum(high - low, 1e-12)
        axes.imshow(_mosaic(pictures, columns=columns), **_GREY)
        axes.set_axis_off()
        size = f"{name}\n{layer.shape[0]}x{layer.shape[1]}"
        axes.text(-0.01, 0.5, size, transform=axes.transAxes, ha="right", va="center")
    figure.suptitle(title)
    return figure


def confusion_matrix(
    counts: Int[np.ndarray, "classes classes"], *, class_names: Sequence[str], title: str
) -> Figure:
    """Draw how often each class (row) was predicted as each (column); colour shows the mistakes.

    Args:
      counts: number of images by true and predicted class.
      class_names: names of the classes.
      title: above the figure.

    Returns:
      A figure with every count written in its cell.
    """
    size = min(1.6 + 0.45 * len(class_names), 20)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.subplots()
    mistakes = counts * (1 - np.eye(len(counts), dtype=int))
    image = axes.imshow(mistakes, cmap="Reds", vmin=0, vmax=max(5, mistakes.max()))
    for (row, column), count in np.ndenumerate(counts):
        dark = mistakes[row, column] > 0.6 * max(5, mistakes.max())
        weight = "bold" if row == column else "normal"
        colour = "white" if dark and row != column else "black"
        if count:
            axes.text(
                column,
                row,
                str(count),
                ha="center",
                va="center",
                color=colour,
                weight=weight,
                fontsize=8,
            )
    rotation = 45 if max(map(len, class_names)) > 2 else 0
    axes.set_xticks(range(len(class_names)), class_names, rotation=rotation)
    axes.set_yticks(range(len(class_names)), class_names)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    integers = MaxNLocator(nbins=5, integer=True)
    figure.colorbar(image, ax=axes, shrink=0.8, label="mistakes", ticks=integers)
    return figure


def mistakes(
    images: Shaped[np.ndarray, "N H W C"],
    labels: Int[np.ndarray, "N"],
    probabilities: Float[np.ndarray, "N classes"],
    *,
    class_names: Sequence[str],
    title: str,
    limit: int = 24,
) -> Figure:
    """Draw the wrongly classified images, those first in which the network trusted most.

    Args:
      images: grey images; the first channel is drawn.
      labels: true classes.
      probabilities: what the network gave each class.
      class_names: names of the classes.
      title: above the figure.
      limit: most images to draw.

    Returns:
      A figure; above each image the true class, the predicted one and its probability.
    """
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:limit].tolist()
    rows = max(1, -(-len(worst) // 8))
    figure = Figure(figsize=(10, 1.4 * rows + 0.7), layout="constrained")
    grid = figure.subplots(rows, 8, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    if not worst:
        grid[0].text(0, 0.5, "no image was misclassified")
    for axes, index in zip(grid, worst, strict=False):
        axes.imshow(images[index, :, :, 0], **_GREY)
        names = f"{class_names[int(labels[index])]} → {class_names[int(predicted[index])]}"
        axes.set_title(f"{names}\n{confidence[index]:.1%}", fontsize=8, pad=2)
    shown = f", the {len(worst)} most confident" if len(worst) < len(wrong) else ""
    figure.suptitle(
        f"{title}: {len(wrong)} of {len(labels)} wrong{shown} (true → predicted, probability)"
    )
    return figure


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
            options = {"ha": "center", "va": "center", "color": "white" if dark else "black"}
            axes.text(column, row, text, fontsize=8, **options)
    ticks = np.arange(-np.floor(limit), np.floor(limit) + 1)
    bar = figure.colorbar(colours, ax=grid, shrink=0.7, label=label, extend="both", ticks=ticks)
    bar.set_ticklabels([f"{2**t:g}" if t >= 0 else f"1/{2**-t:g}" for t in ticks])
    figure.suptitle(title)
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


def _mosaic(
    pictures: Float[np.ndarray, "N h w"], *, columns: int
) -> Float[np.ndarray, "rows_h columns_w"]:
    """Lay pictures out row by row, a fifth of their size apart, with NaN where there is none.

    One picture is drawn much faster than one pair of axes for each.
    """
    count, height, width = pictures.shape
    rows, gap = -(-count // columns), max(1, height // 5)
    tiles = np.full((rows * columns, height + gap, width + gap), np.nan)
    tiles[:count, :height, :width] = pictures
    tiles = tiles.reshape(rows, columns, height + gap, width + gap)
    return tiles.swapaxes(1, 2).reshape(rows * (height + gap), columns * (width + gap))


def _write_values(axes: Axes, values: np.ndarray, limit: float) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if abs(value) > 0.6 * limit else "black"
        axes.text(column, row, f"{value:.3g}", ha="center", va="center", color=colour, fontsize=8)


def _pair(values: Sequence[float] | np.ndarray) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
