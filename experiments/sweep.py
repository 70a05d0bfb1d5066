"""Sweeps: a config at every combination of values, with every seed; numbers share a program."""

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from experiments import config as configs
from experiments import lenet5
from experiments.lenet5_training import Network, Outcome, train_all
from experiments.printed_table import printed_table
from experiments.record import Record
from experiments.statistics import Summary, summarize
from experiments.tables import LeNet5Config

Setting = dict[str, Any]  # dotted key -> value

# Numbers that a compiled program takes as arguments. All else makes a program of its own.
NUMBERS = frozenset(
    {
        "optimizer.learning_rate",
        "optimizer.weight_decay",
        "optimizer.momentum",
        "optimizer.b1",
        "optimizer.b2",
        "optimizer.clip_norm",
        "train.label_smoothing",
        "train.average_decay",
        "augment.rotation",
        "augment.scale",
        "augment.shear",
        "augment.translation",
        "augment.elastic",
        "augment.erasing",
    }
)


# What a run has once; where images are held out for, its numbers are of them or of the test set.
_COMMON = frozenset(
    {
        *("at_once", "checkpoint", "deterministic", "devices", "distributed", "log"),
        *("seed", "seeds", "sweep"),
    }
)


class Group(NamedTuple):
    """The settings that differ in numbers alone, and so share a program."""

    shared: Setting
    config: LeNet5Config  # with the largest of the numbers
    numbers: list[dict[str, float]]


class Sweep(NamedTuple):
    """All that a sweep needs."""

    config: LeNet5Config  # with the table `sweep`
    axes: dict[str, list[Any]]
    groups: list[Group]


class Line(NamedTuple):
    """What the seeds of one setting came to."""

    setting: Setting
    accuracy: Summary | None  # None where all diverged
    num_diverged: int


def load(path: Path, overrides: Sequence[str]) -> Sweep:
    """Read a config with a table `sweep`, and check every setting of it.

    Raises:
      ConfigError: for a mistake in the config or in a value, or where there are no axes.
    """
    config = configs.load(path, overrides)
    axes = dict(_axes(getattr(config, "sweep", None) or {}))
    if not isinstance(config, LeNet5Config) or not axes:
        raise configs.ConfigError(
            f"{path}: sweep: expected a config of lenet5 with a table of lists, as in "
            "sweep.optimizer.learning_rate = [0.02, 0.05]"
        )

    def source(key: str) -> str:
        """Tell where an axis was given."""
        given = [o for o in overrides if o.partition("=")[0].strip() == f"sweep.{key}"]
        return f"override {given[-1]!r}" if given else str(path)

    for key, values in axes.items():
        if key == "data.holdout" or key.partition(".")[0] in _COMMON:
            raise configs.ConfigError(f"{source(key)}: sweep.{key}: the same for all settings")
        if not isinstance(values, list) or not values or _repeats(values):
            raise configs.ConfigError(
                f"{source(key)}: sweep.{key}: expected a list of one value or more, each another, "
                f"got {values!r}"
            )

    def at(setting: Setting) -> LeNet5Config:
        given = {key: f"{key}={json.dumps(value)}" for key, value in setting.items()}
        try:
            changed = configs.load(path, [*overrides, "sweep=none", *given.values()])
        except configs.ConfigError as error:
            text = str(error)
            for key, override in given.items():
                text = text.replace(f"override {override!r}: ", f"{source(key)}: sweep.")
            raise configs.ConfigError(text) from None
        if not isinstance(changed, LeNet5Config):
            raise configs.ConfigError(f"{path}: sweep.experiment: expected no such axis")
        return changed

    for setting in _product(axes):
        at(setting)  # so that a mistake in any is said before the first is trained
    numbers = {key: values for key, values in axes.items() if key in NUMBERS}
    highest = {key: max(values) for key, values in numbers.items()}
    groups = [
        Group(shared, at({**shared, **highest}), list(_product(numbers)))
        for shared in _product({key: axes[key] for key in axes if key not in numbers})
    ]
    return Sweep(config, axes, groups)


def prepare(sweep: Sweep) -> Sweep:
    """Load the data and build the functions of every group, so that no mistake shows later.

    Raises:
      ValueError: for data or sizes that do not fit.
      OSError: for data that cannot be found or fetched.
    """
    for group in sweep.groups:
        lenet5.prepare(group.config)
    return sweep


def run(sweep: Sweep, record: Record, console: Console) -> None:
    """Train every setting with every seed, group by group, then print and write the table.

    Args:
      sweep: of `load`.
      record: of the sweep; what was trained before it was resumed is not trained again.
      console: shows the progress and the table.
    """
    seeds = range(sweep.config.seed, sweep.config.seed + sweep.config.seeds)
    outcomes, evaluated_on = list[Outcome](), ""
    for index, group in enumerate(sweep.groups):
        task = lenet5.prepare(group.config)
        networks = [
            Network(seed, settings=numbers, shared=group.shared)
            for numbers in group.numbers
            for seed in seeds
        ]
        if len(sweep.groups) > 1:
            console.print(f"{_in_words(group.shared)} ({index + 1} of {len(sweep.groups)})")
        name = f"{index}{_slug(group.shared)}-"
        outcomes += train_all(task, networks, record=record, console=console, name=name)
        evaluated_on = task.evaluated_on
    lines = summaries(sweep, outcomes)
    record.report({"evaluated_on": evaluated_on, "settings": [_as_json(line) for line in lines]})
    text = markdown(sweep, lines, evaluated_on=evaluated_on)
    record.save_text("table.md", text)
    table = printed(sweep, lines, evaluated_on=evaluated_on)
    widest = console.measure(table, options=console.options.update(max_width=1000)).maximum
    console.print(table, width=max(widest, console.width))
    if evaluated_on == "test":
        console.print(
            "These are test images: to choose among settings, hold training images out with "
            "data.holdout=10000."
        )


def summaries(sweep: Sweep, outcomes: Sequence[Outcome]) -> list[Line]:
    """Gather the seeds of every setting.

    Args:
      sweep: of `load`.
      outcomes: of all networks.

    Returns:
      A line for every setting, in the order of the axes.
    """
    lines = []
    for setting in _product(sweep.axes):
        own = [outcome for outcome in outcomes if outcome.network.setting == setting]
        sound = [o.evaluations[-1]["accuracy"] for o in own if not o.diverged]
        lines.append(Line(setting, summarize(sound) if sound else None, len(own) - len(sound)))
    return lines


def printed(sweep: Sweep, lines: Sequence[Line], *, evaluated_on: str) -> Table:
    """Return the table for a terminal."""
    columns = [*_short(sweep.axes), *_MEASURED]
    title = f"{evaluated_on} accuracy (%) after the last epoch"
    table = printed_table(title, columns, num_texts=len(sweep.axes))
    for line in lines:
        table.add_row(*_cells(line))
    return table


def markdown(sweep: Sweep, lines: Sequence[Line], *, evaluated_on: str) -> str:
    """Return the table for a file."""
    heads = [*sweep.axes, *_MEASURED]
    rows = [heads, ["---"] * len(heads), *(_cells(line) for line in lines)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{evaluated_on} accuracy (%) after the last epoch\n\n{table}\n"


_MEASURED = ("mean", "std", "95 % interval", "n")


def _cells(line: Line) -> list[str]:
    words = [_word(value) for value in line.setting.values()]
    lost = f" ({line.num_diverged} diverged)" if line.num_diverged else ""
    if line.accuracy is None:
        return [*words, "", "", "", f"0{lost}"]
    mean, std, interval, n = line.accuracy
    low_high = "" if interval is None else f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}"
    deviation = "" if std is None else f"{100 * std:.2f}"
    return [*words, f"{100 * mean:.2f}", deviation, low_high, f"{n}{lost}"]


def _as_json(line: Line) -> dict[str, Any]:
    measured = line.accuracy._asdict() if line.accuracy else None
    return {"setting": line.setting, "accuracy": measured, "diverged": line.num_diverged}


def _axes(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the values of every axis."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _axes(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _product(axes: Mapping[str, Sequence[Any]]) -> Iterator[Setting]:
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def _repeats(values: Sequence[Any]) -> bool:
    return any(value in values[:index] for index, value in enumerate(values))


def _short(keys: Iterable[str]) -> list[str]:
    """Leave the tables' names out where the last words tell the keys apart."""
    last = [key.rpartition(".")[2] for key in keys]
    return last if len(set(last)) == len(last) else list(keys)


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)


def _in_words(setting: Setting) -> str:
    return ", ".join(f"{key} {_word(value)}" for key, value in setting.items())


def _slug(setting: Setting) -> str:
    """Return a setting as a part of a folder's name."""
    text = "".join(f"-{key}={_word(value)}" for key, value in setting.items())
    return re.sub(r"[^\w.=-]+", "_", text)[:100]
