"""Figures of small arrays with every number: side by side, and under a sliding window."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import ArrayLike, Shaped
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from conv_jax.correlation import corr2d
from conv_jax.padding import Padding, Pair, kernel_extent, positive_pair, resolve

_BLUE = "#1f6fb4"
_FACES = {"image": "1", "padding": "0.9", "tap": "#c6dcf0", "now": _BLUE, "later": "0.97"}
_INKS = {"image": "0.15", "padding": "0.55", "tap": "0.15", "now": "white", "later": "none"}
_GAP = 0.3  # inches between panels, and for their titles


def arrays(
    panels: Mapping[str, Shaped[ArrayLike, "_ _"] | list],
    *,
    title: str = "",
    greys: Sequence[str] = (),
    across: int | None = None,
    cell: float = 0.36,
    numbers: bool = True,
) -> Figure:
    """Draw arrays side by side, in cells of one size, with their numbers.

    Args:
      panels: the arrays by title.
      title: above the figure.
      greys: titles of images, drawn on one scale from black, their least value, to white, their
        greatest. The others share a scale too: blue below 0, white 0, red above.
      across: panels in a row; None for all of them.
      cell: side of a cell in inches.
      numbers: False leaves them out.

    Returns:
      A figure with a panel for each array.

    Raises:
      ValueError: for no panels, or `greys` that are none of them.
    """
    if not panels or not set(greys) <= set(panels):
        raise ValueError(f"greys: expected titles of panels {list(panels)}, got {list(greys)}")
    matrices = {name: np.asarray(values) for name, values in panels.items()}
    shapes = [matrix.shape for matrix in matrices.values()]
    figure, grid = _panels(shapes, across=across or len(shapes), cell=cell, title=title)
    images = [matrix for name, matrix in matrices.items() if name in greys]
    others = [matrix for name, matrix in matrices.items() if name not in greys]
    size = _font_size(matrices.values(), cell)
    for axes, (name, matrix) in zip(grid, matrices.items(), strict=True):
        scale = _grey_scale(images) if name in greys else _signed_scale(others)
        faces = scale.to_rgba(matrix)[..., :3]
        dark = faces @ [0.299, 0.587, 0.114] < 0.5
        inks = np.where(dark, "white", "0.15") if numbers else np.full(matrix.shape, "none")
        _draw_cells(axes, matrix, faces.reshape(-1, 3), inks.ravel(), size=size)
        axes.set_title(name, fontsize=9, pad=4)
    return figure


def sliding_window(
    image: Shaped[ArrayLike, "H W"] | list,
    kernel: Shaped[ArrayLike, "kH kW"] | list,
    *,
    stride: int | Pair = 1,
    dilation: int | Pair = 1,
    padding: Padding = "valid",
    boundary: str = "constant",
    fill_value: Shaped[ArrayLike, ""] = 0,
    positions: Sequence[Pair] | None = None,
    across: int | None = None,
    title: str = "",
    cell: float = 0.3,
) -> Figure:
    """Draw the window of a correlation at one position a panel, and the output that it gives.

    On the left of a panel is the image with its padding, grey. The window is outlined; pixels
    that meet a kernel element are blue, with the element in their lower right corner. On the
    right is the output up to this position. A kernel of at most four elements has its sum above.

    Args:
      image: [H, W] numbers.
      kernel: [kH, kW] numbers.
      stride: as for `corr2d`, and so are the next four.
      dilation: distance between kernel elements.
      padding: what is added around the image.
      boundary: what the padding holds.
      fill_value: the constant of boundary "constant".
      positions: (row, column) of the outputs to show; None for all.
      across: panels in a row; None for the width of the output, or up to four of `positions`.
      title: above the figure.
      cell: side of a pixel in inches; kernel elements are left out below 0.27.

    Returns:
      A figure with a panel for each position.

    Raises:
      ValueError: as `corr2d`, or for a position outside the output.
    """
    image, kernel = np.asarray(image), np.asarray(kernel)
    if image.ndim != 2 or kernel.ndim != 2:
        raise ValueError(
            f"image, kernel: expected shapes (H, W) and (kH, kW), got {image.shape}, {kernel.shape}"
        )
    strides, dilations = positive_pair("stride", stride), positive_pair("dilation", dilation)
    extent = kernel_extent(kernel.shape, dilations)
    pads = resolve(padding, extent=extent)
    surround: dict[str, Any] = {"padding": pads, "boundary": boundary, "fill_value": fill_value}
    output = np.asarray(corr2d(image, kernel, stride=strides, dilation=dilations, **surround))
    padded = np.asarray(corr2d(image, [[1]], **surround))
    kinds = np.pad(np.full(image.shape, "image", object), pads, constant_values="padding")
    places = list(np.ndindex(output.shape))
    shown = places if positions is None else list(positions)
    if outside := [place for place in shown if place not in places]:
        raise ValueError(
            f"positions: expected (row, column) within the output {output.shape}, got {outside[0]}"
        )
    width = output.shape[1] if positions is None else min(4, len(shown))
    shape = (max(len(padded), len(output)), padded.shape[1] + 1 + output.shape[1])
    figure, grid = _panels([shape] * len(shown), across=across or width, cell=cell, title=title)
    size = _font_size([padded, output], cell)
    for axes, (i, j) in zip(grid, shown, strict=True):
        y, x = i * strides[0], j * strides[1]
        window = np.s_[y : y + extent[0] : dilations[0], x : x + extent[1] : dilations[1]]
        _draw_kinds(axes, padded, _with(kinds, window, "tap"), at=(0.0, 0.0), size=size)
        outline = {"fill": False, "edgecolor": _BLUE, "linewidth": 2, "zorder": 3}
        axes.add_patch(Rectangle((x, y), extent[1], extent[0], clip_on=False, **outline))
        if cell >= 0.27:
            _write_elements(axes, kernel, corner=(x, y), dilation=dilations, cell=cell)
        order = np.arange(output.size).reshape(output.shape)
        made = np.where(order < order[i, j], "image", "later").astype(object)
        right = (padded.shape[1] + 1.0, (len(padded) - len(output)) / 2)
        _draw_kinds(axes, output, _with(made, (i, j), "now"), at=right, size=size)
        if kernel.size <= 4:
            axes.set_title(_sum(padded[window], kernel, output[i, j]), fontsize=26 * cell, pad=3)
    return figure


def _panels(
    shapes: Sequence[Pair], *, across: int, cell: float, title: str
) -> tuple[Figure, list[Axes]]:
    """Return a figure with axes for arrays of these shapes, one unit a cell, row by row."""
    rows = [shapes[i : i + across] for i in range(0, len(shapes), across)]
    heights = [cell * max(height for height, _ in row) for row in rows]
    widths = [cell * max(row[i][1] for row in rows if i < len(row)) for i in range(len(rows[0]))]
    top = 0.35 if title else 0
    width, height = (sum(sides) + _GAP * len(sides) for sides in (widths, heights))
    figure = Figure(figsize=(width, height + top))
    figure.suptitle(title, y=1 - 0.1 / (height + top), va="top", fontsize=11)
    grid = []
    for index, shape in enumerate(shapes):
        row, column = divmod(index, across)
        x = sum(widths[:column]) + _GAP * (column + 0.5)
        y = top + sum(heights[:row]) + _GAP * (row + 0.85)
        size = (shape[1] * cell, shape[0] * cell)
        bottom = height + top - y - size[1]
        box = np.divide((x, bottom, *size), (width, height + top) * 2)
        axes = figure.add_axes(tuple(box), xlim=(0, shape[1]), ylim=(shape[0], 0))
        axes.set_axis_off()
        grid.append(axes)
    return figure, grid


def _font_size(matrices: Iterable[np.ndarray], cell: float) -> float:
    """Return the points with which the longest number fits a cell of so many inches."""
    longest = max(len(_number(value)) for matrix in matrices for value in matrix.ravel())
    return cell * min(26, 105 / longest)


def _grey_scale(images: Sequence[np.ndarray]) -> ScalarMappable:
    least, greatest = min(image.min() for image in images), max(image.max() for image in images)
    scale = ScalarMappable(cmap="gray")
    scale.set_clim(least if least < greatest else least - 1, greatest)
    return scale


def _signed_scale(matrices: Sequence[np.ndarray]) -> ScalarMappable:
    limit = max(np.abs(matrix).max() for matrix in matrices) or 1
    scale = ScalarMappable(cmap="RdBu_r")
    scale.set_clim(-1.4 * limit, 1.4 * limit)  # the darkest colours hide the numbers
    return scale


def _with(kinds: np.ndarray, where: tuple[Any, ...], kind: str) -> np.ndarray:
    kinds = kinds.copy()
    kinds[where] = kind
    return kinds


def _draw_kinds(
    axes: Axes, values: np.ndarray, kinds: np.ndarray, *, at: tuple[float, float], size: float
) -> None:
    faces, inks = ([colours[kind] for kind in kinds.ravel()] for colours in (_FACES, _INKS))
    _draw_cells(axes, values, faces, inks, at=at, size=size)


def _draw_cells(
    axes: Axes,
    values: np.ndarray,
    faces: Iterable[Any],
    inks: Iterable[str],
    *,
    at: tuple[float, float] = (0.0, 0.0),
    size: float,
) -> None:
    """Draw squares with their numbers, the first with its upper left corner at (x, y)."""
    corners = [(at[0] + column, at[1] + row) for row, column in np.ndindex(values.shape)]
    style: dict[str, Any] = {"edgecolor": "0.6", "linewidth": 0.7, "clip_on": False}
    squares = PatchCollection([Rectangle(corner, 1, 1) for corner in corners], **style)
    squares.set_facecolor(list(faces))
    axes.add_collection(squares)
    for (x, y), value, ink in zip(corners, values.ravel(), inks, strict=True):
        if ink != "none":
            place = {"ha": "center", "va": "center_baseline", "fontsize": size, "color": ink}
            axes.text(x + 0.5, y + 0.5, _number(value), **place)


def _write_elements(
    axes: Axes, kernel: np.ndarray, *, corner: Pair, dilation: Pair, cell: float
) -> None:
    """Write each kernel element into the lower right corner of its pixel."""
    for (a, b), element in np.ndenumerate(kernel):
        x, y = corner[0] + b * dilation[1] + 0.93, corner[1] + a * dilation[0] + 0.95
        place = {"ha": "right", "va": "bottom", "fontsize": 18 * cell, "color": _BLUE}
        axes.text(x, y, _number(element), **place)


def _sum(pixels: np.ndarray, kernel: np.ndarray, total: Any) -> str:
    pairs = zip(pixels.ravel(), kernel.ravel(), strict=True)
    terms = " + ".join(f"{_number(pixel)}·{_number(element)}" for pixel, element in pairs)
    return f"{terms} = {_number(total)}"


def _number(value: Any) -> str:
    value = float(value) + 0.0  # not -0
    return f"{value:g}" if value % 1 == 0 else f"{value:.3g}"
