import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import jax
import pytest

from experiments import doctor
from experiments.__main__ import main
from experiments.doctor import Finding


def only(findings):
    (finding,) = findings
    return finding


@pytest.fixture
def installed(monkeypatch):
    """Change the version that a package seems to have; None uninstalls it."""
    version = metadata.version

    def install(package, pretended):
        def pretend(name):
            if name == package and pretended is None:
                raise metadata.PackageNotFoundError(name)
            return pretended if name == package else version(name)

        monkeypatch.setattr(metadata, "version", pretend)

    return install


def test_sound_packages_are_a_line_each_for_python_and_them():
    python, packages = doctor.packages()
    assert {python.mark, packages.mark} == {"ok"}
    assert f"jax {jax.__version__}" in packages.text


@pytest.mark.parametrize("version", ["0.2.7", None])
def test_a_package_below_its_floor_is_named_with_what_mends_it(installed, version):
    installed("optax", version)
    _, broken = doctor.packages()
    mend = "pip install -c constraints.txt 'optax>=0.2.8'"
    assert broken == Finding("!!", "packages", f"optax>=0.2.8 needed, got {version}: {mend}")


def test_an_old_python_is_broken(monkeypatch):
    monkeypatch.setattr("platform.python_version", lambda: "3.10.4")
    assert next(doctor.packages()).mark == "!!"


def test_the_backend_names_its_devices():
    assert only(doctor.backend(seconds=60)) == Finding("ok", "backend", "cpu: 1 x cpu")


def test_a_backend_that_hangs_is_reported(monkeypatch):
    monkeypatch.setattr(doctor, "_PROBE", "import time; time.sleep(60)")
    hung = only(doctor.backend(seconds=0.2))
    text = "did not start in 0.2 s; JAX_PLATFORMS=cpu does without it"
    assert hung == Finding("!!", "backend", text)


PROBES = {
    "error": ("raise RuntimeError('no driver')", "RuntimeError: no driver; "),
    "abort": ("import os; os.abort()", "ended with -6; "),
    "silence": ("pass", "said nothing of its devices; "),
}


@pytest.mark.parametrize(("probe", "text"), PROBES.values(), ids=PROBES)
def test_a_backend_that_fails_is_reported(monkeypatch, probe, text):
    monkeypatch.setattr(doctor, "_PROBE", probe)
    broken = only(doctor.backend(seconds=60))
    assert (broken.mark, broken.text) == ("!!", f"{text}JAX_PLATFORMS=cpu does without it")


def test_a_platform_without_its_plugin_is_named_with_its_extra(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    monkeypatch.setattr(doctor, "_PROBE", "raise AssertionError")
    text = "AssertionError with JAX_PLATFORMS=cuda: pip install -c constraints.txt -e '.[cuda13]'"
    assert only(doctor.backend(seconds=60)).text.startswith(text)


GPU = {"backend": "gpu", "kinds": ["H"] * 2, "limits": [3 * 2**30] * 2}


def test_the_memory_of_gpus_is_told(monkeypatch):
    monkeypatch.setattr(doctor, "_PROBE", f"import json; print(json.dumps({GPU}))")
    devices, memory = doctor.backend(seconds=60)
    assert devices.text == "gpu: 2 x H"
    assert memory.text.endswith("3.0 GiB, 3.0 GiB")


def test_an_accelerator_that_jax_cannot_use_is_worth_a_look(monkeypatch):
    warning = "import sys; print('Falling back to cpu.', file=sys.stderr)"
    monkeypatch.setattr(doctor, "_PROBE", f"{doctor._PROBE}\n{warning}")
    _, unused = doctor.backend(seconds=60)
    assert unused.mark == "--"


def test_flags_are_named(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=x")
    finding = doctor.flags()
    assert finding.mark == "--"
    assert "XLA_FLAGS=--xla_dump_to=x" in finding.text


def test_the_limit_of_a_control_group_is_told(monkeypatch, tmp_path):
    (tmp_path / "max").write_text(f"{5 * 2**30}\n")
    monkeypatch.setattr(doctor, "_CGROUP", tmp_path / "max")
    *_, limit = doctor.memory()
    assert limit == Finding("--", "memory", "the control group allows 5.0 GiB")


@pytest.mark.parametrize(("mode", "mark"), [(0o700, "ok"), (0o777, "!!"), (0o720, "!!")])
def test_a_cache_that_others_may_write_to_is_broken(monkeypatch, tmp_path, mode, mark):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(mode)
    (tmp_path / "cache" / "program").write_bytes(bytes(2048))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    finding = only(doctor.caches())
    assert finding.mark == mark
    assert finding.text.startswith(f"{tmp_path / 'cache'}, 2 KiB, mode {mode:04o}")


def test_a_cache_of_another_user_is_broken(monkeypatch, tmp_path):
    tmp_path.chmod(0o700)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("os.getuid", lambda: tmp_path.stat().st_uid + 1)
    finding = only(doctor.caches())
    assert finding.mark == "!!"
    assert "another user's" in finding.text


def test_a_program_that_is_taken_away_does_not_count(tmp_path):
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")
    (tmp_path / "program").write_bytes(bytes(2048))
    assert doctor._bytes_in(tmp_path) == 2048


def test_a_cache_that_cannot_be_told_is_broken(monkeypatch):
    monkeypatch.delitem(sys.modules, "experiments.running.compilation_cache", raising=False)
    monkeypatch.delattr("experiments.running.compilation_cache", raising=False)
    monkeypatch.setitem(sys.modules, "pooch", None)
    finding = only(doctor.caches())
    assert finding.mark == "!!"
    assert "pooch" in finding.text


def test_a_cache_that_cannot_be_made_is_worth_a_look(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "file" / "cache"))
    finding = only(doctor.caches())
    assert finding.mark == "--"
    assert "cannot be made" in finding.text


def test_a_folder_of_runs_that_is_a_file_is_worth_a_look(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").touch()
    assert doctor.disk().text.startswith(f"{tmp_path / 'runs'} cannot be written to")


def test_a_cache_that_is_turned_off_is_told(monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    assert only(doctor.caches()).mark == "--"


def test_data_are_embedded_found_or_would_be_fetched(monkeypatch, tmp_path):
    (tmp_path / "mnist").mkdir()
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / "mnist" / f"{part}-ubyte.gz").touch()
    monkeypatch.setenv("CONV_JAX_DATA", str(tmp_path))
    monkeypatch.setattr("conv_jax.data.fetch.cache_folder", lambda: tmp_path / "cache")
    assert list(doctor.datasets()) == [
        Finding("ok", "data", "digits, digits_halves: embedded"),
        Finding(
            "--", "data", f"fashion_mnist: would be fetched into {tmp_path}/cache/fashion_mnist"
        ),
        Finding("--", "data", f"kmnist: would be fetched into {tmp_path}/cache/kmnist"),
        Finding("ok", "data", f"mnist: {tmp_path}/mnist"),
    ]


def test_a_folder_of_data_that_is_not_there_is_broken(monkeypatch, tmp_path):
    monkeypatch.setenv("CONV_JAX_DATA", str(tmp_path / "none"))
    none = tmp_path / "none"
    text = f"CONV_JAX_DATA: no such folder: {none}: mkdir -p {none}, or unset it"
    assert next(doctor.datasets()) == Finding("!!", "data", text)


def test_a_missing_extra_says_what_it_is_for(installed):
    installed("tensorboardx", None)
    text = "tensorboard, for log.tensorboard, lacks tensorboardx: "
    mend = "pip install -c constraints.txt -e '.[tensorboard]'"
    assert Finding("--", "extras", f"{text}{mend}") in list(doctor.extras())


def test_an_extra_below_its_floor_lacks_the_package(installed):
    installed("tensorboardx", "1.0")
    assert "tensorboard" in {f.text.partition(",")[0] for f in doctor.extras() if f.mark == "--"}


def test_the_extras_of_an_extra_are_looked_at(monkeypatch):
    requires = {"conv_jax": ["jax[cuda13]; extra == 'gpu'"], "jax": ["plugin; extra == 'cuda13'"]}
    monkeypatch.setattr(metadata, "requires", requires.get)
    assert list(doctor._lacking("conv_jax", "gpu")) == ["plugin"]


def test_every_extra_is_known():
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert doctor._EXTRAS.keys() == project["optional-dependencies"].keys()


MISSING = """
import runpy, sys
sys.modules[sys.argv[1]] = None
sys.argv[1:] = ["doctor"]
runpy.run_module("experiments", run_name="__main__")
"""


@pytest.mark.parametrize("package", ["pydantic", "packaging"])
def test_a_missing_package_is_a_line(package):
    command = [sys.executable, "-c", MISSING, package]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.endswith(": pip install -c constraints.txt -e .")
    assert package in line


@pytest.mark.parametrize(("mark", "status"), [("ok", 0), ("--", 0), ("!!", 1)])
def test_only_what_is_broken_is_an_error(monkeypatch, capsys, mark, status):
    monkeypatch.setattr(doctor, "examine", lambda: iter([Finding(mark, "data", "a\nb")]))
    assert main(["doctor"]) == status
    assert capsys.readouterr().out == f"{mark}  data         a\\nb\n"
