import fcntl
import json
import os
from pathlib import Path

import pytest

from experiments.after import past_runs

CONFIG = Path("configs/lenet5_smoke.toml").read_text()
ENVIRONMENT = {"time": "2026-11-23T12:00:00+00:00", "packages": {"conv_jax": "0.1.0"}}


def evaluation(seed, accuracy, *, epoch=1, **more):
    return {"kind": "evaluate", "seed": seed, "epoch": epoch, "accuracy": accuracy, **more}


def write_run(folder, *, rows=(), result=None, environment=ENVIRONMENT, config=CONFIG):
    """Write the folder of a run, as a run would."""
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(config)
    (folder / "environment.json").write_text(json.dumps(environment))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if result is not None:
        (folder / "result.json").write_text(json.dumps(result))
    return folder


@pytest.fixture
def finished(tmp_path):
    rows = [evaluation(0, 0.8), evaluation(1, 0.9)]
    result = {"status": "finished", "accuracy": [0.85, 0.95], "seeds": [0, 1], "wall_seconds": 9.0}
    return write_run(tmp_path / "run", rows=rows, result=result)


def test_a_whole_run_has_no_damage(finished):
    run = past_runs.read(finished)
    assert (run.state, run.damage, run.name, run.experiment) == ("finished", (), "run", "lenet5")
    assert past_runs.seconds(run) == 9.0
    assert past_runs.accuracies(run) == [0.85, 0.95]


@pytest.mark.parametrize("status", ["finished", "failed", "interrupted"])
def test_the_state_is_that_of_the_result(tmp_path, status):
    assert past_runs.read(write_run(tmp_path / "run", result={"status": status})).state == status


def test_a_run_without_a_result_was_stopped(tmp_path):
    assert past_runs.read(write_run(tmp_path / "run")).state == "stopped"


def test_a_locked_folder_is_of_a_running_run(finished):
    descriptor = os.open(finished / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    while_locked = past_runs.read(finished).state
    os.close(descriptor)
    assert (while_locked, past_runs.read(finished).state) == ("running", "finished")


@pytest.mark.parametrize("name", ["config.toml", "environment.json"])
def test_a_missing_file_is_named(finished, name):
    (finished / name).unlink()
    assert past_runs.read(finished).damage == (f"{name}: missing",)


GARBAGE = {
    "binary": b"\x00\xff\xfe\x80garbage",
    "half": b'{"status": "fini',
    "a_list": b"[1, 2]",
    "nested": b"[" * 100_000,
    "empty": b"",
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("name", ["environment.json", "result.json"])
def test_a_damaged_file_is_named_and_the_rest_is_read(finished, name, content):
    (finished / name).write_bytes(content)
    run = past_runs.read(finished)
    (damage,) = run.damage
    assert damage.startswith(f"{name}: ")
    assert len(run.rows) == 2
    assert run.state == ("damaged" if name == "result.json" else "finished")


def test_a_damaged_config_makes_a_damaged_run(finished):
    (finished / "config.toml").write_bytes(b"\x00\xff")
    run = past_runs.read(finished)
    assert (run.state, run.experiment, past_runs.changes(run)) == ("damaged", "?", {})
    assert past_runs.accuracies(run) == [0.85, 0.95]


def test_an_unknown_status_is_damage(tmp_path):
    run = past_runs.read(write_run(tmp_path / "run", result={"status": 5}))
    assert (run.state, run.damage) == ("damaged", ("result.json: unknown status 5",))


def test_an_empty_config_is_named(finished):
    (finished / "config.toml").write_text("")
    run = past_runs.read(finished)
    assert (run.state, run.damage) == ("damaged", ("config.toml: expected a table, got nothing",))


def test_what_this_version_does_not_know_of_a_config_is_named(tmp_path):
    run = past_runs.read(write_run(tmp_path / "run", config=f"momentun = 1\n{CONFIG}"))
    (damage,) = run.damage
    assert damage.startswith("config.toml: momentun: unknown key")


@pytest.mark.parametrize("is_copy", [False, True], ids=["run", "copy_of_some_files"])
def test_missing_rows_of_a_run_that_trained_are_named(finished, is_copy):
    (finished / "metrics.jsonl").unlink()
    if not is_copy:
        (finished / "lock").touch()
    assert past_runs.read(finished).damage == (() if is_copy else ("metrics.jsonl: missing",))


def test_a_torn_last_line_is_named(finished):
    with (finished / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "eval')
    run = past_runs.read(finished)
    assert run.damage == ("metrics.jsonl: line 3 of 3 is not whole",)
    assert len(run.rows) == 2


def test_the_line_that_a_running_run_writes_is_no_damage(finished):
    with (finished / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "eval')
    with (finished / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert past_runs.read(finished).damage == ()


def test_binary_lines_are_counted(finished):
    with (finished / "metrics.jsonl").open("ab") as file:
        file.write(b"\x00\x01\n\xff\xfe\n")
    (damage,) = past_runs.read(finished).damage
    assert damage == "metrics.jsonl: 2 of 4 lines are not whole, the first is line 3"


@pytest.mark.parametrize(
    ("version", "is_newer"),
    [("99.0", True), ("0.1.1", True), ("0.1.0", False), ("0.0.9", False), ("²", False), (7, False)],
)
def test_a_newer_version_is_named(tmp_path, version, is_newer):
    environment = {"packages": {"conv_jax": version}}
    run = past_runs.read(write_run(tmp_path / "run", environment=environment))
    assert [line.startswith("written by conv_jax") for line in run.damage] == [True] * is_newer


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir, Path.touch])
def test_what_is_no_run_is_refused(tmp_path, make):
    make(tmp_path / "other")
    with pytest.raises(past_runs.NoRunError, match=r"no such folder|holds no run"):
        past_runs.read(tmp_path / "other")


def test_runs_are_found_oldest_first(tmp_path):
    for name, hour in (("a", 12), ("b", 10), ("c", 11)):
        time = f"2026-11-23T{hour}:00:00+00:00"
        write_run(tmp_path / name, environment={"time": time})
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").touch()
    assert [path.name for path in past_runs.find(tmp_path)] == ["b", "c", "a"]


@pytest.mark.parametrize("time", [None, "yesterday", "0001-01-01", [], {"a": 1}], ids=str)
def test_a_run_without_a_time_has_that_of_its_folder(tmp_path, time):
    write_run(tmp_path / "young", environment={"time": time})
    write_run(tmp_path / "old", environment={"time": "2020-01-01T00:00:00+00:00"})
    assert [path.name for path in past_runs.find(tmp_path)] == ["old", "young"]


@pytest.fixture
def locked(tmp_path, monkeypatch):
    """A folder that cannot be searched, which no chmod makes for root."""
    exists = Path.exists

    def refusing(path, **options):
        if path.parent.name == "locked":
            raise PermissionError(13, "Permission denied")
        return exists(path, **options)

    monkeypatch.setattr(Path, "exists", refusing)
    monkeypatch.setattr(past_runs.os, "access", lambda path, mode: path.name != "locked")
    return write_run(tmp_path / "locked")


def test_a_folder_that_cannot_be_read_hides_no_other(locked):
    other = write_run(locked.parent / "other")
    assert past_runs.find(locked.parent) == [other]


def test_a_run_that_cannot_be_read_is_refused(locked):
    with pytest.raises(past_runs.NoRunError, match="locked: cannot be read"):
        past_runs.read(locked)


def test_a_missing_folder_of_runs_is_refused(tmp_path):
    with pytest.raises(past_runs.NoRunError, match="runs: no such folder"):
        past_runs.find(tmp_path / "runs")


@pytest.mark.parametrize("told", [None, "0.9", [], [0.9, None], [10**400], 0.9], ids=str)
def test_accuracies_are_those_of_the_last_rows_where_the_result_tells_none(tmp_path, told):
    rows = [evaluation(seed, seed + epoch, epoch=epoch) for epoch in (1, 2) for seed in (0, 5)]
    run = write_run(tmp_path / "run", rows=rows, result={"status": "failed", "accuracy": told})
    assert past_runs.accuracies(past_runs.read(run)) == [2, 7]


def test_a_network_that_is_not_so_far_yet_is_not_in_the_mean(tmp_path):
    rows = [evaluation(0, 0.9), evaluation(0, 0.99, epoch=2), evaluation(1, 0.5)]
    run = past_runs.read(write_run(tmp_path / "run", rows=rows))
    assert past_runs.accuracy(run) == (0.99, None, None, 1)


SETTINGS = {
    "sweep": {"config": CONFIG + "[sweep]\nseed = [1, 2]\n"},
    "result": {"result": {"status": "finished", "settings": [{"setting": {"seed": 1}}]}},
    "rows": {"rows": [evaluation(0, 0.3, setting={"by": "correlation"})]},
}


@pytest.mark.parametrize("told", SETTINGS.values(), ids=SETTINGS)
def test_networks_of_several_settings_share_no_mean(tmp_path, told):
    rows = [evaluation(1, 0.5), evaluation(2, 0.9)]
    run = past_runs.read(write_run(tmp_path / "run", **{"rows": rows, **told}))
    assert past_runs.accuracy(run) is None
    assert past_runs.accuracy_difference(run, run) is None


def test_nothing_evaluated_is_no_accuracy(tmp_path):
    assert past_runs.accuracy(past_runs.read(write_run(tmp_path / "run"))) is None


def of_accuracies(folder, accuracies, seeds):
    result = {"status": "finished", "accuracy": accuracies, "seeds": seeds}
    return past_runs.read(write_run(folder, result=result))


def test_runs_of_the_same_seeds_are_paired_by_them(tmp_path):
    first = of_accuracies(tmp_path / "a", [0.75, 0.5], [0, 1])
    second = of_accuracies(tmp_path / "b", [0.25, 0.5], [1, 0])
    found = past_runs.accuracy_difference(first, second)
    assert found == (0.25, (0.25, 0.25), True, (2, 2))


def test_runs_of_other_seeds_are_not_paired(tmp_path):
    first = of_accuracies(tmp_path / "a", [0.75, 0.5], [0, 1])
    second = of_accuracies(tmp_path / "b", [0.25, 0.5], [1, 2])
    assert not past_runs.accuracy_difference(first, second).paired


def test_a_run_without_accuracies_differs_by_nothing_known(tmp_path):
    run = past_runs.read(write_run(tmp_path / "run"))
    assert past_runs.accuracy_difference(run, run) is None


def test_changes_leave_defaults_out_and_the_full_config_has_them(finished):
    run = past_runs.read(finished)
    assert past_runs.changes(run)["data.train_size"] == 512
    assert "checkpoint.keep" not in past_runs.changes(run)
    assert past_runs.full_config(run)["checkpoint.keep"] == 2


def test_a_config_of_another_version_is_taken_as_it_is(tmp_path):
    run = past_runs.read(write_run(tmp_path / "run", config='experiment = "x"\n[a]\nb = 1\n'))
    assert past_runs.changes(run) == {"a.b": 1}


@pytest.mark.parametrize(
    ("result", "config", "goes_on"),
    [
        (None, CONFIG, True),
        ({"status": "interrupted"}, CONFIG, True),
        ({"status": "finished"}, CONFIG, False),
        ({"status": "failed", "diverged": ["seed 0"]}, CONFIG, False),
        (None, f"{CONFIG}[checkpoint]\nevery = 0\n", False),
    ],
    ids=["stopped", "interrupted", "finished", "diverged", "no_checkpoints"],
)
def test_how_to_go_on_is_said_where_a_run_can(tmp_path, result, config, goes_on):
    folder = write_run(tmp_path / "a run", result=result, config=config)
    command = f"python -m experiments run --resume '{folder}'"
    assert past_runs.how_to_go_on(past_runs.read(folder)) == (command if goes_on else None)


def test_curves_have_a_line_for_every_network(tmp_path):
    rows = [
        {"kind": "train", "seed": seed, "epoch": 1 + step // 4, "step": step, "loss": 1 / step}
        for step in (2, 4, 6)
        for seed in (0, 1)
    ]
    run = past_runs.read(write_run(tmp_path / "run", rows=[*rows, evaluation(0, 0.5)]))
    lines = past_runs.curves(run, kind="train", column="loss")
    assert lines.keys() == {"seed 0", "seed 1"}
    assert past_runs.curves(run, kind="evaluate", column="accuracy") == {"seed 0": [(1.0, 0.5)]}


TRAINED = {"kind": "train", "seed": 0, "epoch": 1, "step": 4, "loss": 0.5}
LATER = {
    "nothing": ([], []),
    "an_evaluation": ([evaluation(0, 0.5)], [(1.0, 0.5)]),
    "the_next_epoch": ([{**TRAINED, "epoch": 2, "step": 8}], [(1.0, 0.5), (2.0, 0.5)]),
    "a_step_beyond_float": ([{**TRAINED, "step": 10**400}, evaluation(0, 0.5)], [(1.0, 0.5)] * 2),
}


@pytest.mark.parametrize(("later", "line"), LATER.values(), ids=LATER)
def test_curves_begin_when_the_first_epoch_has_ended(tmp_path, later, line):
    run = past_runs.read(write_run(tmp_path / "run", rows=[TRAINED, *later]))
    assert past_runs.curves(run, kind="train", column="loss").get("seed 0", []) == line


def test_a_run_that_vanishes_while_runs_are_found_is_no_error(tmp_path):
    assert past_runs._begun(tmp_path / "gone") == 0.0
