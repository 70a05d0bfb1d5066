"""The record of a run: what was asked, on which machine, what came out."""

import contextlib
import datetime
import os
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from PIL import Image

from conv_jax import devices
from conv_jax.manifest import sync
from experiments.running import run_folder, sinks
from experiments.running.run_folder import FinishedError, Row
from experiments.running.run_folder import FolderError as FolderError
from experiments.running.vector_figures import svg

_LARGE = 400_000  # bytes: a PNG of such a picture is smaller


class Record:
    """One run's folder, written as the run goes.

    config.toml, environment.json, metrics.jsonl (a line an interval), weights/, figures/, and at
    the end result.json with the status "finished", "failed" or "interrupted". One run at a time.
    """

    writes = True

    def __init__(self, folder: Path, config: Mapping[str, Any], *, resume: bool = False) -> None:
        """Begin a run in an empty folder, or go on with the one that the folder holds.

        Args:
          folder: made if it is not there.
          config: what was asked.
          resume: go on; the run there must be of the same config, and not finished.

        Raises:
          FolderError: if the folder cannot be used for that; a `FinishedError` if all is done.
        """
        self.folder = folder
        self.config = dict(config)
        self.results: dict[str, Any] = {}
        self._feed: sinks.Feed | None = None
        lock = run_folder.reopen(folder, config) if resume else run_folder.begin(folder, config)
        self._unlock = weakref.finalize(self, os.close, lock)
        self._begun = time.monotonic()

    @property
    def figures(self) -> Path:
        """The folder of the pictures."""
        return self.folder / run_folder.FIGURES

    @property
    def metrics(self) -> Path:
        """The file of the rows."""
        return self.folder / run_folder.METRICS

    def log(self, *rows: Mapping[str, Any]) -> None:
        """Append lines to metrics.jsonl, and show them where the config asks for that."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.writelines(map(run_folder.line_of, rows))
        if self._feed:
            self._feed.log([dict(row) for row in rows])

    def rows(self) -> list[Row]:
        """Return what was logged, by earlier sessions of a resumed run too.

        Of several processes all must ask.
        """
        return devices.agree(run_folder.read_rows(self.folder))

    def sync(self) -> None:
        """Wait until all that was logged is on the disk."""
        if self.metrics.exists():
            sync(self.metrics)

    def drop(self, unwanted: Callable[[Row], bool]) -> None:
        """Take out of metrics.jsonl what the run is going to do again."""
        run_folder.drop_rows(self.folder, unwanted)

    def report(self, results: Mapping[str, Any]) -> None:
        """Add to what result.json is to say, whatever becomes of the run."""
        self.results.update(results)

    def save_text(self, name: str, text: str) -> None:
        """Write a file of the run's folder."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def save_bytes(self, name: str, content: bytes) -> None:
        """Write a file of the run's folder, or of a folder in it, all of it or nothing."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        run_folder.write(path, content)

    def save_figure(
        self, name: str, figure: Figure, *, palette: UInt8[np.ndarray, "256 3"] | None = None
    ) -> None:
        """Write figures/NAME.png, and NAME.svg unless it is large.

        Args:
          name: of the files.
          figure: drawn, and its layout fixed.
          palette: colours that make a picture of photographs smaller; there is no SVG of these.
        """
        path = self.figures / f"{name}.png"
        figure.savefig(path, dpi=120)
        if palette is None:
            figure.set_layout_engine("none")  # as it is: a third of the time
            drawing = svg(figure, name=name)
            if len(drawing) < _LARGE:
                path.with_suffix(".svg").write_text(drawing, encoding="utf-8")
            return
        with Image.open(path) as image:
            reduced = _in_palette(image, palette)
        reduced.save(path, optimize=True)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Write result.json at the end, with the error if there was one; unlock the folder."""
        try:
            self._feed = sinks.Feed(self.config.get("log", {}), self.folder, self.config)
            self._feed.log(run_folder.read_rows(self.folder), earlier=True)
            yield
        except KeyboardInterrupt:
            with contextlib.suppress(OSError):  # a full disk keeps nobody here
                self._finish("interrupted")
            raise
        except BaseException as error:
            with contextlib.suppress(OSError):  # of which this error tells already
                self._finish("failed", error=f"{type(error).__name__}: {error}")
            raise
        else:
            self._finish("finished")
        finally:
            self._unlock()

    def _finish(self, status: str, **more: str) -> None:
        wall_seconds = time.monotonic() - self._begun  # of this session, figures included
        result = {"status": status, **more, **self.results, "wall_seconds": wall_seconds}
        run_folder.write_json(self.folder / run_folder.RESULT, result)
        if self._feed:
            self._feed.finish(self.results, succeeded=status == "finished")


class Follower(Record):
    """What the other processes of a run have of its record: they write nothing."""

    writes = False

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Name the folder, which all processes share, and the config."""
        self.folder, self.config, self.results = folder, dict(config), {}

    def log(self, *rows: Mapping[str, Any]) -> None:
        """Do nothing."""

    def rows(self) -> list[Row]:
        """Return what was logged; all processes must ask."""
        return devices.agree(None)

    def sync(self) -> None:
        """Do nothing."""

    def drop(self, unwanted: Callable[[Row], bool]) -> None:
        """Do nothing."""

    def save_text(self, name: str, text: str) -> None:
        """Do nothing."""

    def save_bytes(self, name: str, content: bytes) -> None:
        """Do nothing."""

    def save_figure(
        self, name: str, figure: Figure, *, palette: UInt8[np.ndarray, "256 3"] | None = None
    ) -> None:
        """Do nothing."""

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Do nothing."""
        yield


def open_record(folder: Path, config: Mapping[str, Any], *, resume: bool = False) -> Record:
    """Open the record of a run in its first process, and a `Follower` of it in the others.

    Args:
      folder: of the run.
      config: what was asked.
      resume: go on with the run in the folder.

    Raises:
      FolderError: in all processes, as `Record` does in the first; if they were asked for different
        things; if the folder is not the same for all.
    """
    if jax.process_count() == 1:
        return Record(folder, config, resume=resume)
    _refuse_differences(config)
    record, error = Follower(folder, config), None
    if jax.process_index() == 0:
        try:
            record = Record(folder, config, resume=resume)
        except FolderError as caught:
            error = caught
    refused = devices.agree(error and [isinstance(error, FinishedError), str(error)])
    if refused is not None:
        is_finished, message = refused
        raise error or (FinishedError if is_finished else FolderError)(message)
    path = folder / run_folder.ENVIRONMENT  # holds the time, so no other run has the same
    if not devices.is_same(path.read_text(encoding="utf-8") if path.is_file() else ""):
        raise FolderError(f"--out: expected a folder that all processes share, got {folder}")
    return record


def _refuse_differences(config: Mapping[str, Any]) -> None:
    differing = run_folder.differences(devices.agree(dict(config)), config)
    if devices.largest(int(bool(differing))):
        here = differing or "another process differs"
        raise FolderError(f"expected the config of process 0 in all, but {here}")


def _in_palette(image: Image.Image, palette: UInt8[np.ndarray, "256 3"]) -> Image.Image:
    """Give every pixel the nearest colour; Pillow's own search takes white for a light grey."""
    cube = (256, 256, 256)
    pixels = np.ravel_multi_index(tuple(np.moveaxis(np.asarray(image.convert("RGB")), -1, 0)), cube)
    nearest = np.zeros(256**3, np.uint8)
    nearest[pixels] = 1
    present = np.flatnonzero(nearest)
    colours = np.stack(np.unravel_index(present, cube), axis=-1).astype(np.float32)
    offered = palette.astype(np.float32)
    distances = (offered**2).sum(axis=1)[None] - 2 * colours @ offered.T  # but for |colour|^2
    nearest[present] = distances.argmin(axis=1)
    reduced = Image.fromarray(nearest[pixels])
    reduced.putpalette(palette.tobytes())
    return reduced


def default_folder(config_path: Path) -> Path:
    """Return runs/CONFIG-DATE-TIME, to the millisecond, with a number after it if it is taken."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")[:-3]
    first = Path("runs") / f"{config_path.stem}-{stamp}"
    numbered = (first.with_name(f"{first.name}-{number}") for number in range(2, 1000))
    return next(path for path in (first, *numbered) if not path.exists())
