import os
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from experiments import config, lenet5

SMOKE = Path("configs/lenet5_smoke.toml")
MNIST = Path(os.environ.get("CONV_JAX_DATA", "absent")) / "mnist"


class Memory:
    """A record that keeps what it is given."""

    def __init__(self):
        self.rows, self.pictures, self.results = [], {}, {}

    def report(self, results):
        self.results.update(results)

    def log(self, row):
        self.rows.append(row)

    def save_figure(self, name, figure):
        self.pictures[name] = figure


def run(*overrides, path=SMOKE):
    record = Memory()
    task = lenet5.prepare(config.load(path, overrides))
    lenet5.run(task, record, Console(quiet=True))
    return record.results, record


@pytest.fixture(scope="module")
def smoke():
    """One run of two seeds."""
    return run("seeds=2")


def test_smoke_run_learns(smoke):
    result, _ = smoke
    assert min(result["accuracy"]) > 0.5  # chance is 0.1


def test_result_is_of_every_seed_and_the_last_epoch(smoke):
    result, record = smoke
    rows = [row for row in record.rows if row["kind"] == "evaluate"]
    assert [(row["seed"], row["epoch"]) for row in rows] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert result["accuracy"] == [row["accuracy"] for row in rows if row["epoch"] == 2]
    assert result["accuracy_mean"] == pytest.approx(np.mean(result["accuracy"]))
    assert result["accuracy_std"] == pytest.approx(np.std(result["accuracy"], ddof=1))


def test_one_seed_has_no_deviation():
    result, _ = run("train.epochs=1")
    assert result["accuracy_std"] is None


def test_rows_count_steps(smoke):
    _, record = smoke
    rows = [row for row in record.rows if row["kind"] == "train" and row["seed"] == 0]
    assert [row["step"] for row in rows] == [8, 16]


def test_every_figure_is_drawn(smoke):
    _, record = smoke
    assert set(record.pictures) == {"curves", "kernels", "feature_maps", "confusion", "mistakes"}


def test_the_same_seed_gives_the_same_numbers(smoke):
    result, _ = smoke
    again, _ = run("seed=1")
    assert again["accuracy"][0] == result["accuracy"][1]
    assert again["loss"][0] == result["loss"][1]


def test_moments_are_those_of_the_grey_levels():
    images = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), dtype=np.uint8)
    expected = images.mean() / 255, images.std() / 255
    np.testing.assert_allclose(lenet5._moments(images), expected, rtol=1e-12)


@pytest.mark.parametrize("grey", [0, 1, 77, 255])
def test_moments_of_one_grey_level_are_finite(grey):
    mean, std = lenet5._moments(np.full((7, 9, 11, 1), grey, np.uint8))
    assert mean == pytest.approx(grey / 255)
    assert std > 0


@pytest.mark.parametrize("preset", ["lecun1998", "d2l"])
def test_presets_train(preset):
    result, _ = run(f"model.preset={preset}", "train.epochs=1")
    assert result["num_params"] == 61_706


@pytest.mark.parametrize(
    "override",
    [
        "optimizer.clip_norm=1",
        "train.average_decay=0.9",
        "train.label_smoothing=0.1",
        "augment.shift=2",
    ],
)
def test_options_change_the_result(smoke, override):
    changed, _ = run(override)
    assert changed["loss"][0] != smoke[0]["loss"][0]


def test_holdout_never_evaluates_on_the_test_set():
    loaded = config.load(SMOKE, ["data.holdout=100"])
    held, whole = lenet5.prepare(loaded), lenet5.prepare(config.load(SMOKE))
    test_images = {image.tobytes() for image in np.asarray(whole.test.images)}
    assert held.evaluated_on == "held-out training"
    assert len(held.test.labels) == 100
    assert not any(image.tobytes() in test_images for image in np.asarray(held.test.images))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.holdout=1437", "data.holdout: expected fewer than 1437 images, got 1437"),
        ("data.train_size=1438", "data.train_size: expected at most 1437, got 1438"),
        ("data.batch_size=600", "data.batch_size: expected at most 512, got 600"),
        ("data.name=idx", "data.root: expected the folder of your files"),
    ],
)
def test_a_mistake_about_the_data_is_named(override, message):
    with pytest.raises(ValueError, match=message):
        lenet5.prepare(config.load(SMOKE, [override]))


@pytest.mark.skipif(not MNIST.is_dir(), reason="CONV_JAX_DATA names no folder with mnist/")
def test_mnist_is_learned_from_a_fiftieth_of_its_images():
    result, _ = run(
        *("data.train_size=1280", "train.epochs=3", "seeds=1", "data.download=false"),
        # The config's rate is for 4,680 steps: within 30, some seeds never leave chance.
        "optimizer.learning_rate=0.02",
        path=Path("configs/lenet5_mnist.toml"),
    )
    assert result["num_images"] == 10_000
    assert result["accuracy_mean"] > 0.5  # chance is 0.1
