import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from experiments import config
from experiments.__main__ import main
from experiments.after import past_runs
from experiments.after.report import page
from experiments.record import FolderError, Record

SMOKE = "configs/lenet5_smoke.toml"
KERNEL = "configs/learn_kernel.toml"


@pytest.fixture
def undrawn(monkeypatch):
    """Save no figures, which takes longer than to learn a kernel."""
    monkeypatch.setattr(Record, "save_figure", lambda *_: None)


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="module")
def smoke_run(tmp_path_factory):
    """The smoke config as a user runs it."""
    folder = tmp_path_factory.mktemp("smoke") / "run"
    command = [sys.executable, "-m", "experiments", "run", SMOKE, "--out", str(folder)]
    return folder, subprocess.run(command, capture_output=True, text=True, check=False)


def test_run_ends_with_accuracy_and_folder(smoke_run):
    folder, done = smoke_run
    assert done.returncode == 0, done.stderr
    *_, accuracy, report, last = done.stdout.splitlines()
    assert accuracy.startswith("test accuracy ")
    assert report == f"report: {folder / 'report.html'}"
    assert last == f"run folder: {folder}"
    assert result_of(folder)["accuracy_mean"] > 0.5  # chance is 0.1


def test_run_prints_one_plain_line_an_interval(smoke_run):
    _, done = smoke_run
    lines = [line for line in done.stdout.splitlines() if line.startswith("seed 0  step")]
    assert len(lines) == 2
    assert lines[0].startswith("seed 0  step  8/16  epoch 1  loss ")
    assert "\x1b" not in done.stdout


def test_run_folder_is_whole(smoke_run):
    folder, _ = smoke_run
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    files = {str(path) for path in paths if path.parts[0] != "checkpoints"}
    pictures = ("confusion", "curves", "feature_maps", "kernels", "mistakes")
    assert files == {
        *("config.toml", "environment.json", "lock", "metrics.jsonl", "report.html", "result.json"),
        *(f"figures/{name}.{kind}" for name in pictures for kind in ("png", "svg")),
        "weights/seed-0.safetensors",
    }
    assert [path.name for path in sorted(folder.glob("checkpoints/0-0/*"))] == ["16", "8"]


def test_recorded_config_loads_back_equal(smoke_run):
    folder, _ = smoke_run
    assert config.load(folder / "config.toml") == config.load(Path(SMOKE))


def test_environment_names_what_a_number_depends_on(smoke_run):
    folder, _ = smoke_run
    environment = json.loads((folder / "environment.json").read_text())
    assert {"commit", "dirty", "packages", "devices", "flags", "cores", "command"} <= set(
        environment
    )
    assert environment["packages"]["jax"]


def test_every_metrics_line_is_json(smoke_run):
    folder, _ = smoke_run
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert {row["kind"] for row in rows} == {"train", "evaluate"}


def test_learn_kernel_runs_from_the_command_line(tmp_path, capsys):
    assert main(["run", KERNEL, "train.epochs=5", "--out", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out.startswith("Epoch 5, loss 0.743")


def test_divergence_is_one_line_and_keeps_what_was_recorded(tmp_path, capsys):
    folder = tmp_path / "run"
    overrides = ["optimizer={name='sgd', learning_rate=1e12}", "train.log_every=1"]
    overrides += ["model.channels=[2, 3]", "model.hidden=[4]"]  # compiles sooner
    assert main(["run", SMOKE, *overrides, "--out", str(folder)]) == 1
    error = capsys.readouterr().err.splitlines()
    assert "last good loss" in error[0]
    assert "learning rate" in error[0]
    assert error[1:] == [f"what was recorded: {folder}"]
    assert not (folder / "weights").exists()
    assert result_of(folder)["status"] == "failed"
    rows = (folder / "metrics.jsonl").read_text().splitlines()
    assert all("NaN" not in row and "Infinity" not in row for row in rows)


DIVERGENT = {
    "last_update": [KERNEL, "train.epochs=1", "optimizer.learning_rate=1e38"],
    "kernel": [KERNEL, "optimizer.learning_rate=1e38"],
    "within_an_epoch": [
        "configs/learn_kernel_natural.toml",
        *("optimizer={name='sgd', learning_rate=1e6}", "train.epochs=2"),
    ],
}


@pytest.mark.parametrize("arguments", DIVERGENT.values(), ids=DIVERGENT)
def test_any_divergence_is_status_1_and_leaves_json(tmp_path, capsys, arguments):
    folder = tmp_path / "run"
    config, *overrides = arguments
    assert main(["run", config, *overrides, "--out", str(folder)]) == 1
    assert "likely cause" in capsys.readouterr().err
    assert result_of(folder)["error"].startswith("DivergedError: loss ")


def test_results_are_kept_when_drawing_fails(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "run"

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Record, "save_figure", full)
    assert main(["run", KERNEL, "train.epochs=1", "--out", str(folder)]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert result_of(folder)["status"] == "failed"
    assert result_of(folder)["steps"] == 1


def test_a_run_that_failed_has_its_page(tmp_path, capsys):
    folder = tmp_path / "run"
    assert main(["run", KERNEL, "optimizer.learning_rate=1e38", "--out", str(folder)]) == 1
    assert f"report: {folder / 'report.html'}\n" in capsys.readouterr().out
    assert "DivergedError" in (folder / "report.html").read_text(encoding="utf-8")


def test_an_interrupted_run_has_its_page(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Record, "save_figure", interrupt)
    folder = tmp_path / "run"
    assert main(["run", KERNEL, "train.epochs=1", "--out", str(folder)]) == 130
    assert "This run was interrupted." in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
        (KeyboardInterrupt(), "KeyboardInterrupt: "),
        (KeyError("x"), "KeyError: 'x'"),
    ],
    ids=["full_disk", "interrupt", "mistake"],
)
def test_a_finished_run_stays_so_without_its_page(
    tmp_path, capsys, monkeypatch, undrawn, error, line
):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(page, "write", fail)
    folder = tmp_path / "run"
    assert main(["run", KERNEL, "train.epochs=1", "--out", str(folder)]) == 0
    printed = capsys.readouterr()
    assert printed.err == f"no report: {line}\n"
    assert printed.out.splitlines()[-1] == f"run folder: {folder}"
    assert result_of(folder)["status"] == "finished"


def test_overrides_may_follow_the_options(tmp_path, capsys, undrawn):
    folder = str(tmp_path / "run")
    assert main(["run", KERNEL, "--out", folder, "train.epochs=5"]) == 0
    assert "Epoch 5" in capsys.readouterr().out


def test_a_folder_with_brackets_is_printed_as_it_is(tmp_path, capsys, undrawn):
    folder = tmp_path / "[bold]x[/y]"
    assert main(["run", KERNEL, "train.epochs=1", "--out", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"run folder: {folder}"


def test_a_mistake_in_an_override_names_the_override(tmp_path, capsys):
    override = "data.train_size=100000"
    assert main(["run", SMOKE, override, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert (
        error
        == f"override {override!r}: {override.split('=')[0]}: expected at most 1437, got 100000\n"
    )


def test_a_folder_of_other_files_is_refused(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("x")
    assert main(["run", KERNEL, "train.epochs=1", "--out", str(tmp_path)]) == 2
    assert "already holds other files" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_empty_folder_name_is_a_mistake():
    with pytest.raises(SystemExit) as caught:
        main(["run", KERNEL, "--out", ""])
    assert caught.value.code == 2


def test_an_interrupted_run_says_so(tmp_path, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Record, "save_figure", interrupt)
    assert main(["run", KERNEL, "train.epochs=1", "--out", str(tmp_path / "run")]) == 130
    assert f"what was recorded: {tmp_path / 'run'}" in capsys.readouterr().err
    assert result_of(tmp_path / "run")["status"] == "interrupted"


def test_an_unknown_option_is_a_mistake():
    with pytest.raises(SystemExit) as caught:
        main(["run", KERNEL, "--fast"])
    assert caught.value.code == 2


@pytest.mark.parametrize("content", [b"\xff\xfe", b"experiment = [1", b"experiment = [1]"], ids=str)
def test_list_shows_a_config_that_cannot_be_read(tmp_path, capsys, content):
    (tmp_path / "x.toml").write_bytes(content)
    (tmp_path / "folder.toml").mkdir()
    assert main(["list", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["configs/nothing.toml"], "configs/nothing.toml: no such file"),
        ([SMOKE, "train.epochs=0"], "override 'train.epochs=0': train.epochs: "),
        ([SMOKE, "data.train_size=9"], f"{SMOKE}: data.batch_size: expected at most 9, got 64"),
        (
            [SMOKE, "data.name=mnist", "data.root=/nowhere"],
            "override 'data.root=/nowhere': data.root: no such folder: /nowhere",
        ),
    ],
    ids=["file", "value", "data", "folder"],
)
def test_a_callers_mistake_is_status_2_and_leaves_nothing(tmp_path, capsys, arguments, message):
    folder = tmp_path / "run"
    assert main(["run", *arguments, "--out", str(folder)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert len(error.splitlines()) == 1
    assert not folder.exists()


def test_a_folder_that_holds_a_run_is_refused_and_kept(tmp_path, capsys, undrawn):
    folder = tmp_path / "run"
    main(["run", KERNEL, "train.epochs=1", "--out", str(folder)])
    before = (folder / "result.json").read_bytes()
    capsys.readouterr()
    assert main(["run", KERNEL, "train.epochs=2", "--out", str(folder)]) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert (folder / "result.json").read_bytes() == before


def test_a_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match=r"--out: .* cannot be written: "):
        Record(tmp_path / "file" / "run", {})


def test_wrong_usage_is_status_2_without_a_traceback():
    command = [sys.executable, "-m", "experiments", "ran"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_list_names_every_config(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(map(str, Path("configs").glob("*.toml")))
    assert all(len(line.split()) > 4 for line in lines)


def test_list_of_an_empty_folder_is_a_mistake(tmp_path, capsys):
    assert main(["list", str(tmp_path)]) == 2
    assert "no configs" in capsys.readouterr().err


def test_help_gives_examples(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert "python -m experiments run configs/" in capsys.readouterr().out


def test_config_mistakes_do_not_wait_for_jax_or_matplotlib():
    code = (
        "import sys; from experiments.__main__ import main; "
        "status = main(['run', 'configs/none.toml']); "
        "assert not {'jax', 'matplotlib'} & set(sys.modules); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, env={**os.environ})
    assert done.returncode == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("command", ["list", "schema"])
def test_an_output_that_is_full_is_a_line(command):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "experiments", *command.split()]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "[Errno 28] No space left on device\n"


INTERRUPTED_IMPORT = """
import runpy, sys

class Interrupt:
    def find_spec(self, name, path, target=None):
        if name == "experiments.commands.listing":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
sys.argv[1:] = ["ls"]
runpy.run_module("experiments", run_name="__main__")
"""


def test_ctrl_c_while_it_starts_is_a_line():
    command = [sys.executable, "-c", INTERRUPTED_IMPORT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "\ninterrupted\n")


def test_what_an_extension_makes_of_ctrl_c_is_an_interruption(monkeypatch):
    def extension(folder):
        raise ImportError("initializing the extension") from KeyboardInterrupt()

    monkeypatch.setattr(past_runs, "find", extension)
    assert main(["ls"]) == 130


def test_version_stands_in_one_place():
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert "version" not in project
    assert "version" in project["dynamic"]
