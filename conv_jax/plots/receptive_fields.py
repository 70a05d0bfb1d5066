"""Figures of receptive fields: what layers see of an image, and how much each pixel matters."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Circle, Rectangle
from matplotlib.ticker import MaxNLocator

from conv_jax.receptive_field import EffectiveField, Field

Box = tuple[tuple[int, int], tuple[int, int]]  # first and last row, first and last column


def layer_fields(
    image: Shaped[np.ndarray, "H W"], fields: Sequence[Field], *, title: str, margin: int = 0
) -> Figure:
    """Draw what the middle output of every layer sees of an image, as frames around each other.

    Args:
      image: a grey image.
      fields: of its layers, found with the image's size.
      title: above the figure.
      margin: pixels of padding to show around the image, for frames that reach into it.

    Returns:
      A figure with a frame and a line of the legend for every layer.
    """
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.subplots()
    height, width = image.shape
    axes.imshow(image, cmap="gray_r", alpha=0.55, interpolation="nearest")
    colours = colormaps["viridis"](np.linspace(0, 0.92, len(fields)))
    for index, (field, colour) in enumerate(zip(fields, colours, strict=True)):
        box = _middle(field)
        inset = 0.12 * (index + 1)  # so that equal frames lie beside each other
        size = "x".join(map(str, field.size))
        jump = "" if field.jump[0] in (0, None) else f", jump {field.jump[0]}"
        label = f"{field.name}: {size}{jump}"
        axes.add_patch(_frame(box, inset=inset, edgecolor=colour, linewidth=2, label=label))
    axes.set_xlim(-0.5 - margin, width - 0.5 + margin)
    axes.set_ylim(height - 0.5 + margin, -0.5 - margin)
    axes.set(xlabel="column", ylabel="row")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(title)
    figure.legend(loc="outside right upper", frameon=False, title="field of the middle output")
    return figure


def effective_fields(
    rows: Mapping[str, Mapping[str, EffectiveField]],
    *,
    boxes: Mapping[str, Box] | None = None,
    title: str,
) -> Figure:
    """Draw how much each pixel matters: a row of maps for each network, a column for each layer.

    Args:
      rows: row name -> column name -> measured field; all rows have the same columns.
      boxes: column name -> the pixels that are seen, framed; None draws no frames.
      title: above the figure.

    Returns:
      A figure of maps, each divided by its largest value, with a circle of the radius.
    """
    names = list(next(iter(rows.values())))
    figure = Figure(figsize=(1.7 * len(names) + 1.0, 1.95 * len(rows) + 0.6), layout="constrained")
    grid = figure.subplots(len(rows), len(names), squeeze=False)
    norm = PowerNorm(0.5, vmin=0, vmax=1)
    picture = None
    for line, (row, fields) in zip(grid, rows.items(), strict=True):
        line[0].set_ylabel(row)
        for axes, name in zip(line, names, strict=True):
            picture = _draw_field(axes, fields[name], norm)
            if boxes is not None:
                axes.add_patch(_frame(boxes[name], edgecolor="C1", linewidth=1.3))
    for axes, name in zip(grid[0], names, strict=True):
        axes.set_title(name, fontsize=10)
    assert picture is not None
    bar = figure.colorbar(picture, ax=grid, shrink=0.85, ticks=[0, 0.05, 0.25, 0.5, 1])
    bar.ax.set_yticklabels(["0", "0.05", "0.25", "0.5", "1"])
    bar.set_label("mean |gradient| / its largest")
    figure.supxlabel("frame: what the output can see; circle: root mean square radius", fontsize=9)
    figure.suptitle(title)
    return figure


def field_radii(
    radii: Mapping[str, Float[np.ndarray, "layers seeds"]],
    *,
    layers: Sequence[str],
    sizes: Sequence[int],
    title: str,
) -> Figure:
    """Draw measured radii beside that of a field of which every pixel matters alike.

    A square of s x s equal pixels has the root mean square radius sqrt((s^2 - 1) / 6).

    Args:
      radii: what is compared -> its radius for each layer and seed, in pixels.
      layers: names.
      sizes: side of each layer's field, in pixels.
      title: above the figure.

    Returns:
      A figure with a group of bars for each layer, a dot for every seed and a line for the field.
    """
    figure = Figure(figsize=(7.4, 3.6), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(radii)
    places = np.arange(len(layers))
    for index, (name, values) in enumerate(radii.items()):
        left = places + (index - (len(radii) - 1) / 2) * width
        axes.bar(left, values.mean(1), 0.92 * width, label=name, color=f"C{index}", alpha=0.75)
        axes.plot(
            np.broadcast_to(left[:, None], values.shape), values, ".", color="black", markersize=3
        )
    equal = [math.sqrt((size**2 - 1) / 6) for size in sizes]
    for place, radius in zip(places, equal, strict=True):
        label = "every pixel of the field alike" if place == 0 else None
        axes.plot([place - 0.45, place + 0.45], [radius] * 2, color="black", lw=1.5, label=label)
    names = [f"{name}\n{size}x{size}" for name, size in zip(layers, sizes, strict=True)]
    axes.set_xticks(places, names)
    axes.set(ylabel="root mean square radius (pixels)", title=title)
    axes.legend(frameon=False, loc="upper left")
    axes.grid(axis="y", alpha=0.3)
    return figure


def _draw_field(axes: Axes, field: EffectiveField, norm: PowerNorm) -> AxesImage:
    largest = field.gradient.max() or 1.0
    picture = axes.imshow(field.gradient / largest, cmap="gray_r", norm=norm)
    row, column = field.centre
    axes.add_patch(Circle((column, row), field.radius, fill=False, edgecolor="C0", linewidth=1.3))
    axes.set_xlabel(f"radius {field.radius:.1f}", fontsize=9)
    height, width = field.gradient.shape
    axes.set(xlim=(-1.2, width + 0.2), ylim=(height + 0.2, -1.2), xticks=[], yticks=[])
    return picture


def _middle(field: Field) -> Box:
    """Return what the middle output sees, in the padding too where the field is regular."""
    spans = []
    for size, jump, start, seen in zip(
        field.size, field.jump, field.start, field.spans or (), strict=True
    ):
        place = (len(seen) - 1) // 2
        if isinstance(jump, int) and start is not None:
            spans.append((start + jump * place, start + jump * place + size - 1))
        else:
            spans.append(seen[place] or (0, -1))
    rows, columns = spans
    return rows, columns


def _frame(box: Box, *, inset: float = 0.0, **style: Any) -> Rectangle:
    (top, bottom), (left, right) = box
    corner = (left - 0.5 + inset, top - 0.5 + inset)
    height, width = bottom - top + 1 - 2 * inset, right - left + 1 - 2 * inset
    return Rectangle(corner, width, height, fill=False, **style)
