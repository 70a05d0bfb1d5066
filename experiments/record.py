"""The run folder: what was asked, on which machine, what came out."""

import contextlib
import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import tomli_w
from matplotlib.figure import Figure

_PACKAGES = ("conv_jax", "jax", "jaxlib", "flax", "optax", "chex", "numpy")


class FolderError(ValueError):
    """A run folder that cannot be used."""


class Record:
    """One run's folder, written as the run goes.

    config.toml, environment.json, metrics.jsonl (a line an interval), result.json (last, with
    the status "finished" or "failed"), figures/.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Make the folder; refuse one that holds a run.

        Raises:
          FolderError: if the folder holds a run already or cannot be written.
        """
        self.folder = folder
        try:
            self.figures.mkdir(parents=True, exist_ok=True)
            with (folder / "config.toml").open("xb") as file:
                tomli_w.dump(dict(config), file)
            _write_json(folder / "environment.json", environment())
        except FileExistsError:
            raise FolderError(f"--out: {folder} already holds a run; choose another") from None
        except OSError as error:
            raise FolderError(f"--out: {folder} cannot be written: {error.strerror}") from None

    @property
    def figures(self) -> Path:
        """The folder of the pictures."""
        return self.folder / "figures"

    def log(self, row: Mapping[str, Any]) -> None:
        """Append a line to metrics.jsonl."""
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")

    def save_figure(self, name: str, figure: Figure) -> None:
        """Write figures/NAME.png."""
        figure.savefig(self.figures / f"{name}.png", dpi=120)

    @contextlib.contextmanager
    def result(self) -> Iterator[dict[str, Any]]:
        """Give a dict to fill; write it as result.json, with the error if there was one."""
        values: dict[str, Any] = {}
        try:
            yield values
        except BaseException as error:
            name = type(error).__name__
            failure = {"status": "failed", "error": f"{name}: {error}", **values}
            _write_json(self.folder / "result.json", failure)
            raise
        _write_json(self.folder / "result.json", {"status": "finished", **values})


def default_folder(config_path: Path) -> Path:
    """Return runs/CONFIG-DATE-TIME, with a number after it if that is taken."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    first = Path("runs") / f"{config_path.stem}-{stamp}"
    numbered = (first.with_name(f"{first.name}-{number}") for number in range(2, 1000))
    return next(path for path in (first, *numbered) if not path.exists())


def environment() -> dict[str, Any]:
    """Return what a number depends on: code, versions, machine, devices, flags."""
    devices = jax.devices()
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain")),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "backend": jax.default_backend(),
        "devices": [device.device_kind for device in devices],
        "flags": {k: v for k, v in sorted(os.environ.items()) if k.startswith(("JAX_", "XLA_"))},
    }


def _git(*arguments: str) -> str | None:
    """Return what git says of the code's own repository, None where there is none."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _write_json(path: Path, value: Any) -> None:
    """Write under another name and rename, so that no reader meets half a file."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
