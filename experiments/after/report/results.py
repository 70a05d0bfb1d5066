"""The numbers of a run as tables: over its seeds, by its settings, and all others."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from experiments.after import past_runs
from experiments.after.past_runs import PastRun, are_numbers
from experiments.after.report.page import NONE, Table, fixed, interval, seconds, shown
from experiments.running.run_folder import flatten, is_number
from experiments.statistics import Summary, summarize

_MOST_ROWS = 60
_LARGE = 2000  # characters
# Of a list of numbers that stands beside them, or told at the head of the page.
_DERIVED = ("_mean", "_std", "_interval")
_ELSEWHERE = {
    *("status", "experiment", "error", "diverged", "seeds", "evaluated_on", "settings"),
    *(f"{part}_seconds" for part in ("input", "compile", "train", "figure", "wall")),
}
_NAMES = {"num_params": "parameters", "num_images": "evaluated images"}
_SUMMARY_HEADS = ("measure", "n", "mean", "std", "95 % interval of the mean")


class Headline(NamedTuple):
    """The number that a page begins with."""

    number: str
    words: str


def headline(run: PastRun) -> Headline | None:
    """Return the accuracy of a run; None where there is none, or one for each setting."""
    summary = past_runs.accuracy(run)
    if summary is None:
        return None
    accuracy = f"{evaluated_on(run)} accuracy"
    if not are_numbers(run.result.get("accuracy")):
        accuracy += " after the last epoch so far"
    number = fixed(100 * summary.mean, 2)
    if summary.std is None:
        return Headline(f"{number} %", f"{accuracy} of one seed, so without an interval")
    bounds = interval(summary.interval, scale=100, digits=2)
    words = f"{accuracy}, mean and standard deviation of {summary.n} seeds; "
    return Headline(
        f"{number} ± {fixed(100 * summary.std, 2)} %",
        f"{words}95 % interval of the mean: {bounds} %",
    )


def tables(run: PastRun) -> list[Table]:
    """Return the tables of a run's results, none where it has none."""
    told = {k: v for k, v in run.result.items() if k not in _ELSEWHERE and k not in large(run)}
    flat = flatten(told)
    lists = {key: value for key, value in flat.items() if _is_measured(key, value, run)}
    rest = {k: v for k, v in flat.items() if k not in lists and not k.endswith(_DERIVED)}
    records = {key: value for key, value in rest.items() if _are_records(value)}
    rest = {key: value for key, value in rest.items() if key not in records}
    made = [_settings(run), _summaries(run, lists), _by_seed(run, lists), _values(rest, run)]
    return [table for table in (*made, *map(_records, records, records.values())) if table]


def large(run: PastRun) -> list[str]:
    """Return the names of the entries of result.json that are too large for a page."""
    return [
        key
        for key, value in run.result.items()
        if isinstance(value, list | dict)
        and key not in _ELSEWHERE
        and not (_are_records(value) or _is_measured(key, value, run))
        and len(json.dumps(value)) > _LARGE
    ]


def evaluated_on(run: PastRun) -> str:
    """Return which images a run was evaluated on."""
    return str(run.result.get("evaluated_on", "evaluated"))


def cells(summary: Summary, *, scale: float = 1.0, digits: int | None = None) -> list[str]:
    """Return n, mean, deviation and interval as text."""
    mean, std, bounds, n = summary

    def text(value: float) -> str:
        return fixed(scale * value, digits) if digits is not None else f"{scale * value:.4g}"

    low_high = " to ".join(map(text, bounds)) if bounds else NONE
    return [str(n), text(mean), NONE if std is None else text(std), low_high]


def _is_measured(key: str, value: Any, run: PastRun) -> bool:
    """Tell whether a list has a number for each seed."""
    seeds = run.result.get("seeds")
    count = len(seeds) if isinstance(seeds, list) else None
    return are_numbers(value) and len(value) == count and not key.endswith("interval")


def _are_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _summaries(run: PastRun, lists: Mapping[str, Sequence[float]]) -> Table | None:
    rows = []
    for key, values in lists.items():
        is_accuracy = key.partition(".")[0] == "accuracy"
        options: dict[str, Any] = {"scale": 100, "digits": 2} if is_accuracy else {}
        rows.append([_named(key, run), *cells(summarize(values), **options)])
    return Table(_SUMMARY_HEADS, rows, "Over the seeds, after the last epoch") if rows else None


def _by_seed(run: PastRun, lists: Mapping[str, Sequence[float]]) -> Table | None:
    seeds = run.result.get("seeds")
    if not lists or not isinstance(seeds, list) or not 1 < len(seeds) <= _MOST_ROWS:
        return None
    columns = [_column(key, values) for key, values in lists.items()]
    rows = [[str(seed), *row] for seed, *row in zip(seeds, *columns, strict=True)]
    return Table(["seed", *(_named(key, run) for key in lists)], rows, "Every seed")


def _column(key: str, values: Sequence[float]) -> list[str]:
    if key.partition(".")[0] == "accuracy":
        return [fixed(100 * value, 2) for value in values]
    return [f"{value:.4g}" for value in values]


def _named(key: str, run: PastRun) -> str:
    """Say a key of result.json in words, with its unit."""
    first, _, rest = key.partition(".")
    if first == "accuracy":
        text = f"{evaluated_on(run)} accuracy (%)"
    elif first == "loss":
        text = f"{evaluated_on(run)} loss"
    else:
        text = _NAMES.get(first, first.replace("_", " "))
    return f"{text}: {rest}" if rest else text


def _values(table: Mapping[str, Any], run: PastRun) -> Table | None:
    """Return what stands once in result.json; of what is large, the size."""
    rows = [
        (_named(key, run), seconds(value) if _is_seconds(key, value) else shown(value))
        for key, value in table.items()
    ]
    caption = "Other numbers"
    if len(rows) > _MOST_ROWS:
        caption = f"The first {_MOST_ROWS} of {len(rows)} other entries of result.json"
    return Table(("entry", "value"), rows[:_MOST_ROWS], caption, num_texts=2) if rows else None


def _is_seconds(key: str, value: Any) -> bool:
    return is_number(value) and ("_seconds" in key or key.startswith("seconds_"))


def _records(name: str, records: list[dict[str, Any]]) -> Table:
    """Return a table of a list of tables, a row for each, with the columns of text first."""
    flat = [flatten(record) for record in records[:_MOST_ROWS]]
    heads = list({key: None for row in flat for key in row})
    texts = [head for head in heads if any(isinstance(row.get(head), str) for row in flat)]
    heads = [*texts, *(head for head in heads if head not in texts)][:12]
    rows = [[shown(row.get(head)) for head in heads] for row in flat]
    left_out = f": the first {_MOST_ROWS} of {len(records)}" if len(records) > _MOST_ROWS else ""
    caption = f"{name.replace('_', ' ').capitalize()}{left_out}"
    words = [head.replace("_", " ") for head in heads]
    return Table(words, rows, caption, num_texts=max(1, len(texts)))


def _settings(run: PastRun) -> Table | None:
    """Return the table of a sweep, the best mean first."""
    lines = list(_lines(run.result.get("settings")))
    if not lines:
        return None
    axes = list({key: None for setting, *_ in lines for key in setting})
    lines.sort(key=lambda line: line[1].mean if line[1] else -1, reverse=True)
    rows = [
        [
            *(shown(setting.get(axis)) for axis in axes),
            *(cells(summary, scale=100, digits=2) if summary else ["0", NONE, NONE, NONE]),
            shown(diverged),
        ]
        for setting, summary, diverged in lines
    ]
    heads = [*axes, "n", "mean", "std", "95 % interval", "diverged"]
    caption = f"Settings by their {evaluated_on(run)} accuracy (%), the best mean first"
    return Table(heads, rows, caption, num_texts=len(axes))


def _lines(settings: Any) -> Iterator[tuple[dict[str, Any], Summary | None, Any]]:
    """Yield setting, accuracy and number of diverged networks, of those that can be read."""
    for line in settings if _are_records(settings) else []:
        setting, accuracy = line.get("setting"), line.get("accuracy")
        if not isinstance(setting, dict):
            continue
        summary = None
        if isinstance(accuracy, dict) and is_number(accuracy.get("mean")):
            std, n, bounds = (accuracy.get(key) for key in ("std", "n", "interval"))
            summary = Summary(
                float(accuracy["mean"]),
                float(std) if is_number(std) else None,
                (bounds[0], bounds[1]) if are_numbers(bounds) and len(bounds) == 2 else None,
                n if isinstance(n, int) else 0,
            )
        yield setting, summary, line.get("diverged", 0)
