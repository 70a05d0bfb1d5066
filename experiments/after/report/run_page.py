"""The page of one run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments import config as configs
from experiments.after import past_runs
from experiments.after.past_runs import PastRun, are_numbers
from experiments.after.report import curves, fields, page, pictures, results
from experiments.after.report.page import NONE, Table
from experiments.running import run_folder
from experiments.running.run_folder import is_number

FILE = "report.html"

_STATES = {
    "running": "This run goes on: here is what it has so far.",
    "stopped": "This run ended without a word, as by kill -9 or a loss of power.",
    "failed": "This run failed.",
    "interrupted": "This run was interrupted.",
    "damaged": "The files of this run are damaged: here is what can be read.",
}
# What a reader looks for first; all else follows as it stands.
_ENVIRONMENT = ("time", "command", "commit", "dirty", "python", "platform", "cores", "backend")
_NAMES = {"dirty": "changes not committed"}


def write(folder: Path, *, to: Path | None = None) -> Path:
    """Write the page of a run.

    Args:
      folder: of a run in whatever state; nothing else in it is changed.
      to: the file; report.html in the folder unless given.

    Returns:
      The file.

    Raises:
      NoRunError: if the folder holds no run.
      OSError: if the page cannot be written.
    """
    path = folder / FILE if to is None else to
    page.write(path, html(past_runs.read(folder), path=path))
    return path


def html(run: PastRun, *, path: Path) -> str:
    """Return the page of a run.

    Args:
      run: read by `past_runs.read`.
      path: where the page will be, for its links.
    """
    drawn = curves.of_runs({"": run})
    without = frozenset({"curves"} if drawn else ())
    taken = sum(len(drawing.encode()) for _, drawing in drawn.panels) if drawn else 0
    changes = past_runs.changes(run)
    return page.render(
        "run.html",
        title=run.name,
        subtitle=_subtitle(run),
        state=run.state,
        about_state=_STATES.get(run.state, ""),
        troubles=troubles(run),
        headline=results.headline(run),
        results=results.tables(run),
        large=results.large(run),
        curves=drawn,
        pictures=pictures.of_run(run, page=path, without=without, taken=taken),
        missing=pictures.missing(run),
        fields=fields.table(run),
        times=times(run),
        changes=_config_table(changes, "What differs from the defaults"),
        config_trouble=_config_trouble(run),
        config=_config_table(run_folder.flatten(run.config), "All of the config"),
        environment=_environment(run.environment),
        files=_files(run, path),
    )


def troubles(run: PastRun) -> list[str]:
    """Return a line for the error of a run, each network that diverged and each damaged file."""
    error, lost = run.result.get("error"), run.result.get("diverged")
    lines = [str(error)] if error else []
    lines += [f"diverged: {line}" for line in lost] if isinstance(lost, list) else []
    return [page.cut(line) for line in (*lines, *run.damage)]


def times(run: PastRun) -> Table | None:
    """Return where the time went; None where nothing tells."""
    told = run.result
    training = _sum_of_rows(run, "train") or _total(told.get("train_seconds"))
    parts = {
        "compilation, and all else before the first step": _total(told.get("compile_seconds")),
        "training, all networks": training,
        "evaluation, its compilation too": _sum_of_rows(run, "evaluate"),
        "figures": _total(told.get("figure_seconds")),
    }
    known = [value for value in parts.values() if value is not None]
    load, wall = _total(told.get("input_seconds")), _total(told.get("wall_seconds"))
    if not known and wall is None:
        return None
    resumed = bool(run.environment.get("resumed"))
    if not known:
        parts = {}
    elif wall is not None and not resumed:
        parts["all else, checkpoints among it"] = max(0.0, wall - sum(known))
    parts |= {"whole run": wall} | ({"loading the images, before that": load} if known else {})
    whole = None if resumed else wall
    rows = [[name, _time(value), _share(value, whole)] for name, value in parts.items()]
    caption = "Where the time went"
    if resumed:
        caption += "; this run was resumed, and the time of the whole is that of its last session"
    return Table(("part", "time", "share"), rows, caption)


def _time(value: float | None) -> str:
    return "not recorded" if value is None else page.seconds(value)


def _subtitle(run: PastRun) -> str:
    """Say what kind of run it is: "lenet5, notes on mnist"."""
    flat = run_folder.flatten(run.config)
    model, data = flat.get("model.preset", flat.get("model.target")), flat.get("data.name")
    return " on ".join(
        part
        for part in (
            ", ".join(map(page.shown, filter(None, (run.experiment, model)))),
            page.shown(data) if data else "",
        )
        if part
    )


def _sum_of_rows(run: PastRun, kind: str) -> float | None:
    spent = [row["seconds"] for row in run.rows if row.get("kind") == kind and "seconds" in row]
    return float(sum(filter(is_number, spent))) if any(map(is_number, spent)) else None


def _total(value: Any) -> float | None:
    if isinstance(value, Mapping):  # of several kinds of networks
        totals = [_total(part) for part in value.values()]
        return sum(part for part in totals if part is not None) or None
    if are_numbers(value):
        return float(sum(value))
    return float(value) if is_number(value) else None


def _share(value: float | None, whole: float | None) -> str:
    if value is None or not whole or value > whole:
        return NONE
    return f"{100 * value / whole:.0f} %"


def _config_table(table: Mapping[str, Any], caption: str) -> Table | None:
    return page.pairs(dict(table), heads=("key", "value"), caption=caption)


def _config_trouble(run: PastRun) -> str:
    """Say why the defaults of a config are unknown, "" where they are known."""
    try:
        configs.load(run.folder / run_folder.CONFIG)
    except configs.ConfigError as error:
        first = next(iter(str(error).splitlines()), "")
        return f"This version of conv_jax cannot read the config, so knows no defaults: {first}"
    return ""


def _environment(environment: Mapping[str, Any]) -> Table | None:
    ordered = {key: environment[key] for key in _ENVIRONMENT if key in environment}
    flat = run_folder.flatten({**ordered, **environment})
    flat = {_NAMES.get(k, k.removeprefix("packages.")): v for k, v in flat.items() if v != {}}
    if isinstance(flat.get("resumed"), list):
        flat["resumed"] = f"{len(flat['resumed'])} times"
    return page.pairs(flat, heads=("what", "value"), caption="What the numbers depend on")


def _files(run: PastRun, path: Path) -> list[tuple[str, str]]:
    """Return names and links of the other files of a run."""
    names = (run_folder.CONFIG, run_folder.ENVIRONMENT, run_folder.METRICS, run_folder.RESULT)
    present = [run.folder / name for name in (*names, "table.md")]
    return [(file.name, pictures.link(file, page=path)) for file in present if file.is_file()]
