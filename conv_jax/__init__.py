"""2-D cross-correlation in JAX: exact, differentiable, with every padding and boundary.

The functions below need JAX and NumPy alone. The submodules `models`, `training` and so on are
imported when first used, for they bring Flax, optax or matplotlib with them.
"""

import importlib
from types import ModuleType

from conv_jax.canny import canny
from conv_jax.correlation import conv2d, corr2d, corr2d_reference
from conv_jax.filters import (
    difference_of_gaussians,
    gaussian_blur,
    gradient,
    sobel_magnitude,
    structure_tensor,
)
from conv_jax.layers import conv_general_dilated
from conv_jax.matrices import col2im, corr2d_matrix, im2col
from conv_jax.padding import output_shape, split_padding
from conv_jax.planning import Plan, plan
from conv_jax.pooling import avg_pool, max_pool
from conv_jax.receptive_field import effective_receptive_field, receptive_field

__all__ = (
    "Plan",
    "avg_pool",
    "canny",
    "col2im",
    "conv2d",
    "conv_general_dilated",
    "corr2d",
    "corr2d_matrix",
    "corr2d_reference",
    "difference_of_gaussians",
    "effective_receptive_field",
    "gaussian_blur",
    "gradient",
    "im2col",
    "max_pool",
    "output_shape",
    "plan",
    "receptive_field",
    "sobel_magnitude",
    "split_padding",
    "structure_tensor",
)
__version__ = "0.1.0"

_SUBMODULES = (
    "allocator",
    "augment",
    "data",
    "interop",
    "kernels",
    "layers",
    "losses",
    "matrices",
    "models",
    "optimizers",
    "plots",
    "pooling",
    "training",
)


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return importlib.import_module(f"conv_jax.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted((*__all__, *_SUBMODULES))
