from pathlib import Path

import jax
import numpy as np
import pytest
from rich.console import Console

from conv_jax import corr2d
from experiments import config, learn_kernel
from experiments.record import Record

CHAPTER_LOSSES = [
    23.584481099119426,
    3.9607391083212136,
    0.6661072908585268,
    0.11241184883977695,
    0.01912891086388413,
]


class Undrawn(Record):
    """A record that saves no figures, which takes longer than to learn a kernel."""

    def save_figure(self, name, figure):
        pass


def run(name, folder, *overrides, record=Undrawn):
    """Run a committed config; return what it printed, and its result."""
    loaded = config.load(Path(f"configs/{name}.toml"), overrides)
    task = learn_kernel.prepare(loaded)
    record = record(folder, config.dump(loaded))
    console = Console(width=200, markup=False, highlight=False)
    with console.capture() as capture:
        learn_kernel.run(task, record, console)
    return capture.get().splitlines(), record.results


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    """The folder of a run of the notes' config, what it printed, and its result."""
    folder = tmp_path_factory.mktemp("notes") / "run"
    return folder, *run("learn_kernel", folder, record=Record)


@pytest.fixture(scope="module")
def chapter(tmp_path_factory):
    """What a run of the chapter's config printed, and its result."""
    return run("learn_kernel_convolution", tmp_path_factory.mktemp("chapter") / "run")


def test_the_notes_trace(notes):
    _, printed, _ = notes
    assert printed == [
        "Epoch 5, loss 0.743",
        "Epoch 10, loss 0.025",
        "Epoch 15, loss 0.002",
        "Epoch 20, loss 0.000",
        "kernel [[1.0013, -0.9983]]",
    ]


def test_the_notes_trace_depends_on_the_initial_kernel(tmp_path):
    overrides = ["model.initial=[[-0.16, 0.44]]", "train.epochs=5"]
    printed, _ = run("learn_kernel", tmp_path / "run", *overrides)
    assert printed[0] != "Epoch 5, loss 0.743"


def test_the_chapters_losses(chapter):
    printed, _ = chapter
    losses = [float(line.split()[-1]) for line in printed[:5]]
    np.testing.assert_allclose(losses, CHAPTER_LOSSES, rtol=2e-6)
    assert [line.split()[1] for line in printed[:5]] == ["2", "4", "6", "8", "10"]


def test_strict_convolution_learns_the_flip(chapter):
    printed, result = chapter
    assert printed[-1] == "kernel [[-0.972548, 0.97696]]"
    assert result["largest_error"] == pytest.approx(1 - 0.972548, abs=1e-6)


def test_a_3x3_kernel_is_learned_from_crops_of_a_natural_image(tmp_path):
    _, result = run("learn_kernel_natural", tmp_path / "run")
    assert result["largest_error"] < 1e-3


@pytest.mark.parametrize("target", ["laplacian", "box", "gaussian", "[[0.5, 0], [0, -2]]"])
def test_any_target_can_be_named_or_given(tmp_path, target):
    _, result = run("learn_kernel_natural", tmp_path / "run", f"model.target={target}")
    assert result["largest_error"] < 0.01


def test_loss_follows_the_closed_form(notes):
    """With s = a + b and d = a - b - 2: loss = 15 s^2 + 3 d^2, s <- -0.8 s, d <- 0.64 d."""
    *_, result = notes
    a, b = -0.1705, 0.4315
    s, d = (a + b) * (-0.8) ** 19, (a - b - 2) * 0.64**19
    assert result["last_loss"] == pytest.approx(15 * s**2 + 3 * d**2, rel=1e-3)


def test_the_seed_gives_the_initial_kernel():
    path = Path("configs/learn_kernel_natural.toml")
    first, again, other = (
        learn_kernel.prepare(config.load(path, [f"seed={seed}"])).initial for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (np.asarray(first) != np.asarray(other)).any()


def test_outputs_are_the_targets_correlations():
    task = learn_kernel.prepare(config.load(Path("configs/learn_kernel_natural.toml")))
    np.testing.assert_array_equal(task.data.labels, corr2d(task.data.images, task.target))


def test_power_law_image_has_the_named_spectrum():
    image = learn_kernel.power_law_image(jax.random.key(0), size=256)
    power = np.abs(np.fft.fft2(np.asarray(image))) ** 2
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None])
    band = (frequency > 0.02) & (frequency < 0.5)
    slope, _ = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)
    assert slope == pytest.approx(-2, abs=0.05)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.initial=[[1]]", r"model.initial: expected shape \(1, 2\), got \(1, 1\)"),
        ("data.batch_size=2", "data.batch_size: expected at most 1, got 2"),
        (
            "model.target=[[1],[1],[1],[1],[1],[1],[1]]",
            r"model.target: expected a kernel within the image \(6, 8\), got \(7, 1\)",
        ),
    ],
    ids=["initial", "batch", "kernel"],
)
def test_a_mistake_is_named(override, message):
    with pytest.raises(ValueError, match=message):
        learn_kernel.prepare(config.load(Path("configs/learn_kernel.toml"), [override]))


@pytest.mark.parametrize("name", ["loss", "kernel", "path"])
def test_figures_are_written(notes, name):
    folder, *_ = notes
    assert (folder / "figures" / f"{name}.png").stat().st_size > 5000
