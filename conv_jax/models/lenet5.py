"""LeNet5 of the notes, of LeCun and others, and of Dive into Deep Learning."""

import functools
import math
from collections import OrderedDict
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from conv_jax.layers import conv_general_dilated
from conv_jax.pooling import avg_pool, max_pool

ACTIVATIONS = {"relu": nnx.relu, "tanh": nnx.tanh, "sigmoid": nnx.sigmoid}
POOLINGS = {"max": max_pool, "avg": avg_pool}
OPERATORS = {
    "correlation": conv_general_dilated,
    "convolution": lambda images, kernel, *arguments, **options: conv_general_dilated(
        images, jnp.flip(kernel, (0, 1)), *arguments, **options
    ),
}

# LeNet5 of the notes; LeCun, Bottou, Bengio and Haffner 1998 with full connections and plain
# tanh; and Dive into Deep Learning, "LeNet".
PRESETS: dict[str, dict[str, Any]] = {
    "notes": {"channels": (20, 20), "hidden": (500,), "activation": "relu", "pooling": "max"},
    "lecun1998": {
        "channels": (6, 16),
        "hidden": (120, 84),
        "activation": "tanh",
        "pooling": "avg",
    },
    "d2l": {"channels": (6, 16), "hidden": (120, 84), "activation": "sigmoid", "pooling": "avg"},
}


class LeNet5(nnx.Module):
    """The network of the notes: two 5x5 convolutions with pooling, then dense layers.

    conv -> activation -> pool, twice; flatten each example; dense -> activation, for every
    hidden width; dense -> logits. `PRESETS` names three sets of options.

    Args:
      channels: output channels of the two convolutions.
      hidden: widths of the hidden dense layers.
      activation: "relu", "tanh" or "sigmoid".
      pooling: "max" or "avg", 2x2 windows side by side.
      operator: "correlation", or "convolution", which flips the kernels before it correlates; a
        network trained so from flipped kernels learns the flipped kernels.
      kernel_size: height and width of both kernels, in pixels.
      num_classes: number of logits.
      image_shape: (H, W, C) of the images, without the batch.
      rngs: the source of the initial weights.

    Raises:
      ValueError: for an unknown word or an image too small for the network.
    """

    def __init__(
        self,
        *,
        channels: tuple[int, int] = (20, 20),
        hidden: tuple[int, ...] = (500,),
        activation: str = "relu",
        pooling: str = "max",
        operator: str = "correlation",
        kernel_size: int = 5,
        num_classes: int = 10,
        image_shape: tuple[int, int, int] = (32, 32, 1),
        rngs: nnx.Rngs,
    ) -> None:
        self.activation = _named(ACTIVATIONS, "activation", activation)
        self.pooling = _named(POOLINGS, "pooling", pooling)
        self.image_shape = tuple(image_shape)
        if kernel_size < 1 or len(channels) != 2 or min(*channels, *hidden, num_classes) < 1:
            raise ValueError(
                "kernel_size, channels, hidden, num_classes: expected two channels and numbers of "
                f"at least 1, got {kernel_size}, {channels}, {hidden}, {num_classes}"
            )
        height, width = (_pooled_size(n, kernel_size) for n in self.image_shape[:2])
        if min(height, width) < 1:
            smallest = 3 * kernel_size + 1
            raise ValueError(
                f"image_shape: expected at least {smallest}x{smallest} pixels for two "
                f"{kernel_size}x{kernel_size} convolutions with 2x2 pooling, got {image_shape}"
            )
        conv = functools.partial(
            nnx.Conv,
            kernel_size=(kernel_size, kernel_size),
            padding="VALID",
            conv_general_dilated=_named(OPERATORS, "operator", operator),
            rngs=rngs,
        )
        self.conv1 = conv(self.image_shape[2], channels[0])
        self.conv2 = conv(channels[0], channels[1])
        self.num_dense = len(hidden) + 1
        widths = (height * width * channels[1], *hidden, num_classes)
        for index in range(self.num_dense):
            layer = nnx.Linear(widths[index], widths[index + 1], rngs=rngs)
            setattr(self, f"fc{index + 1}", layer)

    def __call__(self, images: Float[Array, "*batch H W C"]) -> Float[Array, "*batch classes"]:
        """Return the logits."""
        return self.feature_maps(images)["logits"]

    def predict(self, images: Float[Array, "*batch H W C"]) -> Int[Array, "*batch"]:
        """Return the most probable class; no softmax is needed for that."""
        return jnp.argmax(self(images), axis=-1)

    def feature_maps(self, images: Float[Array, "*batch H W C"]) -> OrderedDict[str, jax.Array]:
        """Return every intermediate by name, from "input" to "logits", in order.

        As the notes print them: "conv1" and "conv2" before the activation, all others after it.
        """
        if images.shape[-3:] != self.image_shape:
            raise ValueError(
                f"images: expected a shape (..., {', '.join(map(str, self.image_shape))}), "
                f"got {images.shape}"
            )
        maps = OrderedDict(input=images)  # a plain dict would leave `jit` in alphabetical order
        x = images
        for index in (1, 2):
            x = maps[f"conv{index}"] = getattr(self, f"conv{index}")(x)
            x = maps[f"pool{index}"] = self.pooling(self.activation(x), (2, 2), (2, 2))
        x = maps["flatten"] = x.reshape(*x.shape[:-3], math.prod(x.shape[-3:]))
        for index in range(1, self.num_dense):
            dense = getattr(self, f"fc{index}")
            x = maps[f"fc{index}"] = self.activation(dense(x))
        maps["logits"] = getattr(self, f"fc{self.num_dense}")(x)
        return maps


def _pooled_size(size: int, kernel_size: int) -> int:
    """Return one axis after two rounds of valid convolution and 2x2 pooling."""
    once = (size - kernel_size + 1) // 2
    return (once - kernel_size + 1) // 2


def _named(choices: dict[str, Any], argument: str, name: str) -> Any:
    if name not in choices:
        raise ValueError(f"{argument}: expected one of {', '.join(choices)}, got {name!r}")
    return choices[name]
