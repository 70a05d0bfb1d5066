import json
from pathlib import Path

import jax
import numpy as np
import pytest
from rich.console import Console

from experiments import __main__ as command_line
from experiments import config, lenet5, lenet5_training, sweep
from experiments.record import Record

SMOKE = Path("configs/lenet5_smoke.toml")
TINY = ("model.channels=[1, 1]", "model.hidden=[2]", "data.train_size=256")
AXES = (
    "seeds=2",
    "sweep.optimizer.learning_rate=[1e-3, 3e-2, 1e30]",
    'sweep.model.activation=["relu", "tanh"]',
)


def rates_of(group):
    return [numbers["optimizer.learning_rate"] for numbers in group.numbers]


def test_numbers_share_a_program_and_words_do_not():
    swept = sweep.load(SMOKE, AXES)
    assert [group.shared for group in swept.groups] == [
        {"model.activation": "relu"},
        {"model.activation": "tanh"},
    ]
    assert all(rates_of(group) == [1e-3, 3e-2, 1e30] for group in swept.groups)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "sweep: expected a config of lenet5 with a table of lists"),
        (
            ["sweep.train.epochs=3"],
            "sweep.train.epochs: expected a list of one value or more, .* 3",
        ),
        (
            ["sweep.train.epochs=[]"],
            "override 'sweep.train.epochs=.*': sweep.train.epochs: expected",
        ),
        (["sweep.train.epochs=[1, 1]"], "sweep.train.epochs: expected a list of .* each another"),
        (
            ["sweep.train.epochs=[1, 0]"],
            r"override 'sweep.train.epochs=\[1, 0\]': sweep.train.epochs: .* equal to 1, got 0",
        ),
        (["sweep.optimizer.learing_rate=[1, 2]"], "did you mean 'learning_rate'"),
    ],
    ids=["none", "number", "empty", "repeated", "out_of_range", "unknown"],
)
def test_a_mistake_is_named_before_anything_is_trained(overrides, message):
    with pytest.raises(config.ConfigError, match=message):
        sweep.load(SMOKE, overrides)


def test_run_names_the_command_for_sweeps(capsys):
    assert command_line.main(["run", str(SMOKE), *AXES]) == command_line.MISTAKE
    assert "sweep: several settings, which `python -m experiments sweep`" in capsys.readouterr().err


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The folder of a sweep over three rates and two activations, with two seeds each."""
    folder = tmp_path_factory.mktemp("sweep") / "out"
    assert command_line.main(["sweep", str(SMOKE), *TINY, *AXES, "--out", str(folder)]) == 0
    return folder


def results(folder):
    return json.loads((folder / "result.json").read_text())["settings"]


def test_every_setting_has_a_line_in_the_order_of_the_axes(swept):
    settings = [tuple(line["setting"].values()) for line in results(swept)]
    assert settings == [(r, a) for r in (1e-3, 3e-2, 1e30) for a in ("relu", "tanh")]


def test_what_diverged_is_counted_and_not_averaged(swept):
    diverged = [(line["diverged"], line["accuracy"] is None) for line in results(swept)]
    assert diverged[:4] == [(0, False)] * 4
    assert all(count > 0 for count, _ in diverged[4:5])
    assert "diverged" in (swept / "table.md").read_text()


class Memory:
    """A record that keeps nothing."""

    def log(self, *rows):
        pass


def test_a_cell_is_what_a_run_of_it_gives(swept):
    line = results(swept)[3]  # the rate 0.03 with tanh
    overrides = ("model.activation=tanh", "optimizer.learning_rate=3e-2", *TINY)
    task = lenet5.prepare(config.load(SMOKE, overrides))
    outcomes = [
        lenet5.train_seed(task, seed, record=Memory(), console=Console(quiet=True))
        for seed in (0, 1)
    ]
    accuracies = [outcome.evaluations[-1]["accuracy"] for outcome in outcomes]
    one_image = 1 / len(task.test.labels)
    assert line["accuracy"]["mean"] == pytest.approx(np.mean(accuracies), abs=1.01 * one_image)
    assert len(set(accuracies)) == 2


def test_nothing_finished_is_trained_again(swept, monkeypatch):
    (swept / "result.json").unlink()  # as if the process had ended just before
    before = (swept / "metrics.jsonl").read_bytes()

    def refuse(*_, **__):
        raise AssertionError("trained again")

    loaded = sweep.load(SMOKE, [*TINY, *AXES])
    record = Record(swept, config.dump(loaded.config), resume=True)
    monkeypatch.setattr("conv_jax.training._steps", refuse)
    with record.running():
        sweep.run(loaded, record, Console(quiet=True))
    assert (swept / "metrics.jsonl").read_bytes() == before
    assert len(results(swept)) == 6


@pytest.mark.parametrize("key", sorted(sweep.NUMBERS))
def test_every_number_may_be_traced(key):
    value = 2e-2 if key.startswith(("optimizer", "train")) else 0.5
    name = "adam" if key in ("optimizer.b1", "optimizer.b2") else "sgd"
    loaded = config.load(SMOKE, [*TINY, f"optimizer.name={name}", f"{key}={value}"])
    task = lenet5.prepare(loaded)
    network = lenet5_training.Network(0, settings={key: value})
    state = jax.eval_shape(lambda: lenet5_training.initial_state(task, [network]))
    batch = jax.tree.map(lambda array: array[:8], task.train)
    constant = jax.make_jaxpr(task.train_step)(state._replace(settings={}), batch)
    traced = jax.make_jaxpr(task.train_step)(state, batch)
    (position,) = (
        i for i, leaf in enumerate(jax.tree.leaves(state)) if leaf is state.settings[key]
    )
    used = {str(v) for equation in traced.eqns for v in equation.invars}
    assert str(traced.jaxpr.invars[position]) in used
    assert str(constant) != str(traced)


@pytest.mark.parametrize(
    "axis",
    ["seed=[0, 1]", "seeds=[1, 2]", "data.holdout=[0, 9]", "sweep.train.epochs=[1]", "devices=[1]"],
)
def test_what_all_settings_share_is_no_axis(axis):
    with pytest.raises(config.ConfigError, match=r"sweep\.[\w.]+: the same for all settings"):
        sweep.load(SMOKE, [f"sweep.{axis}"])
