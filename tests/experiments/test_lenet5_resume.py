import itertools
import json
import signal
from pathlib import Path

import jax
import numpy as np
import pytest
from rich.console import Console

from conv_jax.checkpoint import Checkpoints
from experiments import config, lenet5, lenet5_training
from experiments.__main__ import main
from experiments.lenet5_training import Network
from experiments.record import Record
from experiments.running.resumable import make_part
from experiments.running.run_folder import holds_run

SMOKE = Path("configs/lenet5_smoke.toml")
TINY = ("model.channels=[1, 1]", "model.hidden=[2]", "data.train_size=128", "train.log_every=1")
ROWS = 2 * (4 + 2)  # of two seeds: four intervals, two evaluations


@pytest.fixture(scope="module")
def task():
    """Two seeds of a tiny network: two epochs of two steps."""
    return lenet5.prepare(config.load(SMOKE, [*TINY, "seeds=2"]))


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Save no figures."""
    monkeypatch.setattr("experiments.lenet5_figures.draw", lambda *_: None)


def run(task, folder, console=None):
    """Begin a run, or go on with it."""
    record = Record(folder, config.dump(task.config), resume=holds_run(folder))
    with record.running():
        lenet5.run(task, record, console or Console(quiet=True))


@pytest.fixture(scope="module")
def whole(task, tmp_path_factory):
    """The run that nothing ended."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.lenet5_figures.draw", lambda *_: None)
        run(task, tmp_path_factory.getbasetemp() / "whole")
    return tmp_path_factory.getbasetemp() / "whole"


def outcome(task, folder):
    """Return what must not depend on what has ended the run."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    rows = [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]
    result = json.loads((folder / "result.json").read_text())
    result = {k: v for k, v in result.items() if "seconds" not in k}
    networks = [Network(0), Network(1)]
    state = jax.eval_shape(lambda: lenet5_training.initial_state(task, networks))
    restored = Checkpoints(folder / "checkpoints" / "0-1").restore(state)
    restored = restored.state._replace(key=jax.random.key_data(restored.state.key))
    return rows, result, [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(restored)]


class Stop(Exception):  # noqa: N818 - it is what a test does to a run
    """Ends a run from within."""


def after_rows(monkeypatch, count, act):
    """Do something after so many rows of all runs from now on."""
    log, numbers = Record.log, itertools.count(1)

    def counted(self, *rows):
        for row in rows:
            log(self, row)
            if next(numbers) == count:
                act()

    monkeypatch.setattr(Record, "log", counted)


def stop():
    raise Stop


@pytest.mark.parametrize("count", [7, ROWS])
def test_a_run_that_ended_goes_on_as_if_it_had_not(task, tmp_path, monkeypatch, whole, count):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        after_rows(patch, count, stop)
        with pytest.raises(Stop):
            run(task, folder)
    run(task, folder)
    assert outcome(task, folder) == outcome(task, whole)


def test_a_part_that_was_done_is_not_trained_again(task, tmp_path, monkeypatch, whole):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(lenet5, "_numbers", lambda *_: stop())
        with pytest.raises(Stop):
            run(task, folder)
    monkeypatch.setattr("conv_jax.training._steps", lambda *_, **__: pytest.fail("trained"))
    console = Console(width=200)
    with console.capture() as capture:
        run(task, folder, console)
    assert "2 networks, seed 0 to seed 1: going on from step 4" in capture.get()
    assert outcome(task, folder) == outcome(task, whole)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["term", "ctrl_c"]
)
def test_a_signal_saves_and_the_printed_command_goes_on(
    task, tmp_path, monkeypatch, capsys, whole, number, status
):
    folder = tmp_path / "run"
    monkeypatch.setattr(lenet5, "prepare", lambda _: task)
    after_rows(monkeypatch, 8, lambda: signal.raise_signal(number))  # one tells the programs
    command = ["run", str(SMOKE), *TINY, "seeds=2", "--out", str(folder)]
    assert main(command) == status
    *_, last = capsys.readouterr().err.splitlines()
    assert last == f"go on with: python -m experiments run --resume {folder}"
    assert Checkpoints(folder / "checkpoints" / "0-1").latest_step == 3  # within an epoch
    assert main(last.split()[6:]) == 0
    assert outcome(task, folder) == outcome(task, whole)


def test_a_network_that_diverged_before_says_the_same(tmp_path, monkeypatch):
    loaded = config.load(SMOKE, [*TINY, "seeds=2", "optimizer={name='sgd', learning_rate=0.1}"])
    task, record = lenet5.prepare(loaded), Record(tmp_path / "run", config.dump(loaded))
    rates = (0.1, 1e38)
    networks = [Network(seed, {"optimizer.learning_rate": r}) for seed, r in enumerate(rates)]

    def train():
        part = make_part(record, "both", belongs=lambda _: True, options=loaded.checkpoint)
        return lenet5_training.train(task, networks, part=part, console=Console(quiet=True))

    with monkeypatch.context() as patch:
        after_rows(patch, 7, stop)
        with pytest.raises(Stop):
            train()
    (sound, diverged) = train()
    assert sound.diverged is None
    assert " at step 1 (" in diverged.diverged  # not at the first step after the resumption
    assert len(diverged.curve.losses) == len(sound.curve.losses) == 4


def test_a_run_that_fits_on_no_fewer_devices_says_so(task, tmp_path, monkeypatch):
    row = {"kind": "programs", "name": "", "sizes": [4], "devices": 4, "bytes": 1}
    record = Record(tmp_path / "run", config.dump(task.config))
    record.log(row)
    monkeypatch.setattr(lenet5_training, "free_bytes", lambda device: 2**10)
    networks = [lenet5_training.Network(seed) for seed in range(4)]
    with pytest.raises(MemoryError, match=r"devices: 4 networks .* on one of 1 device, which may"):
        lenet5_training.train_all(task, networks, record=record, console=Console(quiet=True))
