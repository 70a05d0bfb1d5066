"""Run folders written by hand, for the tests of their pages: no training, some milliseconds."""

import json
from pathlib import Path

import numpy as np
import tomli_w
from matplotlib.figure import Figure

from experiments import config
from experiments.running.vector_figures import svg

ENVIRONMENT = {
    "time": "2026-01-02T03:04:05+00:00",
    "command": "python -m experiments run configs/lenet5_smoke.toml",
    "commit": "0123456789abcdef",
    "packages": {"conv_jax": "0.1.0", "jax": "0.10.2"},
}


def rows(accuracies, *, setting=None):
    """Return the rows of two epochs of a network for every accuracy, the last one's."""
    named = {"setting": setting} if setting else {}
    return [
        row
        for seed, accuracy in enumerate(accuracies)
        for epoch in (1, 2)
        for row in (
            {"kind": "train", "seed": seed, **named, "epoch": epoch, "step": 8 * epoch}
            | {"loss": 1 / epoch + seed / 10, "seconds": 0.5},
            {"kind": "evaluate", "seed": seed, **named, "epoch": epoch, "seconds": 0.25}
            | {"accuracy": accuracy * epoch / 2, "loss": 0.3},
        )
    ]


def result(accuracies, **more):
    """Return what result.json says of a finished run."""
    return {
        "status": "finished",
        "experiment": "lenet5",
        "evaluated_on": "test",
        "seeds": list(range(len(accuracies))),
        "accuracy": list(accuracies),
        "loss": [0.3] * len(accuracies),
        "train_seconds": [1.0] * len(accuracies),
        "compile_seconds": 2.0,
        "wall_seconds": 10.0,
        **more,
    }


def picture(name):
    """Return a figure with a text, an image and a line."""
    figure = Figure(figsize=(3, 2))
    left, right = figure.subplots(1, 2)
    left.imshow(np.arange(6.0).reshape(2, 3))
    left.text(0, 0, "on the picture", color="0.1")
    right.plot([0, 1], [1, 0], color="black", label="a line")
    right.legend()
    right.set_title(name)
    return figure


def write(folder, *, table=None, lines=(), results=None, pictures=(), overrides=()):
    """Write the folder of a run of lenet5, or of the experiment of a table."""
    (folder / "figures").mkdir(parents=True)
    asked = table or config.dump(config.load(Path("configs/lenet5_smoke.toml"), overrides))
    (folder / "config.toml").write_text(tomli_w.dumps(asked), encoding="utf-8")
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT), encoding="utf-8")
    if lines:
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "metrics.jsonl").write_text(text, encoding="utf-8")
    if results is not None:
        (folder / "result.json").write_text(json.dumps(results), encoding="utf-8")
    for name in pictures:
        figure = picture(name)
        figure.savefig(folder / "figures" / f"{name}.png")
        drawing = svg(figure, name=name)
        (folder / "figures" / f"{name}.svg").write_text(drawing, encoding="utf-8")
    return folder
