"""What a number depends on: code, versions, machine, devices, flags."""

import datetime
import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("conv_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "chex", "numpy")


def environment() -> dict[str, Any]:
    """Return what a number depends on: code, versions, machine, devices, flags."""
    import jax

    devices = jax.devices()
    changes = git("status", "--porcelain")
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "experiments", *sys.argv[1:]]),
        "commit": git("rev-parse", "HEAD"),
        "dirty": None if changes is None else changes != "",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "backend": jax.default_backend(),
        "processes": jax.process_count(),
        "devices": [device.device_kind for device in devices],
        "flags": {k: v for k, v in sorted(os.environ.items()) if k.startswith(("JAX_", "XLA_"))},
    }


def git(*arguments: str) -> str | None:
    """Return what git says of the code's own repository, None where there is none."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    """Return the installed version, None for a package that is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
