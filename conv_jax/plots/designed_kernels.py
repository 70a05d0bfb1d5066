"""Figures of designed kernels: their taps, their frequency responses, a photograph filtered."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from conv_jax.plots.benchmarks import three_digits

_GREY, _SIGNED, _POSITIVE = "gray", "RdBu_r", "viridis"  # signed: red above 0, blue below
_TITLE = {"fontsize": 13, "weight": "bold"}
_CODE = {"fontsize": 8, "family": "monospace"}
_SMALL = {"fontsize": 6.2, "color": "0.35"}


class KernelPicture(NamedTuple):
    """A kernel, and what it does."""

    name: str
    kernel: Float[np.ndarray, "kH kW"]
    response: Float[np.ndarray, "F F"]  # its magnitude; frequency 0 in the middle, F odd
    filtered: Float[np.ndarray, "H W"]  # a photograph of values in [0, 1], correlated with it


def kernel_page(pictures: Sequence[KernelPicture], *, title: str, columns: int = 3) -> Figure:
    """Draw kernels, their frequency responses and a photograph filtered with each.

    Args:
      pictures: what to draw, row by row; `draw_kernel`, `draw_response` and `draw_filtered` say
        in which colours.
      title: above the figure.
      columns: number of kernels side by side.

    Returns:
      A figure with three pairs of axes for each kernel: taps, response, photograph.
    """
    rows, width, height = -(-len(pictures) // columns), 3.95, 3.0
    page = _Page(columns * width + 0.1, rows * height + 0.7)
    page.write(0.2, 0.35, title, **_TITLE)
    legend = (
        "left: the kernel, red above 0 and blue below; by how much it multiplies each wave, from "
        "-1/2 to 1/2 cycles per pixel right and down     right: the photograph, filtered"
    )
    page.write(0.2, 0.57, legend, fontsize=8, color="0.35")
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        _draw_picture(page, picture, left=column * width + 0.2, top=row * height + 1.0)
    return page.figure


def kernel_overview(pictures: Sequence[KernelPicture], *, title: str, columns: int = 4) -> Figure:
    """Draw a photograph filtered with each kernel, and the kernel in its corner.

    Args:
      pictures: what to draw, row by row, in the colours of `draw_kernel` and `draw_filtered`.
      title: above the figure.
      columns: number of photographs side by side.

    Returns:
      A figure with two pairs of axes for each kernel: photograph, taps.
    """
    rows, side = -(-len(pictures) // columns), 1.6
    page = _Page(columns * (side + 0.1) + 0.1, rows * (side + 0.3) + 0.4)
    page.write(0.1, 0.28, title, **_TITLE | {"fontsize": 11})
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        left, top = column * (side + 0.1) + 0.1, row * (side + 0.3) + 0.6
        page.write(left, top - 0.05, picture.name, **_CODE | {"fontsize": 7})
        draw_filtered(page.add(left, top, side), picture.filtered, kernel=picture.kernel)
        draw_kernel(page.add(left, top + side - 0.5, 0.5), picture.kernel, with_numbers=False)
    return page.figure


def sensor_bank(
    sensors: Float[np.ndarray, "channels k k"],
    image: Float[np.ndarray, "H W"],
    responses: Float[np.ndarray, "channels H W"],
    *,
    names: Sequence[str],
    spacings: Sequence[int | float],
    title: str,
) -> Figure:
    """Draw an image coded by sensors: sensors left, the image, what each channel sees right.

    After the figure of Field, Relations between the statistics of natural images and the response
    properties of cortical cells (1987), which the chapter reprints.

    Args:
      sensors: one kernel for each channel.
      image: values in [0, 1].
      responses: the image correlated with each sensor.
      names: of the channels.
      spacings: pixels between two samples of each channel, drawn as dots.
      title: above the figure.

    Returns:
      A figure with three rows of channels, column by column; each sensor in colours on its own
      scale, all responses on one.
    """
    columns, side, small, middle = -(-len(sensors) // 3), 2.0, 1.2, 3.2
    image_left = columns * (small + 0.1) + 0.5
    right = image_left + middle + 0.4
    page = _Page(right + columns * (side + 0.15) + 0.05, 3 * (side + 0.3) + 0.8)
    limit = _robust_limit(responses)
    for index, (name, spacing) in enumerate(zip(names, spacings, strict=True)):
        column, row = divmod(index, 3)
        left, top = right + column * (side + 0.15), row * (side + 0.3) + 1.0
        axes = page.add(column * (small + 0.1) + 0.2, top + (side - small) / 2, small)
        draw_kernel(axes, sensors[index])
        page.write(left, top - 0.05, name, fontsize=8)
        axes = page.add(left, top, side)
        _draw_signed(axes, responses[index], limit=limit)
        _add_samples(axes, responses[index].shape, spacing)
    axes = page.add(image_left, 0.85 + (3 * (side + 0.3) - middle) / 2, middle)
    axes.imshow(image, cmap=_GREY, vmin=0, vmax=1)
    _frame(axes)
    headings = {0.2: "sensors", image_left: "image", right: "filtered, and where it is sampled"}
    for left, heading in headings.items():
        page.write(left, 0.68, heading, fontsize=10, color="0.35")
    page.write(0.2, 0.35, title, **_TITLE)
    return page.figure


def kernel_palette() -> UInt8[np.ndarray, "256 3"]:
    """Return 256 colours that these figures do with, so that their files are small.

    Returns:
      Red, green and blue: 96 from the greys, 80 from each of the other two scales.
    """
    sizes = {_GREY: 96, _SIGNED: 80, _POSITIVE: 80}
    scales = [colormaps[name](np.linspace(0, 1, size))[:, :3] for name, size in sizes.items()]
    return np.rint(255 * np.concatenate(scales)).astype(np.uint8)


def draw_kernel(
    axes: Axes, kernel: Float[np.ndarray, "kH kW"], *, with_numbers: bool = True
) -> AxesImage:
    """Draw the taps of a kernel as cells: red above 0, blue below, white 0.

    Args:
      axes: where to.
      kernel: the taps.
      with_numbers: write them into the cells of kernels of at most 3 x 5 or 5 x 3.

    Returns:
      The image, for a colour bar.
    """
    limit = float(abs(kernel).max()) or 1.0
    image = _draw_signed(axes, kernel, limit=limit)
    rows, columns = kernel.shape
    if max(rows, columns) <= 15:
        lines = {"color": "0.8", "linewidth": 0.4}
        axes.hlines(np.arange(0.5, rows - 1), -0.5, columns - 0.5, **lines)
        axes.vlines(np.arange(0.5, columns - 1), -0.5, rows - 0.5, **lines)
    if with_numbers and max(rows, columns) <= 5 and min(rows, columns) <= 3:
        size = 6.5 if max(rows, columns) <= 3 else 5
        for (row, column), value in np.ndenumerate(kernel):
            colour = "white" if abs(value) > 0.6 * limit else "0.1"
            options = {"ha": "center", "va": "center", "color": colour, "fontsize": size}
            axes.text(column, row, f"{value:.2g}", **options)
    return image


def draw_response(axes: Axes, response: Float[np.ndarray, "F F"]) -> AxesImage:
    """Draw the magnitude of a frequency response, dark where it is 0.

    Args:
      axes: where to.
      response: frequency 0 in the middle, F odd.

    Returns:
      The image, for a colour bar.
    """
    highest = float(response.max()) or 1.0
    extent = (-0.5, 0.5, 0.5, -0.5)
    image = axes.imshow(response, cmap=_POSITIVE, vmin=0, vmax=highest, extent=extent)
    axes.axhline(0, color="white", alpha=0.5, linewidth=0.4)
    axes.axvline(0, color="white", alpha=0.5, linewidth=0.4)
    _frame(axes)
    return image


def draw_filtered(
    axes: Axes, filtered: Float[np.ndarray, "H W"], *, kernel: Float[np.ndarray, "kH kW"]
) -> AxesImage:
    """Draw a filtered photograph: in grey if the kernel keeps the brightness, else in colours.

    Args:
      axes: where to.
      filtered: a photograph of values in [0, 1], correlated with the kernel.
      kernel: that kernel. Taps that sum to 1 keep the brightness, and the greys go from 0 to 1;
        else the colours are symmetric about 0 and hold all but 0.5 % of the values.

    Returns:
      The image, for a colour bar; its limits are those of the scale.
    """
    if abs(float(kernel.sum()) - 1) > 1e-3:
        return _draw_signed(axes, filtered, limit=_robust_limit(filtered))
    image = axes.imshow(filtered, cmap=_GREY, vmin=0, vmax=1)
    _frame(axes)
    return image


class _Page:
    """A figure whose parts are placed in inches from the top left; no layout to wait for."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height))

    def add(self, left: float, top: float, side: float) -> Axes:
        """Return square axes."""
        bottom = self.height - top - side
        place = (left / self.width, bottom / self.height, side / self.width, side / self.height)
        return self.figure.add_axes(place)

    def write(self, left: float, baseline: float, words: str, **style: Any) -> None:
        """Write a line."""
        self.figure.text(left / self.width, 1 - baseline / self.height, words, **style)


def _draw_picture(page: _Page, picture: KernelPicture, *, left: float, top: float) -> None:
    kernel, side, small = picture.kernel, 2.4, 1.11
    below, right = top + side - small, left + small + 0.12
    page.write(left, top - 0.07, picture.name, **_CODE)
    draw_kernel(page.add(left, top, small), kernel)
    draw_response(page.add(left, below, small), picture.response)
    image = draw_filtered(page.add(right, top, side), picture.filtered, kernel=kernel)
    low, high = (three_digits(limit) for limit in image.get_clim())
    size, largest = " x ".join(map(str, kernel.shape)), three_digits(float(abs(kernel).max()))
    page.write(left, below - 0.07, f"{size}, up to {largest}", **_SMALL)
    gain = three_digits(float(picture.response.max()))
    page.write(left, top + side + 0.11, f"0 (dark) to {gain}", **_SMALL)
    page.write(right, top + side + 0.11, f"{low} to {high}", **_SMALL)


def _draw_signed(axes: Axes, values: Float[np.ndarray, "H W"], *, limit: float) -> AxesImage:
    _frame(axes)
    return axes.imshow(values, cmap=_SIGNED, vmin=-limit, vmax=limit)


def _robust_limit(values: Float[np.ndarray, "*axes"]) -> float:
    return float(np.percentile(abs(values), 99.5)) or 1.0


def _add_samples(axes: Axes, shape: tuple[int, ...], spacing: int | float) -> None:
    """Put dots on a grid about the centre."""
    places = []
    for size in shape:
        count = int((size - 1) // spacing)
        places.append((size - 1 - count * spacing) / 2 + spacing * np.arange(count + 1))
    rows, columns = np.meshgrid(*places, indexing="ij")
    size = 0.18 * spacing**0.9
    axes.plot(columns.ravel(), rows.ravel(), ".", color="0.1", markersize=size)


def _frame(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(linewidth=0.5, color="0.4")
