import itertools
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import config, lenet5, step_profile
from experiments.__main__ import main
from experiments.after import past_runs, weights
from experiments.lenet5_training import Network, initial_state

SMOKE = "configs/lenet5_smoke.toml"
# One convolution, one dense layer: half as many programs to compile as LeNet5 has.
TINY = ("model={preset='small', stages=[[1]]}", "data.train_size=128")


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    """The folder of a profile of a tiny network."""
    folder = tmp_path_factory.mktemp("profile") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_profile, "ROUNDS", 3)
        assert main(["profile", SMOKE, *TINY, "--steps", "2", "--out", str(folder)]) == 0
    return folder


def stages_of(folder):
    return [tuple(s.values()) for s in json.loads((folder / "result.json").read_text())["stages"]]


def test_the_stages_are_those_of_the_step_in_its_order():
    lenet5_task = lenet5.prepare(config.load(Path(SMOKE), ["augment.shift=1"]))
    assert list(step_profile.beginnings(lenet5_task)) == [
        *("input", "augmentation", "conv1", "pool1", "conv2", "pool2", "fc1", "logits", "loss"),
        *("gradient of fc2", "gradient of fc1"),
        *("back to conv2", "gradient of conv2"),
        *("back to conv1", "gradient of conv1"),
        "optimizer and the rest",
    ]


def test_a_stage_that_a_config_has_not_is_left_out(profiled):
    assert [name for name, _, _ in stages_of(profiled)] == [
        *("input", "conv1", "mean", "logits", "loss", "gradient of fc"),
        *("back to conv1", "gradient of conv1", "optimizer and the rest"),
    ]


@pytest.fixture
def measured(monkeypatch):
    """The stages of a step of two programs whose times are known, of two steps a call."""
    times = {"input": [2.0, 4.0, 6.0], "rest": [14.0, 8.0, 20.0]}
    monkeypatch.setattr(step_profile, "beginnings", lambda task: dict.fromkeys(times))
    monkeypatch.setattr(step_profile, "loop", lambda *_, steps: lambda: None)
    monkeypatch.setattr(step_profile, "time_in_turns", lambda *_, **__: times)
    return step_profile.measure(None, steps=2)


def test_the_stages_add_up_to_the_median_of_the_whole_step(measured):
    assert step_profile.total(measured) == 7.0


def test_a_stage_takes_what_its_program_takes_longer_than_the_one_before(measured):
    assert measured == [("input", 2.0, 1.0), ("rest", 5.0, 2.5)]


def test_the_groups_of_the_stages_add_up_to_the_step():
    names = [
        *("input", "conv1", "pool1", "conv2", "logits", "loss", "gradient of fc1"),
        *("back to conv1", "gradient of conv1", "optimizer and the rest"),
    ]
    stages = [step_profile.Stage(name, 2.0**n, 0.0) for n, name in enumerate(names)]
    grouped = step_profile.groups(stages)
    assert grouped == {
        "input": 1,
        "convolutions": 2 + 8 + 256,
        "pooling": 4,
        "dense layers": 16 + 64,
        "loss": 32,
        "back through pooling and convolutions": 128,
        "optimizer and the rest": 512,
    }
    assert sum(grouped.values()) == step_profile.total(stages)


def test_a_profile_is_no_run_of_training(profiled, tmp_path):
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(profiled / "config.toml", begun)
    assert past_runs.read(begun).state == "stopped"
    assert past_runs.how_to_go_on(past_runs.read(begun)) is None
    with pytest.raises(weights.WeightsError, match="one of profile"):
        weights.of_run(profiled)


def test_a_trace_is_written_that_perfetto_opens(profiled):
    (path,) = profiled.glob("trace/plugins/profile/*/perfetto_trace.json.gz")
    assert path.read_bytes()[:2] == b"\x1f\x8b"  # gzip


@pytest.fixture(scope="module")
def task():
    return lenet5.prepare(config.load(Path(SMOKE), TINY))


def test_the_last_program_takes_the_steps_of_training(task):
    run = step_profile.loop(task, task.train_step, steps=3)
    state, metrics = run()
    start = initial_state(task, [Network(0)])
    assert int(state.step) == 3
    assert np.isfinite(float(metrics["loss"]))
    moved = jax.tree.map(lambda a, b: float(abs(a - b).max()), state.params, start.params)
    assert min(jax.tree.leaves(moved)) > 0


def test_the_gradients_go_back_from_the_last_layer_to_all_parameters(task):
    params = initial_state(task, [Network(0)]).params
    reached = [indices for _, indices in step_profile._gradients(params)]
    assert sorted(reached[-1]) == list(range(len(jax.tree.leaves(params))))
    assert all(set(a) < set(b) for a, b in itertools.pairwise(reached))


def test_another_experiment_is_refused(tmp_path, capsys):
    path = "configs/learn_kernel.toml"
    assert main(["profile", path, "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err == f"{path}: experiment: expected 'lenet5', got 'learn_kernel'\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "override",
    ["sweep.optimizer.learning_rate=[0.1, 0.2]", "distributed={}"],
    ids=["sweep", "several"],
)
def test_what_trains_more_than_a_network_here_is_refused(tmp_path, capsys, override):
    assert main(["profile", SMOKE, override, "--out", str(tmp_path / "run")]) == 2
    assert "profile measures one network" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_failed_trace_leaves_the_measurement(tmp_path, capsys, monkeypatch):
    def fail(*_, **__):
        raise OSError("no space")

    monkeypatch.setattr(lenet5, "prepare", lambda config: None)
    stages = [step_profile.Stage("input", 0.25, 0.0)]
    monkeypatch.setattr(step_profile, "measure", lambda *_, **__: stages)
    monkeypatch.setattr(step_profile, "trace", fail)
    with pytest.raises(OSError, match="no space"):
        main(["profile", SMOKE, "--out", str(tmp_path)])
    assert stages_of(tmp_path) == stages
    assert "250.000" in capsys.readouterr().out


@pytest.mark.parametrize("steps", ["0", "many", "-1", "1e3"])
def test_a_wrong_number_of_steps_is_refused(capsys, steps):
    with pytest.raises(SystemExit, match="2"):
        main(["profile", SMOKE, f"--steps={steps}"])
    assert f"expected a number from 1 to 10000, got '{steps}'" in capsys.readouterr().err


def test_a_used_folder_is_left_alone(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["profile", SMOKE, *TINY, "--out", str(tmp_path)]) == 2
    assert "already holds other files" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
