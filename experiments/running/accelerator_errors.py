"""What usually helps when an accelerator fails at run time."""

import re

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


def _is_on_gpu() -> bool:
    import jax

    try:
        return jax.default_backend() == "gpu"
    except RuntimeError:  # of a GPU that cannot start: a CPU always does
        return True
