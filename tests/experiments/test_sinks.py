import contextlib
import json
import struct
import sys
import time
import types
from pathlib import Path

import pytest
from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c

from experiments import config
from experiments.__main__ import main
from experiments.record import Record
from experiments.running.sinks import Feed, SinkError

SMOKE = Path("configs/lenet5_smoke.toml")
KERNEL = "configs/learn_kernel.toml"


def row(seed, step, loss, **more):
    return {"kind": "train", "seed": seed, "epoch": 1, "step": step, "loss": loss, **more}


ROWS = (row(0, 1, 0.5), row(1, 1, 0.25), row(0, 2, 0.125))
MEASURED = {"kind": "evaluate", "seed": 0, "epoch": 1, "accuracy": 0.75}


def record(folder, *overrides, resume=False):
    return Record(folder, config.dump(config.load(SMOKE, overrides)), resume=resume)


def log(folder, *rows, overrides, resume=False, ended_by=None):
    """Log rows in one session of a run."""
    run = record(folder, *overrides, resume=resume)
    with contextlib.suppress(KeyboardInterrupt), run.running():
        run.log(*rows)
        run.report({"accuracy_mean": 0.75, "seeds": [0, 1]})
        if ended_by:
            raise ended_by


def events(path):
    """Yield the events of a file: length, checksum, event, checksum, and again."""
    content = path.read_bytes()
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        data, check = content[12 : 12 + length], content[12 + length : 16 + length]
        assert struct.pack("<I", masked_crc32c(data)) == check
        yield Event.FromString(data)
        content = content[16 + length :]


def scalars(folder):
    """Return (tag, step, value) of all event files in a folder."""
    return [
        (value.tag, event.step, value.simple_value)
        for path in sorted(folder.glob("events*"))
        for event in events(path)
        for value in event.summary.value
        if value.HasField("simple_value")
    ]


BOARD = ["log.tensorboard=true"]
SEEDS = ("seed_0", "seed_1")


def test_tensorboard_has_a_folder_for_every_network(tmp_path):
    log(tmp_path / "run", *ROWS, overrides=BOARD)
    board = tmp_path / "run" / "tensorboard"
    losses = {name: [s for s in scalars(board / name) if s[0] == "train/loss"] for name in SEEDS}
    assert losses == {
        "seed_0": [("train/loss", 1, 0.5), ("train/loss", 2, 0.125)],
        "seed_1": [("train/loss", 1, 0.25)],
    }


def test_an_evaluation_stands_at_the_step_before_it(tmp_path):
    log(tmp_path / "run", *ROWS, MEASURED, overrides=BOARD)
    assert ("evaluate/accuracy", 2, 0.75) in scalars(tmp_path / "run/tensorboard/seed_0")


def test_tensorboard_has_hyper_parameters_and_results(tmp_path):
    log(tmp_path / "run", *ROWS, overrides=BOARD)
    folder = tmp_path / "run" / "tensorboard" / "result"
    assert scalars(folder) == [("accuracy_mean", 0, 0.75)]
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    assert b"optimizer.learning_rate" in content


def test_tensorboard_has_no_run_without_numbers(tmp_path):
    log(tmp_path / "run", *ROWS, overrides=BOARD)
    board = tmp_path / "run" / "tensorboard"
    assert {path.name for path in board.iterdir()} == {*SEEDS, "result"}


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "interrupted"])
def test_tensorboard_has_every_step_of_a_resumed_run_once(tmp_path, killed):
    log(tmp_path / "run", *ROWS, overrides=BOARD, ended_by=KeyboardInterrupt)
    if killed:  # what the writer had not flushed is lost
        for path in (tmp_path / "run/tensorboard/seed_0").iterdir():
            path.write_bytes(path.read_bytes()[:-20])
    log(tmp_path / "run", ROWS[2], row(0, 3, 0.0625), overrides=BOARD, resume=True)
    found = [s for s in scalars(tmp_path / "run/tensorboard/seed_0") if s[0] == "train/loss"]
    assert [step for _, step, _ in found] == [1, 2, 3]


def test_a_loss_that_is_no_number_is_left_out(tmp_path):
    log(tmp_path / "run", row(0, 1, float("nan")), row(0, 2, 0.5), overrides=BOARD)
    found = scalars(tmp_path / "run/tensorboard/seed_0")
    assert [step for tag, step, _ in found if tag == "train/loss"] == [2]


def test_a_run_that_is_not_asked_for_it_writes_no_events(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)  # whoever imports it fails
    log(tmp_path / "run", *ROWS, overrides=[])
    assert not (tmp_path / "run" / "tensorboard").exists()


class Calls(types.ModuleType):
    """A module that keeps what is called, and returns itself."""

    def __init__(self, name):
        super().__init__(name)
        self.calls = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*arguments, **options):
            self.calls.append((name, arguments, options))
            return self

        call.update = lambda numbers: self.calls.append(("update", (numbers,), {}))
        return call

    def of(self, name):
        return [(arguments, options) for called, arguments, options in self.calls if called == name]


@pytest.fixture(params=["wandb", "trackio"])
def stub(request, monkeypatch):
    module = Calls(request.param)
    monkeypatch.setitem(sys.modules, request.param, module)
    return module


def shown(stub):
    """Return what was logged of training, by step."""
    logged = []
    for (numbers,), options in stub.of("log"):
        step = options.get("step", numbers.get("step"))
        logged += [(step, k, v) for k, v in numbers.items() if k.startswith("train/loss")]
    return logged


def test_rows_go_to_the_project_under_their_networks(tmp_path, stub):
    log(tmp_path / "run", *ROWS, overrides=[f"log.{stub.__name__}=digits"])
    assert shown(stub) == [
        (1, "train/loss/seed 0", 0.5),
        (1, "train/loss/seed 1", 0.25),
        (2, "train/loss/seed 0", 0.125),
    ]
    ((arguments, options),) = stub.of("init")
    assert "digits" in (*arguments, options.get("project"))
    assert len(stub.of("finish")) == 1


def test_results_go_to_the_project(tmp_path, stub):
    log(tmp_path / "run", overrides=[f"log.{stub.__name__}=digits"])
    told = [arguments[0] for name in ("update", "log") for arguments, _ in stub.of(name)]
    assert {"wandb": {"accuracy_mean": 0.75}, "trackio": {"result/accuracy_mean": 0.75}}[
        stub.__name__
    ] in told


def test_a_resumed_run_goes_on_under_its_name_without_doubled_steps(tmp_path, stub):
    asked = [f"log.{stub.__name__}=digits"]
    log(tmp_path / "run", *ROWS, overrides=asked, ended_by=KeyboardInterrupt)
    log(tmp_path / "run", ROWS[2], row(0, 3, 0.0625), overrides=asked, resume=True)
    assert [step for step, name, _ in shown(stub) if name.endswith("seed 0")] == [1, 2, 3]
    first, second = stub.of("init")
    assert first == second
    assert first[1]["resume"] == "allow"


def test_a_sink_that_fails_is_left_and_the_run_goes_on(tmp_path, stub, capsys, monkeypatch):
    def fail(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(stub, "log", fail, raising=False)
    log(tmp_path / "run", *ROWS, overrides=[f"log.{stub.__name__}=digits"])
    line = f"log.{stub.__name__}: OSError: no network; the run goes on without it\n"
    assert capsys.readouterr().err == line
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 3

    assert len(stub.of("finish")) == 1


def open_files(*, expected=None):
    """Count the open files of this process, once they are as many as expected or 5 s have passed.

    The pipes of a writer are closed by threads.
    """
    until = time.monotonic() + 5
    while (count := len(list(Path("/proc/self/fd").iterdir()))) != expected:
        if expected is None or time.monotonic() > until:
            break
        time.sleep(0.02)
    return count


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's list of open files")
def test_a_tensorboard_that_is_left_closes_its_files(tmp_path, capsys, monkeypatch):
    feed = Feed({"tensorboard": True}, tmp_path, {})
    before = open_files()
    feed.log(ROWS[:2])
    assert open_files() >= before + 2

    def fail(*_):
        raise OSError("too many open files")

    monkeypatch.setattr(SummaryWriter, "add_scalar", fail)
    feed.log(ROWS[2:])
    assert open_files(expected=before) == before
    assert "the run goes on without it" in capsys.readouterr().err


def test_a_sink_that_cannot_begin_ends_those_before_it(tmp_path, monkeypatch):
    (first, second) = (Calls("wandb"), Calls("trackio"))
    monkeypatch.setitem(sys.modules, "wandb", first)
    monkeypatch.setitem(sys.modules, "trackio", second)
    monkeypatch.setattr(second, "init", None, raising=False)
    with pytest.raises(SinkError, match=r"log\.trackio: TypeError"):
        log(tmp_path / "run", overrides=["log.wandb=digits", "log.trackio=digits"])
    assert len(first.of("finish")) == 1


def test_a_sink_that_cannot_begin_is_a_line(tmp_path, stub, capsys, monkeypatch):
    def fail(*_, **__):
        raise ValueError("no account\nof many words")

    monkeypatch.setattr(stub, "init", fail, raising=False)
    asked = [KERNEL, f"log.{stub.__name__}=digits", "--out", str(tmp_path / "run")]
    assert main(["run", *asked]) == 1
    first, *_ = capsys.readouterr().err.splitlines()
    assert first == f"{KERNEL}: log.{stub.__name__}: ValueError: no account"


@pytest.mark.parametrize(
    ("key", "package"),
    [("tensorboard", "tensorboardX"), ("wandb", "wandb"), ("trackio", "trackio")],
)
def test_a_missing_package_is_a_line_before_anything_is_written(
    tmp_path, capsys, monkeypatch, key, package
):
    monkeypatch.setitem(sys.modules, package, None)
    override = f"log.{key}={'true' if key == 'tensorboard' else 'digits'}"
    assert main(["run", KERNEL, override, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"override '{override}': log.{key}: expected the package {package}")
    assert f"pip install -c constraints.txt -e '.[{key}]'" in error
    assert not (tmp_path / "run").exists()


def test_a_whole_run_is_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(Record, "save_figure", lambda *_: None)
    assert main(["run", KERNEL, *BOARD, "--out", str(tmp_path / "run")]) == 0
    found = {tag: (step, v) for tag, step, v in scalars(tmp_path / "run/tensorboard")}
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert found["train/loss"] == (20, pytest.approx(result["last_loss"], rel=1e-6))


def test_where_rows_are_shown_is_no_difference_between_configs(tmp_path):
    log(tmp_path / "run", *ROWS, overrides=[], ended_by=KeyboardInterrupt)
    log(tmp_path / "run", overrides=BOARD, resume=True)
    assert len(scalars(tmp_path / "run/tensorboard/seed_0")) == 4  # loss and epoch, twice
