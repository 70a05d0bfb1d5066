"""2-D cross-correlation in JAX: exact, differentiable, with every padding and boundary.

The functions below need JAX and NumPy alone. The submodules `models`, `training` and so on are
imported when first used, for they bring Flax, optax or matplotlib with them.
"""

import importlib
from types import ModuleType

from conv_jax.correlation import conv2d, corr2d, corr2d_reference
from conv_jax.layers import avg_pool, conv_general_dilated, max_pool
from conv_jax.padding import output_shape, split_padding
from conv_jax.planning import Plan, plan

__all__ = (
    "Plan",
    "avg_pool",
    "conv2d",
    "conv_general_dilated",
    "corr2d",
    "corr2d_reference",
    "max_pool",
    "output_shape",
    "plan",
    "split_padding",
)
__version__ = "0.1.0"

_SUBMODULES = (
    "allocator",
    "augment",
    "data",
    "layers",
    "losses",
    "models",
    "optimizers",
    "plots",
    "training",
)


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return importlib.import_module(f"conv_jax.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted((*__all__, *_SUBMODULES))
