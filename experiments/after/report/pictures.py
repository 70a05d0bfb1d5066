"""The figures that a run left, as a page can show them: inside it while there is room."""

import base64
import os
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from experiments.after.past_runs import PastRun
from experiments.running import run_folder

_ROOM = 1_700_000  # bytes of a page for figures and curves: with all else it stays below 2 MB
# The ink of a picture, which has a sheet of its own, as in style.css.
_INK = (
    "<style>text{fill:currentColor}svg{color:#1c1d1f}@media(prefers-color-scheme:dark){svg{color:#e4e2dd}}"
    "@media print{svg{color:#000}}</style>"
)
# The figures of LeNet5, in the order of a page, and what is to be seen there.
_CAPTIONS = {
    "curves": "Training loss and error on the evaluated images, a line for each seed.",
    "kernels": "Learned kernels of the first convolution: blue below 0, white 0, red above.",
    "feature_maps": "Feature maps of one image, each on its own grey scale.",
    "confusion": "Confusion matrix: how often each class (row) was taken for each (column).",
    "mistakes": "Worst mistakes: true class, predicted class, and the probability given to it.",
    "fields": "Receptive fields of the layers, as frames on an image.",
    "effective": "Effective receptive fields: how much each pixel matters.",
    "kernel": "The learned kernel beside its target.",
    "path": "The path of the kernel over the loss.",
    "loss": "The loss while the kernel was learned.",
}
_OF_LENET5 = ("kernels", "feature_maps", "confusion", "mistakes")


class Picture(NamedTuple):
    """A figure of a page."""

    caption: str
    link: str  # to the file, from the page
    source: str | None  # all of it as a data URI; None where it is only linked
    kind: str  # "svg" or "png"


def of_run(run: PastRun, *, page: Path, without: frozenset[str], taken: int = 0) -> list[Picture]:
    """Return the figures of a run.

    Args:
      run: read by `past_runs.read`.
      page: the file that will show them.
      without: names of those that the page shows otherwise.
      taken: bytes of what it shows in their place.
    """
    pictures, room = [], _ROOM - taken
    for name, path in _files(run.folder / run_folder.FIGURES):
        if name in without:
            continue
        source, kind = _source(path, room=room)
        room -= len(source or "")
        caption = _CAPTIONS.get(name, f"{name.replace('_', ' ').capitalize()}.")
        pictures.append(Picture(caption, link(path, page=page), source, kind))
    return pictures


def missing(run: PastRun) -> list[str]:
    """Return the names of the figures that a run of LeNet5 leaves and this one has not left."""
    if run.experiment != "lenet5" or "sweep" in run.config:
        return []
    present = {name for name, _ in _files(run.folder / run_folder.FIGURES)}
    return [name.replace("_", " ") for name in _OF_LENET5 if name not in present]


def link(path: Path, *, page: Path) -> str:
    """Return the address of a file for a page, relative, so that both may move together."""
    relative = os.path.relpath(path.resolve(), page.resolve().parent)
    return urllib.parse.quote(Path(relative).as_posix().encode("utf-8", "surrogateescape"))


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield names and PNG files, or SVG where that is all, those with a caption first."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    files = {path.stem: path for path in paths if path.suffix == ".svg" and path.is_file()}
    files |= {path.stem: path for path in paths if path.suffix == ".png" and path.is_file()}
    order = {name: index for index, name in enumerate(_CAPTIONS)}
    yield from sorted(files.items(), key=lambda item: (order.get(item[0], len(order)), item[0]))


def _source(path: Path, *, room: int) -> tuple[str | None, str]:
    """Return a picture as a data URI, the SVG of it if that can be had, and its kind.

    As an image and not as an element, so that no script runs that somebody put into a file.
    """
    for kind in ("svg", "png"):
        file = path.with_suffix(f".{kind}")
        try:
            if not file.is_file() or file.stat().st_size * 4 / 3 > room:
                continue
            content = file.read_bytes()
        except OSError:
            continue
        if not _is_whole(content, kind):
            continue
        if kind == "svg":
            content = re.sub(rb"(<svg\b[^>]*>)", rb"\1" + _INK.encode(), content, count=1)
        mime = "image/svg+xml" if kind == "svg" else "image/png"
        source = f"data:{mime};base64,{base64.b64encode(content).decode()}"
        if len(source) <= room:
            return source, kind
    return None, "png"


def _is_whole(content: bytes, kind: str) -> bool:
    """Tell whether a file was written to its end."""
    if kind == "svg":
        return content.rstrip().endswith(b"</svg>")
    return content.startswith(b"\x89PNG") and content.endswith(b"IEND\xae\x42\x60\x82")
