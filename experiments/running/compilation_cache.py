"""JAX's compilation cache in the user's own cache folder, so that a second start compiles less."""

import hashlib
import os
import platform
from pathlib import Path

import pooch

VARIABLE = "JAX_COMPILATION_CACHE_DIR"


def use_compilation_cache() -> Path | None:
    """Keep compiled programs on disk for later processes.

    Whoever can write to the folder can run code in these processes; so nobody else can. The
    variable JAX_COMPILATION_CACHE_DIR names another folder, or none if it is empty.

    Returns:
      The folder, None where the variable decides or the folder cannot be made or is another's.
    """
    import jax

    if VARIABLE in os.environ:
        return None
    folder = own_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
            return None
        folder.chmod(0o700)
    except OSError:
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    return folder


def own_folder() -> Path:
    """Return the folder that is taken where the variable names none."""
    return Path(pooch.os_cache("conv_jax")) / f"compiled-{_processor()}"


def _processor() -> str:
    """Tell processors apart by what they can execute: a home folder may be several machines'."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    about = f"{platform.machine()} {platform.processor()} {flags}"
    return hashlib.sha256(about.encode()).hexdigest()[:12]
