"""Runs read back from their folders: finished, running, failed or damaged ones."""

import collections
import contextlib
import datetime
import json
import os
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import conv_jax
from experiments import config as configs
from experiments.running import run_folder
from experiments.running.run_folder import Row, is_number, network_of
from experiments.statistics import Difference, Summary, difference, summarize

Table = dict[str, Any]

_ENDS = ("finished", "failed", "interrupted")  # what a result says


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


class Images(NamedTuple):
    """What tells evaluated images from others; None for what is not known."""

    data: str | None = None
    split: str | None = None  # "test", or "held-out training"
    holdout: int | None = None  # so many of the last training images, 0 for the test images
    root: str | None = None  # where the name says nothing of the images

    def __str__(self) -> str:
        """Say them: "500 held-out training images of mnist"."""
        count = f"{self.holdout}" if self.holdout else ""
        words = " ".join(filter(None, (count, self.split, "images")))
        return " ".join([words, *(f"of {part}" for part in (self.data, self.root) if part)])


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
    _refuse_no_folder(folder)
    if not is_run(folder):
        is_open = os.access(folder, os.X_OK)
        why = f"holds no run (no {run_folder.CONFIG})" if is_open else "cannot be read"
        raise NoRunError(f"{folder}: {why}")
    damage: list[str] = []
    running = _is_running(folder)
    config = _read_table(folder / run_folder.CONFIG, damage)
    environment = _read_table(folder / run_folder.ENVIRONMENT, damage)
    rows = _read_rows(folder / run_folder.METRICS, damage, running=running)
    has_result = (folder / run_folder.RESULT).exists()
    result = _read_table(folder / run_folder.RESULT, damage) if has_result else {}
    state = str(result.get("status")) if has_result else "stopped"
    if running:
        state = "running"
    elif not config or (has_result and state not in _ENDS):
        state = "damaged"
    run = PastRun(folder, state, config, environment, rows, result, ())
    return run._replace(damage=(*damage, *_contradictions(run)))


def find(folder: Path) -> list[Path]:
    """Return the run folders in a folder, the oldest first.

    Raises:
      NoRunError: if there is no such folder, or it cannot be read.
    """
    _refuse_no_folder(folder)
    try:
        paths = list(folder.iterdir())
    except OSError as error:
        raise NoRunError(f"{folder}: cannot be read: {error.strerror}") from None
    found = [path for path in paths if is_run(path)]
    return sorted(found, key=lambda path: (_begun(path), path.name))


def is_run(folder: Path) -> bool:
    """Tell whether a folder has a file of a run; one that cannot be read has none."""
    names = (run_folder.CONFIG, run_folder.METRICS, run_folder.RESULT)
    with contextlib.suppress(OSError):
        return any((folder / name).exists() for name in names)
    return False


def accuracies(run: PastRun) -> list[float]:
    """Return the accuracies after the last epoch so far of the networks that reached it."""
    told = run.result.get("accuracy")
    return list(map(float, told)) if are_numbers(told) else list(_of_networks(run).values())


def accuracy_difference(run: PastRun, other: PastRun) -> Difference | None:
    """Return how far the accuracies of two runs are apart, None where one has none.

    They are paired where both runs trained from the same seeds and were evaluated on the same
    images. Those of several settings share no mean, so differ by none.
    """
    if has_settings(run) or has_settings(other):
        return None
    ours, theirs = _of_networks(run), _of_networks(other)
    alike = same_images([images(run), images(other)])
    if alike and ours and ours.keys() == theirs.keys():
        return difference(list(ours.values()), [theirs[name] for name in ours], paired=True)
    values, others = accuracies(run), accuracies(other)
    return difference(values, others, paired=False) if values and others else None


def accuracy(run: PastRun) -> Summary | None:
    """Return what the accuracies say of their mean, None for none or those of several settings."""
    values = [] if has_settings(run) else accuracies(run)
    return summarize(values) if values else None


def images(run: PastRun) -> Images:
    """Return what is known of the images that a run was evaluated on."""
    table = run.config.get("data")
    data = table if isinstance(table, dict) else {}
    name, root, told = data.get("name"), data.get("root"), run.result.get("evaluated_on")
    holdout = data.get("holdout", 0 if data else None)
    split = None if holdout is None else "held-out training" if holdout else "test"
    return Images(
        data=str(name) if name else None,
        split=str(told) if told else split,
        holdout=holdout if isinstance(holdout, int) else None,
        root=str(root) if root and name == "idx" else None,
    )


def same_images(each: Iterable[Images]) -> bool:
    """Tell whether nothing that is known tells the images of some runs apart."""
    return all(len(set(values) - {None}) <= 1 for values in zip(*each, strict=True))


def has_settings(run: PastRun) -> bool:
    """Tell whether the networks of a run differ in more than their seeds, so share no mean."""
    return bool(run.config.get("sweep")) or num_settings(run) > 0


def num_settings(run: PastRun) -> int:
    """Return of how many settings a run tells so far, 0 where its networks share all."""
    told = run.result.get("settings")
    if told and isinstance(told, list):
        return len(told)
    return len({json.dumps(row["setting"]) for row in evaluations(run) if row.get("setting")})


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
      parts of a whole, from their steps, so none before the first epoch has ended.
    """
    of_kind = [row for row in run.rows if row.get("kind") == kind and is_number(row.get(column))]
    per_epoch = _steps_per_epoch(run)
    lines: dict[str, list[tuple[float, float]]] = collections.defaultdict(list)
    for row in of_kind:
        place = row.get("epoch")
        if is_number(step := row.get("step")):
            place = step / per_epoch if per_epoch else None
        if is_number(place):
            lines[network_of(row)].append((float(place), float(row[column])))
    return dict(lines)


def seconds(run: PastRun) -> float | None:
    """Return the seconds of the run, or of its training so far; None where nothing tells."""
    wall, trained = (run.result.get(name) for name in ("wall_seconds", "train_seconds"))
    trained = trained if are_numbers(trained) else []
    logged = [row["seconds"] for row in run.rows if is_number(row.get("seconds"))]
    told = [wall] if is_number(wall) else []  # of the last session alone
    return max([*told, sum(trained), sum(logged)]) or None


def changes(run: PastRun) -> Table:
    """Return what the config says that is not the default of its table, by dotted keys."""
    config, table = _loaded(run), run.config
    if config:
        table = config.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    flat = run_folder.flatten(table)
    return {key: value for key, value in flat.items() if key != "experiment"}


def full_config(run: PastRun) -> Table:
    """Return what the config says by dotted keys, with defaults for what it does not say."""
    config = _loaded(run)
    return run_folder.flatten(configs.dump(config) if config else run.config)


def how_to_go_on(run: PastRun) -> str | None:
    """Return the command that goes on with a run that ended early, None where none does."""
    config = _loaded(run)
    if config is None or run.state not in ("failed", "interrupted", "stopped"):
        return None
    if not configs.saves_checkpoints(config) or run.result.get("diverged"):
        return None
    word = "sweep" if run.config.get("sweep") else "run"
    return shlex.join(["python", "-m", "experiments", word, "--resume", str(run.folder)])


def _loaded(run: PastRun) -> configs.Config | None:
    """Return the config if it can be read by this version."""
    with contextlib.suppress(configs.ConfigError):
        return configs.load(run.folder / run_folder.CONFIG)
    return None


def _of_networks(run: PastRun) -> dict[str, float]:
    """Return the accuracies after the last epoch so far, by the seeds and settings."""
    told, seeds = run.result.get("accuracy"), run.result.get("seeds")
    if are_numbers(told) and isinstance(seeds, list) and len(seeds) == len(told):
        names = (network_of({"seed": seed}) for seed in seeds)
        return dict(zip(names, map(float, told), strict=True))
    found = [row for row in evaluations(run) if is_number(row.get("accuracy"))]
    latest = max(map(_epoch, found), default=0)
    return {network_of(row): float(row["accuracy"]) for row in found if _epoch(row) == latest}


def _epoch(row: Row) -> float:
    epoch = row.get("epoch")
    return epoch if is_number(epoch) else 0


def _refuse_no_folder(folder: Path) -> None:
    try:
        is_there = folder.is_dir()
    except OSError as error:  # before Python 3.14, of a folder in one that cannot be read
        raise NoRunError(f"{folder}: cannot be read: {error.strerror}") from None
    if not is_there:
        raise NoRunError(f"{folder}: no such folder")


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
        if isinstance(table, dict) and table:
            return table
        got = "nothing" if table == {} else type(table).__name__
        damage.append(f"{path.name}: expected a table, got {got}")
    return {}


def _contradictions(run: PastRun) -> Iterator[str]:
    """Yield a line for what this version does not know in the files, and for rows that lack."""
    if run.result and run.state == "damaged" and run.config:
        yield f"{run_folder.RESULT}: unknown status {run.result.get('status')!r}"
    if run.config and run.experiment != run_folder.PROFILE:
        yield from _config_mistakes(run.folder / run_folder.CONFIG)
    trained = are_numbers(run.result.get("accuracy")) or run.result.get("settings")
    is_whole = (run.folder / run_folder.LOCK).exists()  # which a record of a few files has not
    if trained and is_whole and not (run.folder / run_folder.METRICS).exists():
        yield f"{run_folder.METRICS}: missing"
    if newer := _newer_version(run.environment):
        yield newer


def _config_mistakes(path: Path) -> list[str]:
    """Return what this version does not understand of a config, a line each."""
    try:
        configs.load(path)
    except configs.ConfigError as error:
        return [line.replace(str(path), path.name, 1) for line in str(error).splitlines()]
    return []


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
    if len(bad) == 1:
        damage.append(f"{path.name}: line {bad[0]} of {len(lines)} is not whole")
    elif bad:
        many = f"{len(bad)} of {len(lines)} lines are not whole"
        damage.append(f"{path.name}: {many}, the first is line {bad[0]}")
    return rows


def _newer_version(environment: Mapping[str, Any]) -> str | None:
    packages = environment.get("packages")
    version = packages.get("conv_jax") if isinstance(packages, dict) else None
    if isinstance(version, str) and _numbers(version) > _numbers(conv_jax.__version__):
        return f"written by conv_jax {version}, newer than this {conv_jax.__version__}"
    return None


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal() and len(part) < 10]


def _begun(folder: Path) -> float:
    """Return when a run began, in seconds; the age of its folder where nothing tells."""
    with contextlib.suppress(
        OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError
    ):
        told = json.loads((folder / run_folder.ENVIRONMENT).read_text(encoding="utf-8"))["time"]
        return datetime.datetime.fromisoformat(told).timestamp()
    with contextlib.suppress(OSError):
        return folder.stat().st_mtime
    return 0.0  # somebody has just removed it


def _steps_per_epoch(run: PastRun) -> float | None:
    """Return the steps of an epoch, the last of the first one; None before that has ended."""
    steps = [row.get("step") for row in run.rows if _epoch(row) == 1 and row.get("kind") == "train"]
    has_ended = run.state == "finished" or any(
        _epoch(row) > 1 or (_epoch(row) == 1 and row.get("kind") == "evaluate") for row in run.rows
    )
    last = max(filter(is_number, steps), default=0.0)
    return float(last) if has_ended and last > 0 else None


def are_numbers(values: Any) -> TypeGuard[list[float]]:
    """Tell whether a value of JSON is a list of finite numbers, at least one."""
    return isinstance(values, list) and bool(values) and all(map(is_number, values))
