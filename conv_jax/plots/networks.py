"""Figures of a trained network: its curves, kernels, feature maps and mistakes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
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
        colour = "white" if dark and row != column else "0.1"
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
