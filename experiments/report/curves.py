"""Curves of a page: the mean over seeds with a band, as SVG, and their legend."""

import collections
import re
from collections.abc import Mapping, Sequence, Set
from typing import Literal, NamedTuple

import numpy as np
from markupsafe import Markup

from conv_jax import plots
from experiments import past_runs
from experiments.past_runs import PastRun
from experiments.running.vector_figures import svg

_MOST_LINES = 12
_MOST_POINTS = 300

Line = list[tuple[float, float]]  # (epoch, value)


class Key(NamedTuple):
    """An entry of the legend."""

    label: str
    colour: str
    dashes: str


class Curves(NamedTuple):
    """What a page shows of the training of some networks."""

    panels: list[tuple[str, Markup]]  # what it shows in words, and the drawing
    keys: list[Key]  # none for a single line
    caption: str


def of_run(run: PastRun) -> Curves | None:
    """Return the curves of a run, a line for each setting; None where its rows tell nothing."""
    losses, errors = _losses(run), _errors(run)
    return _drawn(_by_setting(losses), _by_setting(errors), num_runs=1)


def of_runs(runs: Mapping[str, PastRun]) -> Curves | None:
    """Return the curves of several runs by their names, a line for each."""
    losses = {name: list(_losses(run).values()) for name, run in runs.items()}
    errors = {name: list(_errors(run).values()) for name, run in runs.items()}
    return _drawn(losses, errors, num_runs=len(runs))


def _losses(run: PastRun) -> dict[str, Line]:
    return past_runs.curves(run, kind="train", column="loss")


def _errors(run: PastRun) -> dict[str, Line]:
    lines = past_runs.curves(run, kind="evaluate", column="accuracy")
    return {name: [(x, 100 * (1 - value)) for x, value in line] for name, line in lines.items()}


def _by_setting(lines: Mapping[str, Line]) -> dict[str, list[Line]]:
    """Gather the seeds of each setting."""
    gathered = collections.defaultdict(list)
    for identity, line in lines.items():
        gathered[re.sub(r"^seed \S+?(, |$)", "", identity)].append(line)
    return gathered


def _drawn(
    losses: Mapping[str, Sequence[Line]], errors: Mapping[str, Sequence[Line]], *, num_runs: int
) -> Curves | None:
    names = [name for name in {**losses, **errors} if losses.get(name) or errors.get(name)]
    drawn, panels = names[:_MOST_LINES], []
    for quantity, groups in (("training loss", losses), ("error (%)", errors)):
        bands = [_band(groups.get(name, [])) for name in drawn]
        if any(len(band.x) for band in bands):
            figure = plots.bands(bands, xlabel="epoch", ylabel=quantity, scale=_scale(bands))
            panels.append((_described(quantity, drawn, bands), Markup(svg(figure, name=quantity))))
    if not panels:
        return None
    keys = [_key(index, name or "this run") for index, name in enumerate(drawn)]
    seeds = {len(group) for groups in (losses, errors) for group in groups.values() if group}
    caption = _caption(names, seeds, num_runs)
    if any(errors.values()):
        caption += " The error is 100 % less the accuracy on the evaluated images."
    return Curves(panels, keys if len(keys) > 1 else [], caption)


def _band(lines: Sequence[Line]) -> plots.Band:
    """Return mean, least and greatest at every epoch that a line has, at most so many of them."""
    values = collections.defaultdict(list)
    for line in lines:
        for x, value in line:
            values[x].append(value)
    every = -(-len(values) // _MOST_POINTS) or 1
    x = sorted(values)[::-every][::-1]  # the last one is among them
    low, mean, high = (np.array([f(values[place]) for place in x]) for f in (min, np.mean, max))
    return plots.Band(np.array(x, float), low, mean, high)


def _scale(bands: Sequence[plots.Band]) -> Literal["log", "symlog"]:
    """Return the scale of some lines, with a place for 0 if one of them reaches it."""
    return "log" if all((band.low > 0).all() for band in bands) else "symlog"


def _key(index: int, label: str) -> Key:
    colour, dashes = plots.band_style(index)
    return Key(label, colour, " ".join(map(str, dashes)) or "none")


def _described(quantity: str, names: Sequence[str], bands: Sequence[plots.Band]) -> str:
    """Say a panel in words, for those who do not see it."""
    ends = [
        f"{name + ': ' if name else ''}{band.mean[0]:.3g} at first, {band.mean[-1]:.3g} at last"
        for name, band in zip(names, bands, strict=True)
        if len(band.x)
    ]
    return f"{quantity} against the epoch: {'; '.join(ends)}"


def _caption(names: Sequence[str], seeds: Set[int], num_runs: int) -> str:
    what = "one line a run" if num_runs > 1 else "one line a setting" if len(names) > 1 else ""
    band = (
        f"the line is the mean over {'up to ' if len(seeds) > 1 else ''}{max(seeds)} seeds, and "
        "the band reaches from the least of them to the greatest"
        if max(seeds) > 1
        else "one seed, so no band"
    )
    left_out = len(names) - _MOST_LINES
    more = f"the first {_MOST_LINES} of {len(names)} are drawn" if left_out > 0 else ""
    text = "; ".join(part for part in (what, band, more) if part)
    return f"{text[0].upper()}{text[1:]}. Logarithmic scales."
