"""Strict JAX settings for every test."""

import os
import signal

# Before JAX starts: the bounds below are derived for a CPU, and a shared GPU is left alone.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_ENABLE_COMPILATION_CACHE", "false")

import jax
import jaxtyping
import pytest

collect_ignore = ["goldens"]  # which scripts made, with packages that no test needs

# A script's background ignores Ctrl-C, and its children inherit that: the tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")
jax.config.update("jax_debug_key_reuse", True)


@pytest.fixture
def unchecked(monkeypatch):
    """Turn the annotation checks off, so that a wrong argument meets our own message."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def x64():
    """Turn 64-bit types on for one test."""
    with jax.enable_x64(True):
        yield
