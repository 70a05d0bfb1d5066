"""Runs that several devices share, of one process or of one each of several."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from conv_jax.checkpoint import Checkpoints
from experiments import config, lenet5
from experiments.__main__ import main
from experiments.record import Record
from experiments.running import processes
from experiments.tables.distributed import Distributed

SMOKE = Path("configs/lenet5_smoke.toml")
TINY = (
    *("model.channels=[1, 1]", "model.hidden=[2]", "data.train_size=128", "train.log_every=1"),
    "optimizer={name='sgd', learning_rate=0.05, momentum=0.9}",
)
BATCH_SIZE, NUM_STEPS = 64, 4
SECONDS = 15  # in which a process must say that it has lost another


@pytest.fixture
def start(tmp_path):
    """Start the processes of a run, each with a file for what it says; none outlives the test."""
    started = []

    def start_all(count, *words, num_devices=1, last=(), folders=None):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "experiments", "run", str(SMOKE.absolute()), *TINY, *words]
        environment = {
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "JAX_NUM_CPU_DEVICES": f"{num_devices}",
        }
        environment["PYTHONPATH"] = str(Path.cwd())
        del started[:]
        for index in range(count):
            where = {
                "coordinator": f"127.0.0.1:{port}",
                "num_processes": count,
                "process_id": index,
            }
            others = [f"distributed.{key}={value}" for key, value in where.items()]
            others += last if index == count - 1 else ()
            with (tmp_path / f"said{index}").open("w") as said:
                process = subprocess.Popen(
                    command if count == 1 else [*command, *others],
                    **{"env": environment, "stdout": said, "stderr": subprocess.STDOUT},
                    cwd=folders[index] if folders else None,
                )
            started.append(process)
        return list(started)

    yield start_all
    for process in started:
        process.kill()


def said(tmp_path, index):
    return (tmp_path / f"said{index}").read_text()


def rows_of(folder):
    """Return the rows of a run but the one that says how it was divided."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines if '"programs"' not in line]


def bound(losses):
    """Return what sums in another order may change, as in `test_many_networks.py`.

    But 8 roots of the number of terms: rounding errors cancel (Higham and Mary 2019, theorem 2.4).
    """
    terms, eps = BATCH_SIZE * 32 * 32, np.finfo(np.float32).eps
    return 8 * terms**0.5 * NUM_STEPS * eps * np.abs(losses).max()


@pytest.mark.parametrize(
    ("count", "num_devices", "seeds"),
    [(1, 8, 8), (2, 1, 2), (4, 1, 1)],
    ids=["eight_devices_share_networks", "two_share_networks", "four_share_batches"],
)
def test_a_run_is_what_it_is_on_one_device(tmp_path, start, monkeypatch, count, num_devices, seeds):
    folder, alone = tmp_path / "run", tmp_path / "alone"
    words = f"seeds={seeds}", "--out", str(folder)
    running = start(count, *words, num_devices=num_devices)
    statuses = [process.wait(timeout=240) for process in running]
    assert statuses == [0] * count, [said(tmp_path, index) for index in range(count)]

    monkeypatch.setattr("experiments.lenet5_figures.draw", lambda *_: None)
    loaded = config.load(SMOKE, [*TINY, f"seeds={seeds}"])
    record = Record(alone, config.dump(loaded))
    with record.running():
        lenet5.run(lenet5.prepare(loaded), record, Console(quiet=True))
    shared, expected = rows_of(folder), rows_of(alone)
    assert len(shared) == seeds * (NUM_STEPS + 2)
    assert [row["kind"] for row in shared] == [row["kind"] for row in expected]
    losses = np.array([row["loss"] for row in expected])
    np.testing.assert_allclose([row["loss"] for row in shared], losses, rtol=0, atol=bound(losses))
    assert np.ptp(losses) > 3 * bound(losses)
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["processes"] == count
    assert len(environment["devices"]) == count * num_devices
    assert ["test accuracy" in said(tmp_path, i) for i in range(count)] == [True] + [False] * (
        count - 1
    )


def lasting(start, folder, *, above=0, seconds=120):
    """Start two processes that train for long, and wait for a checkpoint above a step."""
    running = start(2, "seeds=2", "train.epochs=100000", "--out", str(folder))
    checkpoints, deadline = Checkpoints(folder / "checkpoints" / "0-1"), time.monotonic() + seconds
    while (checkpoints.latest_step or 0) <= above:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return running


def end_after(monkeypatch, *, num_rows):
    """End the next run in this process by a signal, after so many rows."""
    log, rows = Record.log, itertools.count(1)

    def log_then_end(record, *logged):
        log(record, *logged)
        if num_rows in [next(rows) for _ in logged]:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Record, "log", log_then_end)


def child_of(process):
    """Return the process that trains, which its parent watches."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0])


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds a child by Linux's /proc")
@pytest.mark.parametrize("lost", [0, 1], ids=["coordinator", "another"])
def test_a_killed_process_ends_the_other_with_a_line(tmp_path, start, monkeypatch, lost):
    folder, left = tmp_path / "run", 1 - lost
    running = lasting(start, folder)
    os.kill(child_of(running[lost]), signal.SIGKILL)
    statuses = [process.wait(timeout=SECONDS) for process in running]
    assert statuses[lost] == 128 + signal.SIGKILL
    assert statuses[left] == 1
    go_on = f"go on with: python -m experiments run --resume {folder}"
    *_, line = said(tmp_path, left).splitlines()
    assert "lost another process of the run" in line
    assert f"{go_on} distributed.coordinator=127.0.0.1:" in line
    assert line.endswith(f" distributed.process_id={left}")
    assert "Traceback" not in said(tmp_path, left)
    *_, line = said(tmp_path, lost).splitlines()
    assert line.startswith("ended by SIGKILL; go on with: ")

    monkeypatch.setattr("experiments.lenet5_figures.draw", lambda *_: None)
    step = Checkpoints(folder / "checkpoints" / "0-1").latest_step
    end_after(monkeypatch, num_rows=20)
    assert main(go_on.split()[6:]) == 128 + signal.SIGTERM
    assert rows_of(folder)[-1]["step"] > step


def test_a_signal_to_one_saves_and_ends_all_and_all_go_on(tmp_path, start):
    folder, step = tmp_path / "run", 0
    for _ in range(2):
        running = lasting(start, folder, above=step)
        running[1].send_signal(signal.SIGTERM)
        assert [process.wait(timeout=60) for process in running] == [143, 143]
        result = json.loads((folder / "result.json").read_text())
        assert result["status"] == "interrupted"
        before, step = step, Checkpoints(folder / "checkpoints" / "0-1").latest_step
        assert step > before
    losses = [row["loss"] for row in rows_of(folder) if row["kind"] == "train"]
    assert len(losses) == 2 * step  # of two networks, each step once


def test_another_config_is_refused(tmp_path, start):
    words, last = ("seeds=2", "--out", str(tmp_path / "run")), ["optimizer.learning_rate=0.5"]
    running = start(2, *words, last=last)
    assert [process.wait(timeout=60) for process in running] == [2, 2]
    assert "in all, but another process differs\n" in said(tmp_path, 0)
    assert "optimizer.learning_rate is 0.05 there and 0.5 here\n" in said(tmp_path, 1)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_not_shared_is_refused(tmp_path, start):
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    running = start(2, "seeds=2", "--out", "run", folders=folders)
    assert [process.wait(timeout=60) for process in running] == [2, 2]
    for index in range(2):
        expected = "--out: expected a folder that all processes share, got run\n"
        assert said(tmp_path, index).endswith(expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"coordinator": "here:1234"},
            "distributed.num_processes and distributed.process_id: expected beside distributed",
        ),
        (
            {"coordinator": "here:1234", "num_processes": 2, "process_id": 2},
            "distributed.process_id: expected a number below the 2 processes, got 2",
        ),
        (
            {"coordinator": "no.such.host.invalid:1234", "num_processes": 2, "process_id": 1},
            "distributed.coordinator: no.such.host.invalid:1234: ",
        ),
    ],
    ids=["missing", "beyond", "nowhere"],
)
def test_a_mistake_in_the_table_is_a_line(given, message):
    with pytest.raises(ValueError, match=message):
        processes.join(Distributed(**given))


def test_an_empty_table_needs_one_who_started_the_processes(tmp_path):
    command = [sys.executable, "-m", "experiments", "run", str(SMOKE), "distributed={}"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "run")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == (
        "override 'distributed={}': distributed: expected coordinator, num_processes and "
        "process_id, for neither SLURM nor Open MPI has started this process\n"
    )
    assert not (tmp_path / "run").exists()
