"""The page of several runs, side by side."""

import collections
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.after import past_runs
from experiments.after.past_runs import PastRun, accuracies, are_numbers
from experiments.after.report import curves, page, pictures, results
from experiments.after.report.page import NONE, Table, exact, fixed, interval, shown
from experiments.after.report.run_page import FILE, troubles
from experiments.running.run_folder import flatten
from experiments.statistics import Difference, summarize

_MEASURED = ("state", "n", "mean", "std", "95 % interval", "loss", "training a seed", "whole run")


def write(folders: Sequence[Path], *, to: Path) -> None:
    """Write the page of several runs.

    Args:
      folders: at least two; nothing in them is changed.
      to: the file, in a folder that is there.

    Raises:
      NoRunError: if a folder holds no run.
      OSError: if the page cannot be written.
    """
    runs = [past_runs.read(folder) for folder in folders]
    page.write(to, html(runs, path=to))


def html(runs: Sequence[PastRun], *, path: Path) -> str:
    """Return the page of several runs; the first with an accuracy is compared with the others.

    Args:
      runs: read by `past_runs.read`.
      path: where the page will be, for its links.
    """
    named = dict(zip(_names(runs), runs, strict=True))
    return page.render(
        "comparison.html",
        title=f"{len(runs)} runs compared",
        first=_reference(named),
        links=[(name, _link(run, path)) for name, run in named.items()],
        troubles=[f"{name}: {line}" for name, run in named.items() for line in troubles(run)],
        cautions=_cautions(named),
        numbers=_numbers(named),
        differences=_differences(named),
        curves=curves.of_runs(named),
        config=_differing(
            {name: past_runs.full_config(run) for name, run in named.items()},
            "What differs between the configs",
        ),
        environment=_differing(
            {name: _code_and_machine(run.environment) for name, run in named.items()},
            "What differs between the code, its versions and the machines",
        ),
    )


def _names(runs: Sequence[PastRun]) -> list[str]:
    """Return a name for each run: of its folder, with the path if two are alike, and a number."""
    of_folder = collections.Counter(run.name for run in runs)
    names = [run.name if of_folder[run.name] == 1 else str(run.folder) for run in runs]
    counts = collections.Counter(names)
    return [
        name if counts[name] == 1 else f"{name} ({index})" for index, name in enumerate(names, 1)
    ]


def _link(run: PastRun, path: Path) -> str:
    """Return the address of a run's own page, "" if it has none."""
    own = run.folder / FILE
    return pictures.link(own, page=path) if own.is_file() else ""


def _cautions(named: Mapping[str, PastRun]) -> list[str]:
    """Say what makes the numbers hard to compare."""
    cautions = []
    names = collections.defaultdict(list)
    for name, run in named.items():
        if accuracies(run):
            names[past_runs.images(run)].append(name)
    if not past_runs.same_images(names):
        told = "; ".join(f"{', '.join(each)} on {images}" for images, each in names.items())
        cautions.append(f"The runs were evaluated on different images: {told}.")
    if swept := [name for name, run in named.items() if past_runs.has_settings(run)]:
        one = "has several settings, which its own page compares"
        cautions.append("; ".join(f"{name} {one}" for name in swept) + ".")
    if unfinished := [name for name, run in named.items() if run.state != "finished"]:
        cautions.append(f"Not finished: {', '.join(unfinished)}.")
    return cautions


def _numbers(named: Mapping[str, PastRun]) -> Table:
    rows = [[name, run.state, *_measured(run)] for name, run in named.items()]
    words = {past_runs.images(run).split for run in named.values() if accuracies(run)}
    images = words.pop() if len(words) == 1 else None
    accuracy = f"{images or 'evaluated'} accuracy (%)"
    caption = f"Mean, deviation and interval are those of the {accuracy} over n seeds"
    return Table(("run", *_MEASURED), rows, caption, num_texts=2)


def _measured(run: PastRun) -> list[str]:
    summary = past_runs.accuracy(run)
    accuracy = results.cells(summary, scale=100, digits=2) if summary else [NONE] * 4
    loss, training = run.result.get("loss"), run.result.get("train_seconds")
    return [
        *accuracy,
        f"{summarize(loss).mean:.4g}" if are_numbers(loss) else NONE,
        page.seconds(summarize(training).mean) if are_numbers(training) else NONE,
        page.seconds(past_runs.seconds(run)),
    ]


def _reference(named: Mapping[str, PastRun]) -> str:
    """Return the name of the first run that has an accuracy, else of the first."""
    having = (name for name, run in named.items() if past_runs.accuracy(run))
    return next(having, next(iter(named)))


def _differences(named: Mapping[str, PastRun]) -> Table | None:
    """Return the table of the differences to one run, None where there is none to tell."""
    first = _reference(named)
    told = {
        name: past_runs.accuracy_difference(run, named[first])
        for name, run in named.items()
        if name != first
    }
    rows = [_difference_row(name, each) for name, each in told.items() if each]
    heads = ("run", "how", "difference (points)", "95 % interval", "leaves out 0")
    caption = f"Accuracy less that of {first}, in points of percent"
    return Table(heads, rows, caption, num_texts=2) if rows else None


def _difference_row(name: str, each: Difference) -> list[str]:
    sign = "+" if each.mean > 0 else ""
    bounds = interval(each.interval, scale=100, digits=2)
    clear = NONE if each.interval is None else shown(not each.interval[0] <= 0 <= each.interval[1])
    return [name, _method(each), f"{sign}{fixed(100 * each.mean, 2)}", bounds, clear]


def _method(each: Difference) -> str:
    words = f"paired over {each.n[0]}" if each.paired else f"Welch, {each.n[0]} against {each.n[1]}"
    return f"{words} seed{'s' if each.n[1] > 1 else ''}"


def _differing(tables: Mapping[str, Mapping[str, Any]], caption: str) -> Table | None:
    """Return the keys that differ, a column a run; None where there are none."""
    keys = list({key: None for table in tables.values() for key in table})
    values = {key: [table.get(key) for table in tables.values()] for key in keys}
    rows = [[key, *map(exact, row)] for key, row in values.items() if len(set(map(str, row))) > 1]
    return Table(("key", *tables), rows, caption, num_texts=1 + len(tables)) if rows else None


def _code_and_machine(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may differ but by chance."""
    kept = {k: v for k, v in environment.items() if k not in ("time", "command", "resumed")}
    if isinstance(kept.get("commit"), str):
        kept["commit"] = kept["commit"][:12]
    return flatten(kept)
