"""The run folder: beginning a run in it, going on with one, and keeping others out."""

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

import tomli_w

from conv_jax.manifest import sync
from experiments import config as configs
from experiments.running.environment import environment

try:
    import fcntl
except ImportError:  # Windows: nothing keeps a second run out there
    fcntl = None

Row = dict[str, Any]

CONFIG, ENVIRONMENT, METRICS, RESULT = (
    "config.toml",
    "environment.json",
    "metrics.jsonl",
    "result.json",
)
LOCK, FIGURES = "lock", "figures"
PROFILE = "profile"  # the experiment of a folder that `profile` wrote, which has no config
_TRIES = 10  # to lock a folder, in about a second
# What may be there of a run that was killed before it had its config.
_BEGUN = {LOCK, FIGURES, ENVIRONMENT, "environment.partial", "config.partial"}


class FolderError(ValueError):
    """A run folder that cannot be used."""


class FinishedError(FolderError):
    """A run that is done, and need not be repeated."""


def begin(folder: Path, config: Mapping[str, Any]) -> int:
    """Make the folder of a new run.

    Args:
      folder: empty, or not there.
      config: what was asked.

    Returns:
      The lock, a file descriptor: while it is open no other run uses the folder.

    Raises:
      FolderError: if the folder holds anything or cannot be written.
    """
    machine = environment()
    try:
        _refuse_used(folder)
        (folder / FIGURES).mkdir(parents=True, exist_ok=True)
        descriptor = _lock(folder)
        with _unlocked_by_errors(descriptor):
            _refuse_used(folder)  # for another run may have come and gone
            write_json(folder / ENVIRONMENT, machine)
            write(folder / CONFIG, tomli_w.dumps(dict(config)).encode())  # last: now it holds a run
    except OSError as error:
        raise FolderError(f"--out: {folder} cannot be written: {error.strerror}") from None
    return descriptor


def reopen(folder: Path, config: Mapping[str, Any]) -> int:
    """Go on with the run that a folder holds.

    Args:
      folder: of a run that did not finish.
      config: what is asked now, the same as then.

    Returns:
      The lock, as of `begin`.

    Raises:
      FinishedError: if the run is done.
      FolderError: if there is no run, one of another config, one that is running, or the folder
        cannot be written.
    """
    if not holds_run(folder):
        raise FolderError(f"{folder} holds no run")
    held = configs.dump(configs.load(folder / CONFIG))
    if differing := differences(held, config):
        raise FolderError(f"{folder} holds a run of another config: {differing}")
    try:
        descriptor = _lock(folder)
        with _unlocked_by_errors(descriptor):
            if _status(folder) == "finished":
                done = f"this run is finished; its results: {folder / RESULT}"
                raise FinishedError(f"{folder}: {done}")
            first = json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8"))
            first.setdefault("resumed", []).append(environment())
            write_json(folder / ENVIRONMENT, first)
            _cut_torn_line(folder / METRICS)
    except OSError as error:
        raise FolderError(f"{folder} cannot be written: {error.strerror}") from None
    return descriptor


@contextlib.contextmanager
def _unlocked_by_errors(descriptor: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        os.close(descriptor)
        raise


def holds_run(folder: Path) -> bool:
    """Tell whether a run was begun in a folder."""
    return (folder / CONFIG).is_file()


def differences(held: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """Name the keys in which two configs differ, with both values; "" where they are equal.

    Which devices share a run and where its rows are shown is no difference: it may go on on others.
    """
    there, here = ({**flatten(config), "devices": None} for config in (held, asked))
    return "; ".join(
        f"{key} is {_shown(there.get(key))} there and {_shown(here.get(key))} here"
        for key in sorted({*there, *here})
        if there.get(key) != here.get(key) and not key.startswith("log.")
    )


def read_rows(folder: Path) -> list[Row]:
    """Return the rows of metrics.jsonl.

    Raises:
      FolderError: if a line is not JSON.
    """
    path, rows = folder / METRICS, []
    lines = path.read_bytes().splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except ValueError:
            raise FolderError(f"{path}: line {number} is not JSON") from None
    return rows


def network_of(row: Mapping[str, Any]) -> str:
    """Return what tells the network of a row from others: its seed and its settings, if any."""
    words = [f"seed {row['seed']}"] if "seed" in row else []
    setting = row.get("setting")
    if isinstance(setting, dict):
        words += [f"{key} {value}" for key, value in setting.items()]
    return ", ".join(words)


def is_number(value: Any) -> TypeGuard[float]:
    """Tell whether a value of a row is a number that float can hold."""
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and abs(value) <= sys.float_info.max


def drop_rows(folder: Path, unwanted: Callable[[Row], bool]) -> None:
    """Take rows out of metrics.jsonl, all at once: whoever reads it sees all or none gone."""
    rows = read_rows(folder)
    kept = [row for row in rows if not unwanted(row)]
    if len(kept) < len(rows):
        write(folder / METRICS, "".join(line_of(row) for row in kept).encode())


def line_of(row: Mapping[str, Any]) -> str:
    """Return a row as a line of JSON, which gives every finite number back as it was."""
    return json.dumps(_without_nan(row), allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write a file of JSON, all of it or nothing."""
    write(path, (json.dumps(_without_nan(value), indent=2, allow_nan=False) + "\n").encode())


def write(path: Path, content: bytes) -> None:
    """Write under another name and rename, so that no reader meets half a file."""
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    sync(partial)
    partial.replace(path)
    sync(path.parent)


def _refuse_used(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if names - _BEGUN:
        holds = "a run" if CONFIG in names else "other files"
        raise FolderError(f"--out: {folder} already holds {holds}; choose another")


def _lock(folder: Path) -> int:
    """Lock the folder until the descriptor is closed, or the process ends in whatever way."""
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _flock(descriptor)
    except BlockingIOError:
        pid = os.pread(descriptor, 20, 0).decode().strip()
        os.close(descriptor)
        raise FolderError(f"{folder} is in use by process {pid or 'unknown'}") from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def _flock(descriptor: int) -> None:
    """Lock a file; who looks at a run holds its lock for a moment, which is waited for."""
    for tries_left in reversed(range(_TRIES)):
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not tries_left:
                raise
            time.sleep(0.1)


def _status(folder: Path) -> str | None:
    path = folder / RESULT
    return json.loads(path.read_text(encoding="utf-8"))["status"] if path.exists() else None


def _cut_torn_line(path: Path) -> None:
    """Cut off what follows the last whole line."""
    if path.exists():
        whole = path.read_bytes().rpartition(b"\n")
        os.truncate(path, len(whole[0]) + len(whole[1]))


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of a table and those within it, by their dotted keys."""
    flat = {}
    for key, value in table.items():
        inner = flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else None
        flat |= {f"{prefix}{key}": value} if inner is None else inner
    return flat


def _shown(value: Any) -> str:
    return "none" if value is None else json.dumps(value)


def _without_nan(value: Any) -> Any:
    """Return the value with null for numbers that JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
