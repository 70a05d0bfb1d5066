"""Figures of the edges of an image: by direction, their strength, which way they face."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure


class EdgeMaps(NamedTuple):
    """An image and the responses of edge kernels to it."""

    image: Float[np.ndarray, "H W"]
    responses: Mapping[str, Float[np.ndarray, "H W"]]  # by the direction's name
    gradient: Float[np.ndarray, "2 H W"]  # down, right


def edge_maps(rows: Mapping[str, EdgeMaps], *, title: str) -> Figure:
    """Draw images, the responses of directional kernels, and the gradient's length and direction.

    Responses are blue below 0 and red above, on one scale a row. The direction is the hue: red to
    the right, yellow-green down, cyan to the left, violet up; the brightness grows with the length.

    Args:
      rows: by name; all with responses of the same names.
      title: above the figure.

    Returns:
      A figure with a row for each image.
    """
    names = list(next(iter(rows.values())).responses)
    columns = ["image", *names, "length", "direction"]
    heights = [maps.image.shape[0] / maps.image.shape[1] for maps in rows.values()]
    size = (1.9 * len(columns) + 0.3, 1.9 * sum(heights) + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(rows), len(columns), squeeze=False, height_ratios=heights)
    for axes in grid.ravel():
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("0.8")
    for axes, column in zip(grid[0], columns, strict=True):
        axes.set_title(column, fontsize=10)
    for line, (name, maps) in zip(grid, rows.items(), strict=True):
        line[0].set_ylabel(name)
        limit = _limit(*maps.responses.values())
        line[0].imshow(maps.image, cmap="gray")
        for axes, response in zip(line[1:], maps.responses.values(), strict=False):
            axes.imshow(response, cmap="RdBu_r", vmin=-limit, vmax=limit)
        line[-2].imshow(np.hypot(*maps.gradient), cmap="gray_r", vmin=0, vmax=limit)
        line[-1].imshow(_hues(maps.gradient, limit))
    figure.suptitle(title)
    return figure


def _limit(*maps: Float[np.ndarray, "H W"]) -> float:
    """Return a value that few pixels exceed, so that a few do not fade the rest."""
    return float(np.percentile(np.abs(np.stack(maps)), 99.5)) or 1.0


def _hues(gradient: Float[np.ndarray, "2 H W"], limit: float) -> Float[np.ndarray, "H W 3"]:
    down, right = gradient
    hue = np.arctan2(down, right) / (2 * np.pi) % 1
    value = np.minimum(np.hypot(down, right) / limit, 1) ** 0.6  # so that weak edges show
    return hsv_to_rgb(np.stack([hue, np.full_like(hue, 0.85), value], axis=-1))
