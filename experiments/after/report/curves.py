"""Curves of a page: the mean over seeds with a band, as SVG, and their legend."""

import collections
import re
from collections.abc import Mapping, Sequence, Set
from typing import Literal, NamedTuple

import numpy as np
from markupsafe import Markup

from conv_jax import plots
from experiments.after import past_runs
from experiments.after.past_runs import PastRun
from experiments.running.vector_figures import svg

_MOST_LINES = 12
_MOST_POINTS = 300
_GREATEST = 1e30  # beyond it a loss has diverged, and scales have no ticks

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


def of_runs(runs: Mapping[str, PastRun]) -> Curves | None:
    """Return the curves of some runs, a line for each of their settings.

    Args:
      runs: read by `past_runs.read`, by what the legend calls them; "" for the only one.

    Returns:
      The curves; None where the rows tell nothing.
    """
    losses, errors = dict[str, list[Line]](), dict[str, list[Line]]()
    for name, run in runs.items():
        losses |= _by_setting(name, past_runs.curves(run, kind="train", column="loss"))
        errors |= _by_setting(name, _errors(run))
    return _drawn(losses, errors)


def _errors(run: PastRun) -> dict[str, Line]:
    lines = past_runs.curves(run, kind="evaluate", column="accuracy")
    return {name: [(x, 100 * (1 - value)) for x, value in line] for name, line in lines.items()}


def _by_setting(name: str, lines: Mapping[str, Line]) -> dict[str, list[Line]]:
    """Gather the seeds of each setting of a run."""
    gathered = collections.defaultdict(list)
    for identity, line in lines.items():
        setting = re.sub(r"^seed \S+?(, |$)", "", identity)
        gathered[": ".join(filter(None, (name, setting)))].append(line)
    return gathered


def _drawn(
    losses: Mapping[str, Sequence[Line]], errors: Mapping[str, Sequence[Line]]
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
    keys = [_key(index, name) for index, name in enumerate(drawn)]
    seeds = {len(group) for groups in (losses, errors) for group in groups.values() if group}
    caption = _caption(names, seeds)
    if any(errors.values()):
        caption += " The error is 100 % less the accuracy on the evaluated images."
    return Curves(panels, keys if len(keys) > 1 else [], caption)


def _band(lines: Sequence[Line]) -> plots.Band:
    """Return mean, least and greatest at every epoch that a line has, at most so many of them."""
    values = collections.defaultdict(list)
    for line in lines:
        for x, value in line:
            if max(abs(x), abs(value)) < _GREATEST:
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


def _caption(names: Sequence[str], seeds: Set[int]) -> str:
    band = (
        f"each line is the mean over {'up to ' if len(seeds) > 1 else ''}{max(seeds)} seeds, and "
        "the band reaches from the least of them to the greatest"
        if max(seeds) > 1
        else "one seed, so no band"
    )
    left_out = len(names) - _MOST_LINES
    more = f"the first {_MOST_LINES} of {len(names)} are drawn" if left_out > 0 else ""
    text = "; ".join(part for part in (band, more) if part)
    return f"{text[0].upper()}{text[1:]}. Logarithmic scales."
