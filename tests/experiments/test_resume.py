import itertools
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
import small_run
from small_run import EPOCH, PARTS

from conv_jax.checkpoint import Checkpoints
from experiments.record import Record
from experiments.running.interrupts import Interrupted
from experiments.running.run_folder import FolderError

NUM_EPOCHS = 4


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that nothing ended."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    small_run.run(folder, num_epochs=NUM_EPOCHS)
    return folder


def rows_of(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def outcome(folder):
    """Return what must not depend on what has ended the run, and how often."""
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in rows_of(folder)]
    result = json.loads((folder / "result.json").read_text())
    return result["status"], result["bits"], rows


def latest_steps(folder):
    return [Checkpoints(folder / "checkpoints" / str(seed)).latest_step or 0 for seed in PARTS]


class Stop(Exception):  # noqa: N818 - it is what a test does to a run
    """Ends a run from within."""


def run_until(count, folder):
    """Run until so many rows are logged; the next one ends it."""
    log, numbers = Record.log, itertools.count()

    def counted(self, row):
        if next(numbers) == count:
            raise Stop
        log(self, row)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Record, "log", counted)
        with pytest.raises(Stop):
            small_run.run(folder, num_epochs=NUM_EPOCHS)


@pytest.mark.parametrize("count", [0, 2, 5, 9, 15])
def test_a_run_that_ended_goes_on_as_if_it_had_not(tmp_path, whole, count):
    folder = tmp_path / "run"
    run_until(count, folder)
    small_run.run(folder, num_epochs=NUM_EPOCHS)
    assert outcome(folder) == outcome(whole)


def test_the_last_step_of_every_part_stays(whole):
    assert latest_steps(whole) == [NUM_EPOCHS * EPOCH] * len(PARTS)


def test_a_signal_is_answered_after_the_interval_and_saved(tmp_path, monkeypatch, whole):
    folder = tmp_path / "run"
    log, numbers = Record.log, itertools.count()

    def signalled(self, row):
        log(self, row)
        if next(numbers) == 2:  # in the middle of the second epoch
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Record, "log", signalled)
    with pytest.raises(Interrupted) as caught:
        small_run.run(folder, num_epochs=NUM_EPOCHS)
    assert caught.value.signum == signal.SIGTERM
    assert latest_steps(folder) == [EPOCH + 3, 0]
    assert json.loads((folder / "result.json").read_text())["status"] == "interrupted"
    small_run.run(folder, num_epochs=NUM_EPOCHS)
    assert outcome(folder) == outcome(whole)


@pytest.mark.parametrize("bad", [None, "flipped"], ids=["sound", "damaged"])
def test_a_finished_part_is_gone_back_to_only_where_it_is_damaged(tmp_path, whole, bad):
    folder = tmp_path / "run"
    run_until(2 * NUM_EPOCHS + 3, folder)  # in the second part
    steps = latest_steps(folder)
    if bad:
        (folder / "checkpoints" / "0" / str(steps[0]) / "about.json").write_text("{}")
    small_run.run(folder, num_epochs=NUM_EPOCHS)
    status, bits, rows = outcome(folder)
    assert steps == [NUM_EPOCHS * EPOCH, EPOCH]
    assert (status, bits) == outcome(whole)[:2]
    # Rows of the first part that were made again stand after those of the second that were kept.
    assert sorted(rows, key=lambda row: (row["seed"], row["step"])) == outcome(whole)[2]


def test_damage_is_one_line_on_the_console(tmp_path, capsys):
    folder = tmp_path / "run"
    run_until(5, folder)
    (folder / "checkpoints" / "0" / "10" / "about.json").write_text("{}")
    small_run.run(folder, num_epochs=NUM_EPOCHS)
    [line] = capsys.readouterr().out.splitlines()
    assert line.endswith(
        "step 10 is damaged (about.json has changed: its SHA-256 differs); going on from step 5"
    )


def test_rows_that_a_checkpoint_counts_and_nobody_has_are_missed(tmp_path):
    folder = tmp_path / "run"
    run_until(3, folder)
    rows = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text(rows[0])
    with pytest.raises(FolderError, match=r"metrics\.jsonl: expected 2 rows of 0, found 1"):
        small_run.run(folder, num_epochs=NUM_EPOCHS)


def test_without_checkpoints_nothing_is_saved(tmp_path):
    small_run.run(tmp_path / "run", num_epochs=1, every=0)
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Start the run in a process of its own; all are copies of one that has imported JAX."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["small_run", "orbax.checkpoint"])

    def started(folder, **options):
        process = context.Process(target=small_run.run, args=(folder,), kwargs=options)
        process.start()
        return process

    with pytest.MonkeyPatch.context() as patch:
        here = [str(Path(__file__).parent), str(Path.cwd()), *filter(None, sys.path)]
        patch.setenv("PYTHONPATH", os.pathsep.join(here))
        patch.setenv("JAX_ENABLE_COMPILATION_CACHE", "true")
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")
        yield started


def wait_for_rows(folder, count, process):
    deadline = time.monotonic() + 60
    while process.is_alive() and time.monotonic() < deadline:
        if (folder / "metrics.jsonl").exists() and len(rows_of(folder)) >= count:
            return
        time.sleep(0.002)


def num_lost(folder):
    """Return for every part how many steps of its rows are after its newest sound checkpoint."""
    if not (folder / "metrics.jsonl").exists():
        return [0]
    done = [max([r["step"] for r in rows_of(folder) if r["seed"] == s], default=0) for s in PARTS]
    return [step - saved for step, saved in zip(done, latest_steps(folder), strict=True)]


NUM_KILLS = 12
LONG = {"num_epochs": 16, "pause": 0.02}


def test_kill_9_at_random_moments_loses_at_most_one_interval(tmp_path, start):
    whole, folder, moments = tmp_path / "whole", tmp_path / "run", random.Random(6)
    start(whole, **LONG).join()
    kills, lost = 0, []
    while kills < NUM_KILLS:
        process = start(folder, **LONG)
        if kills % 3:  # while it trains and saves; else while it starts
            before = len(rows_of(folder)) if (folder / "metrics.jsonl").exists() else 0
            wait_for_rows(folder, before + moments.randrange(4), process)
        time.sleep(moments.uniform(0, 0.08))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        kills += 1
        lost += num_lost(folder)
    process = start(folder, **LONG)
    process.join()
    assert process.exitcode == 0
    assert outcome(folder) == outcome(whole)
    assert 0 < max(lost) <= EPOCH


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "ctrl_c"])
def test_a_signal_from_outside_saves(tmp_path, start, number):
    process = start(tmp_path / "run", num_epochs=1000)
    wait_for_rows(tmp_path / "run", 3, process)
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == 1  # by the exception that the command line turns into a status
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["status"] == "interrupted"
    assert num_lost(tmp_path / "run") == [0, 0]
