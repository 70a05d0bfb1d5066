"""Every kernel that `conv_jax.kernels` designs: analysed, drawn, a photograph filtered with it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from conv_jax import corr2d, data, plots
from conv_jax.kernels import Analysis, analyze
from experiments.filters.zoo import KERNELS, PAGES
from experiments.record import Record
from experiments.tables import KernelZooConfig

TITLES = {
    "differences": "Differences and edges",
    "gradients": "Classic gradients",
    "blurs": "Blurs",
    "gaussians": "Gaussians and their derivatives",
    "sharpening": "Sharpening",
    "oriented": "Oriented: waves within Gaussians",
    "field": "An image coded by six channels, after Field (1987)",
}
# One picture of everything; the README shows it.
OVERVIEW = (
    *("identity(3)", "gaussian(3)", "motion(15, angle=pi / 6)", "unsharp(2)"),
    *("sobel(axis=0)", "edge((1, 1))", "log(3)", "gabor(1 / 8, angle=pi / 4)"),
)
# Channels of field_1987_bank: wavelength in pixels, angle in degrees.
CHANNELS = tuple((wavelength, angle) for wavelength in (12, 6) for angle in (0, 60, 120))
EXPLANATION = (
    "order, direction (down, right), gain and accuracy are of the derivative, about the middle of\n"
    "the kernel; even is the same when turned by half a turn, odd of the other sign"
)
FACE = (218, 262)  # its middle in the portrait that is read unless told otherwise
WORDS = ("kernel", "direction", "blur", "symmetry")  # the columns that hold no numbers
COLUMNS = (
    *("kernel", "size", "sum", "norm", "order", "direction", "gain", "accuracy", "rank", "blur"),
    "symmetry",
)


class Task(NamedTuple):
    """A photograph, and the part of it that is drawn."""

    config: KernelZooConfig
    photograph: Float[np.ndarray, "H W"]
    corner: tuple[int, int]  # row and column of the part's first pixel


class Specimen(NamedTuple):
    """A kernel, what `analyze` says of it, and the part of the photograph filtered with it."""

    kernel: Float[np.ndarray, "kH kW"]
    analysis: Analysis
    filtered: Float[np.ndarray, "crop crop"]


def prepare(config: KernelZooConfig) -> Task:
    """Read the photograph and find the part to draw.

    Raises:
      ValueError: for a file that is no image, and a part that is not within it.
      FileNotFoundError: if there is no such file.
    """
    asked = config.data
    try:
        photograph = data.photograph(path=asked.image)
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(str(error).replace("path:", "data.image:", 1)) from None
    height, width = photograph.shape
    if asked.crop > min(height, width):
        raise ValueError(
            f"data.crop: expected at most the image, {height} x {width}, got {asked.crop}"
        )
    middle = asked.middle or (FACE if asked.image is None else (height // 2, width // 2))
    if middle[0] >= height or middle[1] >= width:
        raise ValueError(
            f"data.middle: expected a pixel of the image, {height} x {width}, got {middle}"
        )
    # A part that would reach over a border is moved inside.
    top, left = (
        min(max(m - asked.crop // 2, 0), size - asked.crop)
        for m, size in zip(middle, photograph.shape, strict=True)
    )
    return Task(config, photograph, (top, left))


def run(task: Task, record: Record, console: Console) -> None:
    """Analyse every kernel and filter with it, print and report the tables, draw the pages."""
    designed = {name: np.asarray(design()) for name, design in KERNELS.items()}
    crop, (top, left) = task.config.data.crop, task.corner
    height, width = task.photograph.shape
    console.print(
        f"{len(designed)} kernels on a photograph of {height} x {width} pixels; drawn are "
        f"{crop} x {crop} from row {top} and column {left} on\n{EXPLANATION}"
    )
    results = filter_part(task.photograph, list(designed.values()), corner=task.corner, crop=crop)
    zoo = {
        name: Specimen(kernel, analyze(kernel, num_frequencies=65), filtered)
        for (name, kernel), filtered in zip(designed.items(), results, strict=True)
    }
    for page, designs in PAGES.items():
        console.print(_table({name: zoo[name] for name in designs}, title=TITLES[page]), end="")
    numbers = {
        name: {"page": page, **_numbers(zoo[name])}
        for page, designs in PAGES.items()
        for name in designs
    }
    record.report({"experiment": task.config.experiment, "kernels": numbers})
    for name, figure in _figures(task, zoo):
        record.save_figure(name, figure, palette=plots.kernel_palette())


def filter_part(
    photograph: Float[np.ndarray, "H W"],
    designed: Sequence[Float[np.ndarray, "_ _"]],
    *,
    corner: tuple[int, int],
    crop: int,
) -> Float[np.ndarray, "K crop crop"]:
    """Correlate a part of a photograph with kernels, with padding "same" and mirrored borders.

    All in one program: the kernels are brought to one size by zeros, and the part comes with as
    many of the pixels around it as they reach.

    Args:
      photograph: in grey.
      designed: K kernels of any sizes.
      corner: row and column of the part's first pixel.
      crop: its height and width.

    Returns:
      [K, crop, crop].
    """
    reach = max(max(kernel.shape) for kernel in designed) // 2
    mirrored = np.pad(photograph, reach, mode="symmetric")
    seen = mirrored[tuple(slice(start, start + crop + 2 * reach) for start in corner)]
    same_size = np.stack(
        [np.pad(k, [(reach - (n - 1) // 2, reach - n // 2) for n in k.shape]) for k in designed]
    )
    return np.asarray(jax.jit(jax.vmap(corr2d, in_axes=(None, 0)))(seen, same_size))


def _figures(task: Task, zoo: Mapping[str, Specimen]) -> Iterator[tuple[str, Figure]]:
    """Yield every figure with its name."""
    pictures = {
        name: plots.KernelPicture(
            name, specimen.kernel, abs(specimen.analysis.frequency_response), specimen.filtered
        )
        for name, specimen in zoo.items()
    }
    title = "What kernels make of a photograph"
    yield "overview", plots.kernel_overview([pictures[name] for name in OVERVIEW], title=title)
    for page, designs in PAGES.items():
        if page != "field":
            yield page, plots.kernel_page([pictures[n] for n in designs], title=TITLES[page])
    crop, (top, left) = task.config.data.crop, task.corner
    sensors = [zoo[name] for name in PAGES["field"]]
    yield (
        "field",
        plots.sensor_bank(
            np.stack([sensor.kernel for sensor in sensors]),
            task.photograph[top : top + crop, left : left + crop],
            np.stack([sensor.filtered for sensor in sensors]),
            names=[f"a wave of {length} pixels, towards {angle}°" for length, angle in CHANNELS],
            spacings=[length for length, _ in CHANNELS],
            title=TITLES["field"],
        ),
    )


def _numbers(specimen: Specimen) -> dict[str, Any]:
    """Return what result.json keeps of an analysis."""
    kept = specimen.analysis._asdict()
    del kept["moments"], kept["frequency_response"]
    return {"size": specimen.kernel.shape, **kept}


def _table(zoo: Mapping[str, Specimen], *, title: str) -> str:
    """Return a table of kernels, of the same width whether a terminal or a file reads it."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading in COLUMNS:
        table.add_column(heading, justify="left" if heading in WORDS else "right")
    for name, specimen in zoo.items():
        table.add_row(name, *_cells(specimen))
    wide = Console(width=160, markup=False, highlight=False)
    with wide.capture() as written:
        wide.print(table)
    return "".join(f"{line.rstrip()}\n" for line in written.get().splitlines())


def _cells(specimen: Specimen) -> list[str]:
    found = specimen.analysis
    direction = "" if found.direction is None else ", ".join(map(_short, found.direction))
    return [
        " x ".join(map(str, specimen.kernel.shape)),
        _short(found.sum),
        _short(found.norm),
        str(found.derivative_order),
        direction and f"({direction})",
        _short(found.gain),
        _short(found.accuracy),
        str(found.rank),
        "yes" if found.is_blur else "no",
        "even" if found.is_symmetric else "odd" if found.is_antisymmetric else "neither",
    ]


def _short(value: float) -> str:
    return f"{round(value, 6) + 0.0:.3g}"
