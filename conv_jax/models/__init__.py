"""The Flax models, and `build`, which turns one into pure functions: the only folder with Flax."""

from conv_jax.models.build import Apply, Model, Params, build, num_params
from conv_jax.models.conv2d import Conv2D
from conv_jax.models.lenet5 import ACTIVATIONS, OPERATORS, POOLINGS, PRESETS, LeNet5
from conv_jax.models.small_net import SmallNet
from conv_jax.models.summary import summary

__all__ = (
    "ACTIVATIONS",
    "OPERATORS",
    "POOLINGS",
    "PRESETS",
    "Apply",
    "Conv2D",
    "LeNet5",
    "Model",
    "Params",
    "SmallNet",
    "build",
    "num_params",
    "summary",
)
