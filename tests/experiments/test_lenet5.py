import os
from pathlib import Path

import jax
import numpy as np
import pytest
from rich.console import Console

from conv_jax import training
from experiments import config, images, lenet5

SMOKE = Path("configs/lenet5_smoke.toml")
TINY = ("model.channels=[1, 1]", "model.hidden=[2]")  # for what does not depend on the network
MNIST = Path(os.environ.get("CONV_JAX_DATA", "absent")) / "mnist"


class Memory:
    """A record that keeps what it is given."""

    def __init__(self):
        self.logged, self.pictures, self.results, self.files = [], {}, {}, {}

    def rows(self):
        return self.logged

    def report(self, results):
        self.results.update(results)

    def log(self, *rows):
        self.logged += rows

    def save_bytes(self, name, content):
        self.files[name] = content

    def save_figure(self, name, figure):
        self.pictures[name] = figure


def run(*overrides, path=SMOKE):
    record = Memory()
    task = lenet5.prepare(config.load(path, ["checkpoint.every=0", *overrides]))
    lenet5.run(task, record, Console(quiet=True))
    return record.results, record


@pytest.fixture(scope="module")
def two_seeds():
    """One run of two seeds."""
    return run("seeds=2", *TINY)


@pytest.fixture(scope="module")
def one_seed():
    """A run of the second of these seeds alone."""
    return run("seed=1", *TINY)


def test_result_is_of_every_seed_and_the_last_epoch(two_seeds):
    result, record = two_seeds
    rows = [row for row in record.logged if row["kind"] == "evaluate"]
    assert [(row["seed"], row["epoch"]) for row in rows] == [(0, 1), (1, 1), (0, 2), (1, 2)]
    assert result["accuracy"] == [row["accuracy"] for row in rows if row["epoch"] == 2]
    assert result["accuracy_mean"] == pytest.approx(np.mean(result["accuracy"]))
    assert result["accuracy_std"] == pytest.approx(np.std(result["accuracy"], ddof=1))


def test_one_seed_has_no_deviation(one_seed):
    result, _ = one_seed
    assert result["accuracy_std"] is None


def test_rows_count_steps(two_seeds):
    _, record = two_seeds
    rows = [row for row in record.logged if row["kind"] == "train" and row["seed"] == 0]
    assert [row["step"] for row in rows] == [8, 16]


def test_every_figure_is_drawn(two_seeds):
    _, record = two_seeds
    assert set(record.pictures) == {"curves", "kernels", "feature_maps", "confusion", "mistakes"}


def test_a_seed_among_others_gives_the_numbers_it_gives_alone(two_seeds, one_seed):
    (together, _), (alone, _) = two_seeds, one_seed
    assert alone["accuracy"][0] == together["accuracy"][1]
    # In each of 16 steps gradients sum 64 images of 32x32 in another order; roundings are
    # independent, so that their sum grows as a root.
    tolerance = 16 * np.sqrt(64 * 32 * 32) * float(np.finfo(np.float32).eps)
    assert alone["loss"][0] == pytest.approx(together["loss"][1], rel=tolerance)


def test_moments_are_those_of_the_grey_levels():
    grey = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), dtype=np.uint8)
    expected = grey.mean() / 255, grey.std() / 255
    np.testing.assert_allclose(images.moments(grey), expected, rtol=1e-12)


@pytest.mark.parametrize("grey", [0, 1, 77, 255])
def test_moments_of_one_grey_level_are_finite(grey):
    mean, std = images.moments(np.full((7, 9, 11, 1), grey, np.uint8))
    assert mean == pytest.approx(grey / 255)
    assert std > 0


class Seen(Exception):  # noqa: N818 - it is no error
    """The program of a training step, before it is compiled."""


def look(state, data, *, train_step, batch_size, **_):
    """Stand in for `training.train`, and raise what it would compile."""
    batch = jax.tree.map(lambda array: array[:batch_size], data)
    raise Seen(str(jax.make_jaxpr(train_step)(state, batch)))


def program(*overrides):
    """Return the program which trains with some overrides, not compiled."""
    task = lenet5.prepare(config.load(SMOKE, overrides))
    params = jax.eval_shape(task.model.init, jax.random.key(0))
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), params)
    task = task._replace(model=task.model._replace(init=lambda key: zeros))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "train", look)
        with pytest.raises(Seen) as seen:
            lenet5.train_seed(task, 0, record=Memory(), console=Console(quiet=True))
    return str(seen.value)


@pytest.fixture(scope="module")
def smoke_program():
    """The program which trains the smoke config."""
    return program()


@pytest.mark.parametrize(
    ("preset", "operations"),
    [
        ("notes", {"relu": True, "tanh": False, "logistic": False}),
        ("lecun1998", {"relu": False, "tanh": True, "logistic": False}),
        ("d2l", {"relu": False, "tanh": False, "logistic": True}),
    ],
    ids=["notes", "lecun1998", "d2l"],
)
def test_a_preset_is_what_trains(preset, operations, smoke_program):
    text = smoke_program if preset == "notes" else program(f"model.preset={preset}")
    assert {name: name in text for name in operations} == operations


def test_the_small_network_trains_and_is_drawn():
    overrides = ("model.preset=small", "model.stages=[[2], [3]]", "train.epochs=1")
    result, record = run(*overrides, "data.train_size=128")
    assert result["num_params"] == 20 + 57 + 40
    assert result["epochs"] == 1
    assert set(record.pictures) == {"curves", "kernels", "feature_maps", "confusion", "mistakes"}
    assert "SmallNet on digits" in record.pictures["curves"].get_suptitle()


@pytest.mark.parametrize(
    "override", ["model.hidden=[3]", "model.pooling=avg", "model.channels=[2, 3]"]
)
def test_the_small_network_has_not_the_options_of_lenet5(override):
    with pytest.raises(config.ConfigError, match=r"model\.\w+: unknown key"):
        config.load(SMOKE, ["model.preset=small", override])


@pytest.mark.parametrize(
    "override",
    [
        "optimizer.clip_norm=1",
        "train.average_decay=0.9",
        "train.label_smoothing=0.1",
        "augment.shift=2",
    ],
)
def test_options_reach_the_training_step(override, smoke_program):
    assert program(override) != smoke_program


def test_a_program_does_not_depend_on_when_it_is_read(smoke_program):
    assert program() == smoke_program


def test_the_moving_average_is_what_is_evaluated(monkeypatch):
    train, last = training.train, []

    def watched(*arguments, **options):
        for state, interval in train(*arguments, **options):
            last[:] = jax.device_get((state.params, state.average))
            yield state, interval

    monkeypatch.setattr(training, "train", watched)
    overrides = ("train.average_decay=0.9", "train.epochs=1", "model.preset=d2l")
    task = lenet5.prepare(config.load(SMOKE, [*overrides, *TINY]))

    outcome = lenet5.train_seed(task, 0, record=Memory(), console=Console(quiet=True))

    params, average = last
    jax.tree.map(np.testing.assert_array_equal, outcome.params, average)
    assert (outcome.params["fc1"]["kernel"] != params["fc1"]["kernel"]).any()


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


def test_a_run_that_did_not_learn_is_warned_of(monkeypatch):
    def train(state, *_, **__):
        for step, loss in ((8, 1.0), (16, 2.0)):
            measured = {"loss": np.float32([loss])}
            yield state, training.Interval(1, step, measured, 0.1, step == 16, diverged={})

    measured = {"loss": 2.0, "accuracy": 0.1}
    monkeypatch.setattr(training, "train", train)
    monkeypatch.setattr(training, "evaluate", lambda *_, **__: (measured, np.zeros((360, 10))))
    console = Console(width=200)
    with console.capture() as capture:
        task = lenet5.prepare(config.load(SMOKE, TINY))
        lenet5.train_seed(task, 0, record=Memory(), console=console)
    assert "warning: seed 0 did not learn: its training loss rose from 1 to 2" in capture.get()


@pytest.mark.skipif(not MNIST.is_dir(), reason="CONV_JAX_DATA names no folder with mnist/")
def test_mnist_is_learned_from_a_sixteenth_of_its_images():
    result, _ = run(
        *("data.train_size=3840", "train.epochs=1", "seeds=1", "data.download=false"),
        # The config's rate is for 4,680 steps: within 30, some seeds never leave chance.
        "optimizer.learning_rate=0.02",
        path=Path("configs/lenet5_mnist.toml"),
    )
    assert result["num_images"] == 10_000
    assert result["accuracy_mean"] > 0.5  # chance is 0.1
