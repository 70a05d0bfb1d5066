"""Deterministic kernels on GPUs: the flag of XLA, set before the backend reads it.

XLA's programs for CPUs and TPUs give the same bits every time by themselves. On a GPU, sums by
atomic additions and kernels chosen by timing them do not; the flag takes neither, and what has
no deterministic kernel does not compile. What stands in XLA_FLAGS is read once, when JAX starts
its first backend.
"""

import os
import re

import jax

FLAG = "--xla_gpu_deterministic_ops"
_NARROWER = "--xla_gpu_exclude_nondeterministic_ops"  # which FLAG implies
_NUMBER = "jax_num_cpu_devices"


def use_deterministic_kernels() -> None:
    """Have XLA compile deterministic kernels on GPUs, for the rest of the process.

    Call it before anything computes, in a notebook in its first cell:

        from experiments.running.determinism import use_deterministic_kernels
        use_deterministic_kernels()

    Other flags in XLA_FLAGS stay. A flag that asks for the same is believed to have stood there
    when the backend started, so that a second call does no harm.

    Raises:
      ValueError: if XLA_FLAGS says the opposite or names a file, or a backend runs already.
    """
    flags = os.environ.get("XLA_FLAGS", "").strip()
    if flags and not flags.startswith("-"):
        raise ValueError(f"deterministic: expected flags in XLA_FLAGS, got a file, {flags!r}")
    given = [flag for flag in flags.split() if flag.partition("=")[0] in (FLAG, _NARROWER)]
    opposite = [flag for flag in given if re.search(r"=(false|0)$", flag, re.IGNORECASE)]
    if opposite:
        raise ValueError(f"deterministic: expected no opposite in XLA_FLAGS, got {opposite[-1]}")
    if any(flag.partition("=")[0] == FLAG for flag in given):
        return
    if backend_runs():
        raise ValueError(
            "deterministic: expected before JAX computes anything, got a backend that runs and "
            "has read its flags; start a new process"
        )
    os.environ["XLA_FLAGS"] = f"{flags} {FLAG}=true".strip()


def backend_runs() -> bool:
    """Tell whether JAX has started a backend, without starting one.

    JAX refuses another number of CPU devices from then on, and until then takes it back.
    """
    number = getattr(jax.config, _NUMBER)
    try:
        jax.config.update(_NUMBER, number + 1)
    except RuntimeError:
        return True
    jax.config.update(_NUMBER, number)
    return False
