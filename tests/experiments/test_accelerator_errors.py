import os
import subprocess
import sys

import jax
import pytest

from experiments import learn_kernel
from experiments.__main__ import main
from experiments.after import past_runs
from experiments.running.accelerator_errors import no_backend, what_helps

ERRORS = {
    "memory": ("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes", "batch_size"),
    "fraction": ("Resource exhausted: Out of memory", "XLA_CLIENT_MEM_FRACTION"),
    "cudnn": ("FAILED_PRECONDITION: DNN library initialization failed.", "PREALLOCATE=false"),
    "cudnn_status": ("INTERNAL: CUDNN_STATUS_NOT_INITIALIZED", "PREALLOCATE=false"),
    "cublas": ("INTERNAL: CUBLAS_STATUS_NOT_INITIALIZED", "XLA_CLIENT_MEM_FRACTION"),
}


@pytest.mark.parametrize(("said", "advice"), ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("stage", ["prepare", "run"])
def test_an_error_of_the_accelerator_ends_with_what_helps(
    tmp_path, capsys, monkeypatch, said, advice, stage
):
    def fail(*_):
        raise jax.errors.JaxRuntimeError(said)

    monkeypatch.setattr(learn_kernel, stage, fail)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    arguments = ["run", "configs/learn_kernel.toml", "--out", str(tmp_path / "run")]
    assert main(arguments) == 1
    first, helps, *_ = capsys.readouterr().err.splitlines()
    assert first == f"configs/learn_kernel.toml: JaxRuntimeError: {said}"
    assert advice in helps
    assert "nvidia-smi" in helps


def test_advice_on_a_cpu_names_no_gpu():
    advice = what_helps(RuntimeError("RESOURCE_EXHAUSTED: Out of memory"))
    assert advice == "the device has too little memory: make at_once or data.batch_size smaller"


def test_every_command_gives_the_advice(capsys, monkeypatch):
    def fail(*_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory\nof many words")

    monkeypatch.setattr(past_runs, "find", fail)
    assert main(["ls"]) == 1
    first, advice = capsys.readouterr().err.splitlines()
    assert first == "JaxRuntimeError: RESOURCE_EXHAUSTED: Out of memory"
    assert advice.startswith("the device has too little memory")


@pytest.mark.parametrize(
    "error", [RuntimeError("INTERNAL: else"), ValueError("Out of memory"), MemoryError()], ids=repr
)
def test_other_errors_get_no_advice(error):
    assert what_helps(error) is None


def test_a_backend_that_does_not_start_is_a_line(tmp_path):
    command = [sys.executable, "-m", "experiments", "run", "configs/learn_kernel.toml"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "JAX_PLATFORMS": "absent"},
    )
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith("JAX_PLATFORMS=absent: Unable to initialize backend 'absent'")
    assert ".[cuda13]" in line


def test_a_platform_without_its_plugin_is_a_line(tmp_path, capsys, monkeypatch):
    def fail(*_):  # as jax.devices() does where JAX_PLATFORMS=cuda names what is not installed
        raise AssertionError

    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    monkeypatch.setattr(learn_kernel, "prepare", fail)
    monkeypatch.setattr(jax, "devices", fail)
    arguments = ["run", "configs/learn_kernel.toml", "--out", str(tmp_path / "run")]
    assert main(arguments) == 1
    line = "JAX_PLATFORMS=cuda: JAX finds no such backend; pip install -c constraints.txt -e '.["
    assert capsys.readouterr().err.startswith(line)


def test_another_assertion_is_no_lack_of_a_backend():
    assert no_backend(AssertionError()) is None
