import os
import stat
import subprocess
import sys

import pytest

from experiments.running import compilation_cache

RUN = [sys.executable, "-m", "experiments", "run", "configs/learn_kernel.toml", "train.epochs=1"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="XDG_CACHE_HOME is Linux's")
def test_a_run_keeps_programs_where_nobody_else_can_write(tmp_path):
    given = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    given |= {"JAX_PLATFORMS": "cpu", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    given["XDG_CACHE_HOME"] = str(tmp_path)
    command = [*RUN, "--out", str(tmp_path / "run")]

    subprocess.run(command, env=given, capture_output=True, text=True, check=True)

    [folder] = (tmp_path / "conv_jax").glob("compiled-*")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="XDG_CACHE_HOME is Linux's")
def test_the_variable_names_another_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(compilation_cache.VARIABLE, str(tmp_path / "mine"))

    assert compilation_cache.use_compilation_cache() is None
    assert not (tmp_path / "conv_jax").exists()


def test_a_folder_that_cannot_be_made_is_gone_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.delenv(compilation_cache.VARIABLE, raising=False)
    monkeypatch.setattr(compilation_cache.pooch, "os_cache", lambda _: tmp_path / "file")

    assert compilation_cache.use_compilation_cache() is None
