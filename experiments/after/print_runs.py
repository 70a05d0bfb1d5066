"""What ls, show and diff print of runs: finished, running, failed or damaged ones."""

import contextlib
import itertools
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from experiments.after import past_runs
from experiments.after.past_runs import PastRun
from experiments.printed_table import plain, printed_table
from experiments.running.run_folder import flatten
from experiments.statistics import percent, percent_difference

_ROWS = 4  # of metrics.jsonl that `show` prints
_LONGEST = 60  # characters of a value there
_WHOLE = 100_000  # columns: more than any table has
_LAST, _KEPT = "config changes", ("run", "state")  # columns of `ls`
_GAP = 3  # between columns
_OF_ONE_RUN = ("time", "command", "resumed")  # which differ in any two environments
# What `show` says elsewhere, or in other words.
_SAID = ("status", "error", "experiment", "wall_seconds", "evaluated_on", "accuracy_")


def list_runs(folder: Path) -> None:
    """Print a line for every run of a folder, the oldest first.

    Raises:
      NoRunError: if there is no such folder.
    """
    runs = list(_read_all(folder))
    if not runs:
        print(f"{plain(folder)}: {_why_none(folder)}")
        return
    columns = {
        "run": [plain(run.name) for run in runs],
        "state": [run.state for run in runs],
        "accuracy (%)": [_accuracy(run) for run in runs],
        "time": [_time(run) for run in runs],
        "seeds": [_seeds(run) for run in runs],
        _LAST: [_changes(run) for run in runs],
    }
    console = _console()
    kept = _fitting(columns, width=console.width)
    table = printed_table(None, kept, num_texts=len(kept))
    for cells in zip(*(columns[name] for name in kept), strict=True):
        table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in cells))
    # The one that is cut where the terminal is narrow: the others are whole.
    table.columns[-1 if _LAST in kept else 0].no_wrap = False
    table.show_edge = False
    console.print(table)


def _fitting(columns: Mapping[str, list[str]], *, width: int) -> list[str]:
    """Return the first columns that have room; run and state always, the last one cut or not."""
    needed = {name: max(map(cell_len, [name, *cells])) for name, cells in columns.items()}
    needed[_LAST] = len(_LAST)
    ends = itertools.accumulate(needed.values(), lambda end, wide: end + _GAP + wide)
    return [name for name, end in zip(columns, ends, strict=True) if end <= width or name in _KEPT]


def _why_none(folder: Path) -> str:
    if not past_runs.is_run(folder):
        return "no runs here"
    command = shlex.join(["python", "-m", "experiments", "show", str(folder)])
    return f"is a run: show it with {plain(command)}"


def _read_all(folder: Path) -> Iterator[PastRun]:
    for path in past_runs.find(folder):
        with contextlib.suppress(past_runs.NoRunError):  # somebody has just removed it
            yield past_runs.read(path)


def show_run(folder: Path) -> None:
    """Print what a run was asked, on which machine, what came out, and how to go on.

    Raises:
      NoRunError: if the folder holds none.
    """
    before = ""
    for label, text in _about(past_runs.read(folder)):
        print(f"{'' if label == before else label:<12} {plain(text)}")
        before = label


def compare_runs(folders: tuple[Path, Path]) -> None:
    """Print how the configs, environments and accuracies of two runs differ.

    Raises:
      NoRunError: if one of the folders holds none.
    """
    first, second = map(past_runs.read, folders)
    for title, ours, theirs in (
        ("config", past_runs.full_config(first), past_runs.full_config(second)),
        ("environment", _environment(first), _environment(second)),
    ):
        keys = [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
        if not keys:
            print(f"{title}: no difference")
            continue
        table = printed_table(None, [title, *map(plain, folders)], num_texts=3)
        for key in keys:
            cells = (plain(key), _exact(ours.get(key)), _exact(theirs.get(key)))
            table.add_row(*map(Text, cells))
        for column in table.columns[1:]:
            column.no_wrap = False
        table.show_edge = False
        _console().print(table)
        print()
    print(_accuracy_difference(first, second))


def _console() -> Console:
    """Return what prints tables: as wide as the terminal, or in full where there is none."""
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = _WHOLE
    return console


def _about(run: PastRun) -> Iterator[tuple[str, str]]:
    """Yield labels and what stands beside them."""
    yield "run", str(run.folder)
    yield "state", run.state
    if "error" in run.result:
        yield "error", str(run.result["error"])
    yield from (("damage", line) for line in run.damage)
    summary = past_runs.accuracy(run)
    told = percent(summary) if summary else _settings(run)
    if told:
        yield "accuracy", f"{run.result.get('evaluated_on', '')} {told}".strip()
    numbers = {k: v for k, v in run.result.items() if isinstance(v, int | float | str)}
    said = [_pair(k, v) for k, v in numbers.items() if not k.startswith(_SAID)]
    if said:
        yield "results", ", ".join(said)
    if spent := _time(run):
        yield "time", f"{spent}, from {run.environment.get('time', 'an unknown hour')}"
    yield "config", f"{run.experiment}: {_changes(run)}"
    yield from (("environment", line) for line in _machine(run))
    for row in run.rows[-_ROWS:]:
        yield "last rows", ", ".join(_pair(*item) for item in row.items())
    if command := past_runs.how_to_go_on(run):
        yield "go on with", command


def _machine(run: PastRun) -> Iterator[str]:
    """Yield the code, the versions and the machine, a line each; nothing for what is not known."""
    known = run.environment
    if commit := known.get("commit"):
        yield f"commit {commit}{', changed' if known.get('dirty') else ''}"
    packages = known.get("packages")
    versions = packages.items() if isinstance(packages, dict) else ()
    words = [f"{name} {version}" for name, version in versions if version]
    if known:
        yield ", ".join([f"Python {known.get('python', '?')}", *words])
        names = ("platform", "cores", "backend", "devices", "flags")
        yield ", ".join(_pair(name, known[name]) for name in names if known.get(name))


def _environment(run: PastRun) -> Mapping[str, Any]:
    flat = flatten(run.environment)
    return {key: value for key, value in flat.items() if key not in _OF_ONE_RUN}


def _accuracy_difference(first: PastRun, second: PastRun) -> str:
    if swept := [run for run in (first, second) if past_runs.has_settings(run)]:
        return f"accuracy: no mean over the settings of {_names(swept)}"
    found = past_runs.accuracy_difference(first, second)
    if found is None:
        lacking = [run for run in (first, second) if not past_runs.accuracies(run)]
        return f"accuracy: none in {_names(lacking)}"
    means = [f"{100 * run.mean:.2f} %" for run in map(past_runs.accuracy, (first, second)) if run]
    text = f"accuracy: {' less '.join(means)} is {percent_difference(found)}"
    images = [past_runs.images(run) for run in (first, second)]
    if past_runs.same_images(images):
        return text
    return f"{text}; on different images: {' and '.join(map(plain, images))}"


def _names(runs: Iterable[PastRun]) -> str:
    return " and ".join(plain(run.folder) for run in runs)


def _accuracy(run: PastRun) -> str:
    summary = past_runs.accuracy(run)
    if summary is None:
        return _settings(run)
    deviation = "" if summary.std is None else f" +- {100 * summary.std:.2f}"
    return f"{100 * summary.mean:.2f}{deviation} (n = {summary.n})"


def _settings(run: PastRun) -> str:
    """Say of how many settings a run tells, whose networks share no mean; "" for none."""
    count = past_runs.num_settings(run)
    return f"{count} setting{'s' if count > 1 else ''}" if count else ""


def _time(run: PastRun) -> str:
    seconds = past_runs.seconds(run)
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 5400 else f"{seconds / 3600:.3g} h"


def _seeds(run: PastRun) -> str:
    first, count = run.config.get("seed"), run.config.get("seeds", 1)
    if not isinstance(first, int) or not isinstance(count, int):
        return ""
    return f"{first}" if count == 1 else f"{first} to {first + count - 1}"


def _changes(run: PastRun) -> str:
    changes = past_runs.changes(run).items()
    return ", ".join(f"{plain(key)} {_exact(value)}" for key, value in changes)


def _pair(key: str, value: Any) -> str:
    return f"{plain(key)} {_value(value)}"


def _value(value: Any) -> str:
    """Return a value in a few words."""
    text = f"{value:.6g}" if isinstance(value, float) else _exact(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _exact(value: Any) -> str:
    """Return a value of JSON or TOML to its last digit."""
    if value is None:
        return "none"
    return plain(value if isinstance(value, str) else json.dumps(value, default=str))
