import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from conv_jax import models
from experiments.__main__ import main
from experiments.running import determinism

SMOKE = "configs/lenet5_smoke.toml"
FLAG = determinism.FLAG
NARROWER = "--xla_gpu_exclude_nondeterministic_ops"

# A run as from the command line, which writes the parameters where figures would be drawn.
RUN = """
import sys, jax, numpy as np
from experiments import lenet5_figures
from experiments.__main__ import main
def save(task, outcomes, record):
    np.savez(record.folder / "params.npz", *jax.tree.leaves(outcomes[0].params))
lenet5_figures.draw = save
sys.exit(main(sys.argv[1:]))
"""
TINY = (
    *("deterministic=true", "train.epochs=1", "data.train_size=128", "augment.shift=1"),
    *("model.channels=[2, 3]", "model.hidden=[4]"),
)


@pytest.fixture
def fresh(monkeypatch):
    """A process whose backend has not started, as far as the module can tell."""
    monkeypatch.setattr(determinism, "backend_runs", lambda: False)
    monkeypatch.delenv("XLA_FLAGS", raising=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of two processes that ran the same config at the same time."""
    folders = [tmp_path_factory.mktemp("runs") / name for name in ("first", "second")]
    processes = [
        subprocess.Popen([sys.executable, "-c", RUN, "run", SMOKE, *TINY, "--out", str(folder)])
        for folder in folders
    ]
    assert [process.wait() for process in processes] == [0, 0]
    return folders


def test_two_processes_give_the_same_parameters(runs):
    first, second = (np.load(folder / "params.npz") for folder in runs)
    assert first.files == second.files
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])


def test_two_processes_give_the_same_result(runs):
    first, second = (json.loads((folder / "result.json").read_text()) for folder in runs)
    untimed = {key for key in first if "seconds" not in key}
    assert {"accuracy", "loss", "seeds"} <= untimed
    assert {key: first[key] for key in untimed} == {key: second[key] for key in untimed}


def test_two_processes_give_the_same_metrics(runs):
    both = []
    for folder in runs:
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        both.append([{**json.loads(line), "seconds": None} for line in lines])
    assert both[0] == both[1]


def test_a_run_records_the_flag(runs):
    environment = json.loads((runs[0] / "environment.json").read_text())
    assert f"{FLAG}=true" in environment["flags"]["XLA_FLAGS"]
    assert "deterministic = true" in (runs[0] / "config.toml").read_text()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, f"{FLAG}=true"),
        ("", f"{FLAG}=true"),
        ("--xla_dump_to=folder", f"--xla_dump_to=folder {FLAG}=true"),
        (f"{NARROWER}=1", f"{NARROWER}=1 {FLAG}=true"),
        (f"--a=1 {FLAG}", f"--a=1 {FLAG}"),
        (f"{FLAG}=TRUE --a=1", f"{FLAG}=TRUE --a=1"),
    ],
    ids=["unset", "empty", "another", "narrower", "bare", "set"],
)
@pytest.mark.usefixtures("fresh")
def test_the_flag_joins_those_that_are_there(monkeypatch, before, after):
    if before is not None:
        monkeypatch.setenv("XLA_FLAGS", before)
    determinism.use_deterministic_kernels()
    assert os.environ["XLA_FLAGS"] == after


@pytest.mark.parametrize(
    "flag",
    [f"{FLAG}=false", f"{FLAG}=0", f"{NARROWER}=False"],
)
@pytest.mark.usefixtures("fresh")
def test_an_opposite_flag_is_named(monkeypatch, flag):
    monkeypatch.setenv("XLA_FLAGS", f"--a=1 {flag} --b=2")
    with pytest.raises(ValueError, match=f"deterministic: expected no opposite.* got {flag}$"):
        determinism.use_deterministic_kernels()
    assert os.environ["XLA_FLAGS"] == f"--a=1 {flag} --b=2"


@pytest.mark.usefixtures("fresh")
def test_a_file_of_flags_is_refused(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "flags.txt")
    with pytest.raises(ValueError, match=r"deterministic: expected flags .* got a file, 'flags"):
        determinism.use_deterministic_kernels()


def test_too_late_is_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    jnp.zeros(()).block_until_ready()
    folder = tmp_path / "run"
    assert main(["run", SMOKE, "deterministic=true", "--out", str(folder)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("override 'deterministic=true': deterministic: expected before JAX")
    assert not folder.exists()
    assert "XLA_FLAGS" not in os.environ


def test_whether_a_backend_runs_is_told_without_starting_one():
    program = """
import jax, os
from experiments.running.determinism import backend_runs, use_deterministic_kernels
before = jax.config.jax_num_cpu_devices
assert not backend_runs() and not backend_runs()
use_deterministic_kernels()
assert jax.config.jax_num_cpu_devices == before
assert jax.device_count() == int(os.environ["JAX_NUM_CPU_DEVICES"])
assert backend_runs()
use_deterministic_kernels()
"""
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "3"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_xla_reads_its_flags_when_the_backend_starts():
    program = "import jax, os; os.environ['XLA_FLAGS'] = '--xla_gpu_no_such'; jax.devices()"
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "--xla_gpu_no_such" in done.stderr


def cuda_program(function, *arguments):
    """Return what XLA would be given to compile for an NVIDIA GPU."""
    traced = jax.jit(function).trace(*arguments)
    return traced.lower(lowering_platforms=("cuda",)).as_text()


@pytest.mark.parametrize("preset", [*models.PRESETS, "small"])
def test_no_gradient_needs_a_kernel_that_gpus_have_not(preset):
    # "select_and_scatter" has no deterministic one.
    model_cls = models.SmallNet if preset == "small" else models.LeNet5
    model = models.build(model_cls, **models.PRESETS.get(preset, {}))
    params = jax.eval_shape(model.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((2, 32, 32, 1), "float32")
    gradient = jax.grad(lambda params, images: model.apply(params, images).sum())
    assert "select_and_scatter" not in cuda_program(gradient, params, images)


def test_a_gradient_of_reduce_window_does():
    def pooled(x):
        return lax.reduce_window(x, -jnp.inf, lax.max, (2,), (2,), "VALID").sum()

    assert "select_and_scatter" in cuda_program(jax.grad(pooled), jnp.arange(4.0))
