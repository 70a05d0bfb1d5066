"""The run folder: what was asked, on which machine, what came out."""

import contextlib
import datetime
import json
import math
import os
import platform
import shlex
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

    config.toml, environment.json, metrics.jsonl (a line an interval), figures/, and at the end
    result.json with the status "finished", "failed" or "interrupted".
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Make the folder; refuse one that holds a run.

        Raises:
          FolderError: if the folder holds a run already or cannot be written.
        """
        self.folder = folder
        self.results: dict[str, Any] = {}
        machine = environment()
        try:
            if folder.is_dir() and any(folder.iterdir()):
                holds = "a run" if (folder / "config.toml").exists() else "other files"
                raise FolderError(f"--out: {folder} already holds {holds}; choose another")
            self.figures.mkdir(parents=True, exist_ok=True)
            _write_json(folder / "environment.json", machine)
            with (folder / "config.toml").open("xb") as file:
                tomli_w.dump(dict(config), file)
        except OSError as error:
            raise FolderError(f"--out: {folder} cannot be written: {error.strerror}") from None

    @property
    def figures(self) -> Path:
        """The folder of the pictures."""
        return self.folder / "figures"

    def log(self, row: Mapping[str, Any]) -> None:
        """Append a line to metrics.jsonl."""
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(_without_nan(row), allow_nan=False) + "\n")

    def report(self, results: Mapping[str, Any]) -> None:
        """Add to what result.json is to say, whatever becomes of the run."""
        self.results.update(results)

    def save_figure(self, name: str, figure: Figure) -> None:
        """Write figures/NAME.png."""
        figure.savefig(self.figures / f"{name}.png", dpi=120)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Write result.json at the end, with the error if there was one."""
        try:
            yield
        except KeyboardInterrupt:
            self._finish("interrupted")
            raise
        except BaseException as error:
            self._finish("failed", error=f"{type(error).__name__}: {error}")
            raise
        self._finish("finished")

    def _finish(self, status: str, **more: str) -> None:
        _write_json(self.folder / "result.json", {"status": status, **more, **self.results})


def default_folder(config_path: Path) -> Path:
    """Return runs/CONFIG-DATE-TIME, with a number after it if that is taken."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    first = Path("runs") / f"{config_path.stem}-{stamp}"
    numbered = (first.with_name(f"{first.name}-{number}") for number in range(2, 1000))
    return next(path for path in (first, *numbered) if not path.exists())


def environment() -> dict[str, Any]:
    """Return what a number depends on: code, versions, machine, devices, flags."""
    devices = jax.devices()
    changes = _git("status", "--porcelain")
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "experiments", *sys.argv[1:]]),
        "commit": _git("rev-parse", "HEAD"),
        "dirty": None if changes is None else changes != "",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
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


def _version(package: str) -> str | None:
    """Return the installed version, None for a package that is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _without_nan(value: Any) -> Any:
    """Return the value with null for numbers that JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_json(path: Path, value: Any) -> None:
    """Write under another name and rename, so that no reader meets half a file."""
    partial = path.with_suffix(".partial")
    text = json.dumps(_without_nan(value), indent=2, allow_nan=False)
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)
