"""Runs read back from their folders: finished, running, failed or damaged ones."""

import collections
import contextlib
import datetime
import json
import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import conv_jax
from experiments import config as configs
from experiments.running import run_folder
from experiments.running.run_folder import Row
from experiments.statistics import Summary, summarize

Table = dict[str, Any]


class PastRun(NamedTuple):
    """What a run folder says; what cannot be read is empty, and named in `damage`."""

    folder: Path
    state: str  # "running", "finished", "failed", "interrupted", "stopped" or "damaged"
    config: Table
    environment: Table
    rows: list[Row]
    result: Table
    damage: tuple[str, ...]  # a line for each file that is missing or cannot be read

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.folder.resolve().name

    @property
    def experiment(self) -> str:
        """The kind of the run, "?" where its config cannot be read."""
        return str(self.config.get("experiment", "?"))


class NoRunError(ValueError):
    """A folder that holds no run, not even a damaged one."""


def read(folder: Path) -> PastRun:
    """Read all that a folder says of its run.

    Args:
      folder: of a run in whatever state; nothing in it is changed.

    Returns:
      The run. "stopped" is one that ended without a word, as by kill -9; "damaged" one whose
      config or result cannot be read.

    Raises:
      NoRunError: if the folder is not there or has none of a run's files.
    """
    if not folder.is_dir():
        raise NoRunError(f"{folder}: no such folder")
    if not _looks_like_run(folder):
        raise NoRunError(f"{folder}: holds no run (no {run_folder.CONFIG})")
    damage: list[str] = []
    running = _is_running(folder)
    config = _read_table(folder / run_folder.CONFIG, damage)
    environment = _read_table(folder / run_folder.ENVIRONMENT, damage)
    rows = _read_rows(folder / run_folder.METRICS, damage, running=running)
    has_result = (folder / run_folder.RESULT).exists()
    result = _read_table(folder / run_folder.RESULT, damage) if has_result else {}
    state = "stopped" if not has_result else str(result.get("status", "damaged"))
    if running or not config:
        state = "running" if running else "damaged"
    if newer := _newer_version(environment):
        damage.append(newer)
    return PastRun(folder, state, config, environment, rows, result, tuple(damage))


def find(folder: Path) -> list[Path]:
    """Return the run folders in a folder, the oldest first.

    Raises:
      NoRunError: if there is no such folder.
    """
    if not folder.is_dir():
        raise NoRunError(f"{folder}: no such folder")
    found = [path for path in folder.iterdir() if path.is_dir() and _looks_like_run(path)]
    return sorted(found, key=lambda path: (_begun(path), path.name))


def accuracies(run: PastRun) -> list[float]:
    """Return the accuracy of every network after the last epoch so far, [] if there is none."""
    told = run.result.get("accuracy")
    if are_numbers(told):
        return [float(value) for value in told]
    last = {_identity(row): row.get("accuracy") for row in evaluations(run)}
    return [float(value) for value in last.values() if is_number(value)]


def accuracy(run: PastRun) -> Summary | None:
    """Return what the accuracies of a run say of their mean."""
    values = accuracies(run)
    return summarize(values) if values else None


def evaluations(run: PastRun) -> Iterator[Row]:
    """Yield the rows of evaluations, in order."""
    return (row for row in run.rows if row.get("kind") == "evaluate")


def curves(run: PastRun, *, kind: str, column: str) -> dict[str, list[tuple[float, float]]]:
    """Return the lines that the rows of a kind draw, one for each network.

    Args:
      run: read by `read`.
      kind: "train" or "evaluate".
      column: "loss" or "accuracy".

    Returns:
      Lists of (epoch, value) by the network's seed and settings; epochs of training rows are
      parts of a whole, from their steps.
    """
    of_kind = [row for row in run.rows if row.get("kind") == kind and is_number(row.get(column))]
    per_epoch = _steps_per_epoch(run)
    lines: dict[str, list[tuple[float, float]]] = collections.defaultdict(list)
    for row in of_kind:
        step, epoch = row.get("step"), row.get("epoch")
        place = step / per_epoch if per_epoch and is_number(step) else epoch
        if is_number(place):
            lines[_identity(row)].append((float(place), float(row[column])))
    return dict(lines)


def seconds(run: PastRun) -> float | None:
    """Return the seconds of the run, or of its training so far; None where nothing tells."""
    told = run.result.get("wall_seconds")
    if is_number(told):
        return float(told)
    spent = [row["seconds"] for row in run.rows if is_number(row.get("seconds"))]
    return float(sum(spent)) if spent else None


def changes(run: PastRun) -> Table:
    """Return what the config says that is not the default of its table, by dotted keys."""
    try:
        config = configs.load(run.folder / run_folder.CONFIG)
        table = config.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    except configs.ConfigError:
        table = run.config
    flat = run_folder.flatten(table)
    return {key: value for key, value in flat.items() if key != "experiment"}


def _looks_like_run(folder: Path) -> bool:
    names = (run_folder.CONFIG, run_folder.METRICS, run_folder.RESULT)
    return any((folder / name).exists() for name in names)


def _is_running(folder: Path) -> bool:
    """Tell whether a process holds the lock of the folder."""
    if run_folder.fcntl is None:
        return False
    with contextlib.suppress(OSError):
        descriptor = os.open(folder / run_folder.LOCK, os.O_RDONLY)
        try:
            run_folder.fcntl.flock(descriptor, run_folder.fcntl.LOCK_SH | run_folder.fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False


def _read_table(path: Path, damage: list[str]) -> Table:
    parse = tomllib.loads if path.suffix == ".toml" else json.loads
    try:
        table = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        damage.append(f"{path.name}: missing")
    except (OSError, ValueError, RecursionError) as error:
        damage.append(f"{path.name}: cannot be read: {str(error) or type(error).__name__}")
    else:
        if isinstance(table, dict):
            return table
        damage.append(f"{path.name}: expected a table, got {type(table).__name__}")
    return {}


def _read_rows(path: Path, damage: list[str], *, running: bool) -> list[Row]:
    """Read the lines that are whole; the last one of a run that goes on may be half written."""
    rows, bad = [], []
    try:
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    except OSError as error:
        damage.append(f"{path.name}: cannot be read: {error.strerror}")
        return []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            rows.append(row)
        elif not (running and number == len(lines) and not line.endswith(b"\n")):
            bad.append(number)
    if bad:
        which = f"line {bad[0]}" if len(bad) == 1 else f"{len(bad)} lines, the first {bad[0]},"
        verb = "is" if len(bad) == 1 else "are"
        damage.append(f"{path.name}: {which} of {len(lines)} {verb} not whole")
    return rows


def _newer_version(environment: Mapping[str, Any]) -> str | None:
    packages = environment.get("packages")
    version = packages.get("conv_jax") if isinstance(packages, dict) else None
    if isinstance(version, str) and _numbers(version) > _numbers(conv_jax.__version__):
        return f"written by conv_jax {version}, newer than this {conv_jax.__version__}"
    return None


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def _begun(folder: Path) -> float:
    """Return when a run began, in seconds; the age of its folder where nothing tells."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        told = json.loads((folder / run_folder.ENVIRONMENT).read_text(encoding="utf-8"))["time"]
        return datetime.datetime.fromisoformat(told).timestamp()
    return folder.stat().st_mtime


def _steps_per_epoch(run: PastRun) -> float | None:
    """Return the steps of an epoch; rows of training at the end of an epoch tell."""
    ends: dict[int, int] = {}
    for row in run.rows:
        epoch, step = row.get("epoch"), row.get("step")
        if row.get("kind") == "train" and isinstance(epoch, int) and isinstance(step, int):
            ends[epoch] = max(ends.get(epoch, 0), step)
    first = ends.get(1)
    return float(first) if first else None


def _identity(row: Mapping[str, Any]) -> str:
    words = [f"seed {row['seed']}"] if "seed" in row else []
    setting = row.get("setting")
    words += (
        [f"{key} {value}" for key, value in setting.items()] if isinstance(setting, dict) else []
    )
    return ", ".join(words)


def is_number(value: Any) -> TypeGuard[float]:
    """Tell whether a value of JSON is a finite number, and no integer beyond those of a float."""
    is_numeric = isinstance(value, int | float) and not isinstance(value, bool)
    return is_numeric and abs(value) <= sys.float_info.max


def are_numbers(values: Any) -> TypeGuard[list[float]]:
    """Tell whether a value of JSON is a list of finite numbers, at least one."""
    return isinstance(values, list) and bool(values) and all(map(is_number, values))
