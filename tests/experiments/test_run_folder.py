import fcntl
import json
import os
import threading
from pathlib import Path

import pytest

from conv_jax.checkpoint import CheckpointError
from experiments import config
from experiments.__main__ import main
from experiments.record import Record
from experiments.running import interrupts
from experiments.running.run_folder import FinishedError, FolderError, differences

KERNEL = Path("configs/learn_kernel.toml")


def asked(*overrides):
    return config.dump(config.load(KERNEL, overrides))


@pytest.fixture
def stopped(tmp_path):
    """The folder of a run that was killed after three rows."""
    record = Record(tmp_path / "run", asked())
    for step in range(3):
        record.log({"step": step, "loss": 0.1 * step})
    record._unlock()
    return record.folder


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_run_goes_on_in_its_folder(stopped):
    record = Record(stopped, asked(), resume=True)
    record.log({"step": 3, "loss": 0.5})
    assert [row["step"] for row in record.rows()] == [0, 1, 2, 3]
    assert [row["loss"] for row in record.rows()] == [0.0, 0.1, 0.2, 0.5]


def test_the_first_environment_stays_and_later_ones_are_added(stopped):
    before = json.loads((stopped / "environment.json").read_text())
    for _ in range(2):
        Record(stopped, asked(), resume=True)._unlock()
    after = json.loads((stopped / "environment.json").read_text())
    resumed = after.pop("resumed")
    assert after == before
    assert len(resumed) == 2
    assert set(resumed[0]) == set(before)


def test_another_config_is_one_line_and_changes_nothing(stopped):
    before = content(stopped)
    other = asked("optimizer.learning_rate=0.5", "model.target=box")
    with pytest.raises(FolderError) as caught:
        Record(stopped, other, resume=True)
    assert str(caught.value) == (
        f"{stopped} holds a run of another config: "
        'model.target is "derivative" there and "box" here; '
        "optimizer.learning_rate is 0.03 there and 0.5 here"
    )
    assert content(stopped) == before


def test_a_key_that_one_config_lacks_differs():
    held, here = {"a": {"b": 1}}, {"a": {"b": 1, "c": [2.5, "x"]}}
    assert differences(held, here) == 'a.c is none there and [2.5, "x"] here'
    assert differences(here, here) == ""


@pytest.mark.parametrize("resume", [True, False], ids=["resumed", "begun"])
def test_a_second_run_on_a_folder_is_refused_with_the_pid_of_the_first(tmp_path, resume):
    first = Record(tmp_path / "run", asked())
    before = content(first.folder)
    message = f"is in use by process {os.getpid()}$" if resume else "already holds a run"
    with pytest.raises(FolderError, match=message):
        Record(first.folder, asked(), resume=resume)
    assert content(first.folder) == before


def test_a_look_at_a_run_keeps_none_from_starting(stopped):
    descriptor = os.open(stopped / "lock", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    threading.Timer(0.15, os.close, [descriptor]).start()
    Record(stopped, asked(), resume=True)


def test_a_folder_is_free_again_after_the_run(tmp_path):
    record = Record(tmp_path / "run", asked())
    with pytest.raises(OSError, match="full"), record.running():
        raise OSError("full")
    Record(record.folder, asked(), resume=True)


def test_a_finished_run_is_not_repeated(tmp_path):
    record = Record(tmp_path / "run", asked())
    with record.running():
        record.report({"steps": 1})
    before = content(record.folder)
    with pytest.raises(FinishedError, match=r"this run is finished; its results: .*/result.json"):
        Record(record.folder, asked(), resume=True)
    assert content(record.folder) == before


def test_a_folder_without_a_run_is_not_resumed(tmp_path):
    with pytest.raises(FolderError, match="holds no run"):
        Record(tmp_path, asked(), resume=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "left", ["lock", "environment.json", "environment.partial", "config.partial"]
)
def test_a_run_that_was_killed_while_it_began_begins_again(tmp_path, left):
    (tmp_path / left).write_text("")
    Record(tmp_path, asked())
    assert config.load(tmp_path / "config.toml") == config.load(KERNEL)


def test_a_torn_last_line_is_cut_off(stopped):
    path = stopped / "metrics.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"step": 3, "lo')
    Record(stopped, asked(), resume=True)
    assert path.read_bytes() == whole


def test_a_torn_first_line_is_cut_off(stopped):
    (stopped / "metrics.jsonl").write_bytes(b'{"st')
    assert Record(stopped, asked(), resume=True).rows() == []


def test_a_line_that_is_no_json_is_named(stopped):
    path = stopped / "metrics.jsonl"
    path.write_bytes(b"{}\nabc\n{}\n")
    with pytest.raises(FolderError, match=r"metrics.jsonl: line 2 is not JSON"):
        Record(stopped, asked(), resume=True).rows()


def test_rows_are_dropped_and_the_others_kept_as_they_were(stopped):
    record = Record(stopped, asked(), resume=True)
    first, _, third = (stopped / "metrics.jsonl").read_text().splitlines(keepends=True)
    record.drop(lambda row: row["step"] == 1)
    assert (stopped / "metrics.jsonl").read_text() == first + third
    assert not list(stopped.glob("*.partial"))


@pytest.fixture
def resumable(monkeypatch):
    """Take the experiment for one that saves checkpoints."""
    monkeypatch.setattr(config, "saves_checkpoints", lambda _: True)


def end_by(monkeypatch, *errors):
    """Let the experiment do nothing, and end by one error after the other."""
    given = iter(errors)

    def run(*_):
        if error := next(given, None):
            raise error

    monkeypatch.setattr("experiments.learn_kernel.run", run)


INTERRUPTS = {
    "term": (interrupts.Interrupted(15), 143),
    "ctrl_c": (interrupts.Interrupted(2), 130),
    "second_ctrl_c": (KeyboardInterrupt(), 130),
}


@pytest.mark.parametrize(("error", "status"), INTERRUPTS.values(), ids=INTERRUPTS)
def test_an_interrupted_run_says_how_to_go_on(
    tmp_path, monkeypatch, capsys, resumable, error, status
):
    folder = tmp_path / "a run"
    end_by(monkeypatch, error)
    assert main(["run", str(KERNEL), "--out", str(folder)]) == status
    *_, last = capsys.readouterr().err.splitlines()
    assert last == f"go on with: python -m experiments run --resume '{folder}'"
    assert main(["run", "--resume", str(folder)]) == 0


def test_a_failed_run_says_how_to_go_on(tmp_path, monkeypatch, capsys, resumable):
    end_by(monkeypatch, CheckpointError("no space"))
    assert main(["run", str(KERNEL), "--out", str(tmp_path / "run")]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"{KERNEL}: no space",
        f"what was recorded: {tmp_path / 'run'}",
        f"once that is mended, go on with: python -m experiments run --resume {tmp_path / 'run'}",
    ]


def test_the_same_command_goes_on_and_a_finished_run_is_not_repeated(
    tmp_path, monkeypatch, capsys, resumable
):
    command = ["run", str(KERNEL), "train.epochs=7", "--out", str(tmp_path / "run")]
    end_by(monkeypatch, RuntimeError("lost"))
    assert main(command) == 1
    assert main(command) == 0
    capsys.readouterr()
    end_by(monkeypatch, RuntimeError("run again"))
    assert main(command) == 0
    assert "this run is finished" in capsys.readouterr().out


RESUMED = {
    "another_value": (
        ["train.epochs=9"],
        "{} holds a run of another config: train.epochs is 20 there and 9 here",
    ),
    "config_too": ([str(KERNEL), "seed=4"], "{} holds a run of another config: seed is 0 there"),
}


@pytest.mark.parametrize(("words", "message"), RESUMED.values(), ids=RESUMED)
def test_resuming_another_config_is_a_mistake(stopped, capsys, resumable, words, message):
    before = content(stopped)
    assert main(["run", *words, "--resume", str(stopped)]) == 2
    error = capsys.readouterr().err
    assert message.format(stopped) in error
    assert len(error.splitlines()) == 1
    assert content(stopped) == before


def test_an_experiment_without_checkpoints_is_not_resumed(stopped, capsys):
    assert main(["run", "--resume", str(stopped)]) == 2
    assert "--resume: this run of learn_kernel saves no checkpoints" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_not_resumed(tmp_path, capsys):
    assert main(["run", "--resume", str(tmp_path / "x")]) == 2
    assert "x/config.toml: no such file" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--resume", "a", "--out", "b"]], ids=["nothing", "both"])
def test_wrong_options_are_usage(words):
    with pytest.raises(SystemExit) as caught:
        main(["run", *words])
    assert caught.value.code == 2
