from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from experiments import config, receptive_fields
from experiments.record import Record

CONFIG = Path("configs/receptive_fields.toml")
SHORT = (
    "seeds=2",
    "num_images=3",
    "train.epochs=1",
    "data.train_size=192",
    "model.channels=[2, 2]",
)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """What a short run printed, its result and its folder."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    loaded = config.load(CONFIG, SHORT)
    task = receptive_fields.prepare(loaded)
    record = Record(folder, config.dump(loaded))
    console = Console(width=200, markup=False, highlight=False)
    with console.capture() as capture:
        receptive_fields.run(task, record, console)
    return capture.get(), record.results, folder


def test_every_layer_is_reported_with_its_field(short):
    _, result, _ = short
    sizes = {row["name"]: (row["size"], row["jump"]) for row in result["layers"]}
    assert sizes == {
        "conv1": ((5, 5), (1, 1)),
        "pool1": ((6, 6), (2, 2)),
        "conv2": ((14, 14), (2, 2)),
        "pool2": ((16, 16), (4, 4)),
        "fc1": ((32, 32), (0, 0)),
        "logits": ((32, 32), (0, 0)),
    }


def test_every_seed_is_measured_before_and_after_training(short):
    _, result, _ = short
    before, after = (
        np.array([row[f"radius_{when}"] for row in result["layers"]])
        for when in ("before", "after")
    )
    assert before.shape == after.shape == (6, 2)
    assert (before != after).all()
    assert (before[:, 0] != before[:, 1]).all()


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_matters_lies_within_the_field(short, when):
    _, result, _ = short
    for row in result["layers"]:
        # A square is at most as wide as its corners are apart, and its radius half of that.
        assert 0 < max(row[f"radius_{when}"]) <= (row["size"][0] - 1) / np.sqrt(2)
        assert 1 <= max(row[f"side_{when}"]) <= row["size"][0]


def test_a_table_is_printed(short):
    printed, result, _ = short
    line = next(line for line in printed.splitlines()[::-1] if line.startswith("pool2"))
    assert line.split()[:2] == ["pool2", "16x16"]
    radii = next(row["radius_before"] for row in result["layers"] if row["name"] == "pool2")
    assert f"{np.mean(radii):.2f} +- {np.std(radii, ddof=1):.2f}" in line


@pytest.mark.parametrize("name", ["fields", "effective", "radii"])
def test_figures_are_written(short, name):
    *_, folder = short
    assert (folder / "figures" / f"{name}.png").stat().st_size > 5000


def test_more_images_than_there_are_is_a_mistake():
    with pytest.raises(ValueError, match="num_images: expected at most 360, got 361"):
        receptive_fields.prepare(config.load(CONFIG, ["num_images=361"]))
