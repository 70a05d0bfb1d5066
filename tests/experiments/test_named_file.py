"""What the programs beside `python -m experiments` answer to a file that they cannot use."""

import importlib
import sys

import pytest

CORR2D, TRAINING = (
    f"experiments/results/{name}/result.json" for name in ("bench_corr2d", "bench_training")
)
PROGRAMS = {
    "corr2d_summary": ("bench_corr2d", TRAINING),
    "fit_costs": ("bench_corr2d", TRAINING),
    "training_summary": ("bench_training", CORR2D),
}


def answer(monkeypatch, capsys, program, *arguments):
    """Run a program, and return its exit status and what it says of the mistake."""
    monkeypatch.setattr(sys, "argv", [program, *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        importlib.import_module(f"experiments.benchmarks.{program}").main()
    return caught.value.code, capsys.readouterr().err


@pytest.fixture(params=PROGRAMS)
def program(request):
    """A program that reads the result.json of an experiment, and one of another's."""
    return (request.param, *PROGRAMS[request.param])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"[1", "not JSON: Expecting ',' delimiter: line 1 column 3 (char 2)"),
        (b"\xff", "not JSON: 'utf-8' codec can't decode byte 0xff in position 0: "),
        (b"[1]", "expected a result.json of EXPERIMENT"),
        (b'{"experiment": "EXPERIMENT"}', "expected a whole run, got one without "),
    ],
    ids=["absent", "broken", "bytes", "list", "of_a_failed_run"],
)
def test_no_result_is_one_line_and_status_2(
    monkeypatch, capsys, tmp_path, program, content, message
):
    name, experiment, _ = program
    file = tmp_path / "result.json"
    if content is not None:
        file.write_bytes(content.replace(b"EXPERIMENT", experiment.encode()))

    status, said = answer(monkeypatch, capsys, name, file)

    assert status == 2
    assert said.startswith(f"{file}: {message.replace('EXPERIMENT', experiment)}")
    assert said.count("\n") == 1


def test_the_result_of_another_experiment_is_refused(monkeypatch, capsys, program):
    name, experiment, other = program

    status, said = answer(monkeypatch, capsys, name, other)

    assert (status, said) == (2, f"{other}: expected a result.json of {experiment}\n")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (
            "configs/lenet5_mnst.toml",
            "configs/lenet5_mnst.toml: no such file; did you mean 'configs/lenet5_mnist.toml'?\n",
        ),
        (
            "configs/learn_kernel.toml",
            "configs/learn_kernel.toml: experiment: expected 'lenet5', got 'learn_kernel'\n",
        ),
    ],
    ids=["absent", "other"],
)
@pytest.mark.parametrize("name", ["start", "checkpoints"])
def test_no_config_to_start_is_one_line_and_status_2(monkeypatch, capsys, name, file, said):
    assert answer(monkeypatch, capsys, name, file) == (2, said)


@pytest.mark.parametrize("name", [*PROGRAMS, "start"])
def test_no_file_at_all_is_status_2(monkeypatch, capsys, name):
    status, said = answer(monkeypatch, capsys, name)

    assert status == 2
    assert said.count("error: ") == 1
