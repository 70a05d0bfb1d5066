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

SMOKE = "configs/lenet5_smoke.toml"
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

    def start_all(count, *words, num_devices=1):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "experiments", "run", SMOKE, *TINY, *words]
        environment = {
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "JAX_NUM_CPU_DEVICES": f"{num_devices}",
        }
        for index in range(count):
            where = {
                "coordinator": f"127.0.0.1:{port}",
                "num_processes": count,
                "process_id": index,
            }
            others = [f"distributed.{key}={value}" for key, value in where.items()]
            with (tmp_path / f"said{index}").open("w") as said:
                process = subprocess.Popen(
                    command if count == 1 else [*command, *others],
                    **{"env": environment, "stdout": said, "stderr": subprocess.STDOUT},
                )
            started.append(process)
        return started

    yield start_all
    for process in started:
        process.kill()


def said(tmp_path, index):
    return (tmp_path / f"said{index}").read_text()


def rows_of(folder):
    """Return the rows of a run but what differs in seconds."""
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
    loaded = config.load(Path(SMOKE), [*TINY, f"seeds={seeds}"])
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


def lasting(start, folder, seconds=120):
    """Start two processes that train for long, and wait until a checkpoint is there."""
    running = start(2, "seeds=2", "train.epochs=100000", "--out", str(folder))
    checkpoints, deadline = Checkpoints(folder / "checkpoints" / "0-1"), time.monotonic() + seconds
    while checkpoints.latest_step is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return running


def end_after(monkeypatch, *, num_rows):
    """End the next run in this process by a signal, after so many rows."""
    log, rows = Record.log, itertools.count(1)

    def log_then_end(record, row):
        log(record, row)
        if next(rows) == num_rows:
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
    assert [process.wait(timeout=SECONDS) for process in running] == [1, 1]
    go_on = f"go on with: python -m experiments run --resume {folder}"
    *_, line = said(tmp_path, left).splitlines()
    assert "lost another process of the run" in line
    assert line.endswith(go_on)
    assert "Traceback" not in said(tmp_path, left)
    *_, line = said(tmp_path, lost).splitlines()
    assert line.startswith("ended by SIGKILL")

    monkeypatch.setattr("experiments.lenet5_figures.draw", lambda *_: None)
    step = Checkpoints(folder / "checkpoints" / "0-1").latest_step
    end_after(monkeypatch, num_rows=20)
    assert main(go_on.split()[6:]) == 128 + signal.SIGTERM
    assert rows_of(folder)[-1]["step"] > step


def test_a_signal_to_one_saves_and_ends_all(tmp_path, start):
    running = lasting(start, tmp_path / "run")
    running[1].send_signal(signal.SIGTERM)
    assert [process.wait(timeout=60) for process in running] == [143, 143]
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["status"] == "interrupted"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"coordinator": "here:1234"},
            "distributed.num_processes: expected beside coordinator",
        ),
        (
            {"coordinator": "here:1234", "num_processes": 2, "process_id": 2},
            "distributed.process_id: expected a number below the 2 processes, got 2",
        ),
    ],
    ids=["missing", "beyond"],
)
def test_a_mistake_in_the_table_is_a_line(given, message):
    with pytest.raises(ValueError, match=message):
        processes.join(Distributed(**given))


def test_an_empty_table_needs_one_who_started_the_processes(tmp_path):
    command = [sys.executable, "-m", "experiments", "run", SMOKE, "distributed={}"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "run")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == (
        "override 'distributed={}': distributed: expected coordinator, num_processes and "
        "process_id, for neither SLURM nor Open MPI has started this process\n"
    )
    assert not (tmp_path / "run").exists()
