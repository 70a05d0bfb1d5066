"""What usually helps when an accelerator does not start, or fails at run time."""

import os
import re

ACCELERATORS = "pip install -c constraints.txt -e '.[cuda13]' (or cuda12, tpu)"
_OUT_OF_MEMORY = re.compile(r"RESOURCE_EXHAUSTED|out of memory", re.IGNORECASE)
# What CUDA's libraries say when they find no memory to start in, which JAX has taken.
_LIBRARY = re.compile(r"CU(DNN|BLAS)_STATUS_(NOT_INITIALIZED|ALLOC_FAILED)|DNN library init")
_OTHERS = "`nvidia-smi` tells whether another process holds the memory"
_LESS = "make at_once or data.batch_size smaller"


def what_helps(error: BaseException) -> str | None:
    """Return one line of advice on an error of XLA, None where nothing usually helps."""
    if not isinstance(error, RuntimeError):
        return None
    if _LIBRARY.search(str(error)):
        return (
            "the GPU's libraries found no memory to start in: set XLA_PYTHON_CLIENT_PREALLOCATE"
            f"=false or XLA_CLIENT_MEM_FRACTION=0.7; {_OTHERS}"
        )
    if not _OUT_OF_MEMORY.search(str(error)):
        return None
    if not _is_on_gpu():
        return f"the device has too little memory: {_LESS}"
    return (
        f"the device has too little memory: {_LESS}, or set XLA_CLIENT_MEM_FRACTION=0.95; {_OTHERS}"
    )


def no_backend(error: BaseException) -> str | None:
    """Return one line on a backend that JAX could not start, None on another error."""
    said = str(error).partition("\n")[0]
    if not said.startswith("Unable to initialize backend") and not _lacks_plugin(error):
        return None
    asked = os.environ.get("JAX_PLATFORMS")
    if not asked:
        return said
    reason = said.partition(" (set ")[0].rstrip(".") or "JAX finds no such backend"
    return f"JAX_PLATFORMS={asked}: {reason}; {ACCELERATORS}, or JAX_PLATFORMS=cpu"


def _lacks_plugin(error: BaseException) -> bool:
    """Tell whether it is the bare AssertionError of JAX without the plugin of a platform."""
    if not isinstance(error, AssertionError) or error.args:
        return False
    import jax

    try:
        jax.devices()
    except AssertionError:
        return True
    return False


def _is_on_gpu() -> bool:
    import jax

    try:
        return jax.default_backend() == "gpu"
    except RuntimeError:  # of a GPU that cannot start: a CPU always does
        return True
