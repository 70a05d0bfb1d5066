"""What the layers of a run's network can see of an image."""

from collections.abc import Iterator
from typing import Any

from conv_jax import receptive_field
from conv_jax.receptive_field import Field, conv, pool
from experiments import config as configs
from experiments.after.past_runs import PastRun
from experiments.after.report.page import NONE, Table
from experiments.running import run_folder

_DEFAULT_STAGES = ((8,), (16, 16), (16, 16))  # of `models.SmallNet`


def table(run: PastRun) -> Table | None:
    """Return the receptive fields of the convolutions and pools, None without such a network."""
    model = _model(run)
    if model is None:
        return None
    fields = receptive_field(list(_layers(model)))
    rows = [
        [
            field.name,
            "\N{MULTIPLICATION SIGN}".join(map(str, field.size)),
            str(field.jump[0]),
            _span(field),
        ]
        for field in fields
    ]
    heads = ("layer", "field (pixels)", "jump (pixels)", "the first output sees")
    return Table(heads, rows, "Receptive fields; the layers behind them see the whole image")


def _model(run: PastRun) -> Any:
    """Return the table `model` of a config that can be read, with all defaults."""
    try:
        config = configs.load(run.folder / run_folder.CONFIG)
    except configs.ConfigError:
        return None
    model = getattr(config, "model", None)
    return model if hasattr(model, "preset") else None


def _layers(model: Any) -> Iterator[Any]:
    """Yield what `models.LeNet5` or `models.SmallNet` does before all of the image is seen."""
    stages = ((None,), (None,))
    size, is_small = 5, model.preset == "small"
    if is_small:
        size, stages = 3, model.stages or _DEFAULT_STAGES
    number = 0
    for stage, channels in enumerate(stages, 1):
        for _ in channels:
            number += 1
            yield conv(size, name=f"conv{number}")
        if stage < len(stages) or not is_small:
            yield pool(2, name=f"pool{stage}")


def _span(field: Field) -> str:
    first, size = field.start[0], field.size[0]
    return NONE if first is None else f"{first} to {first + size - 1}"
