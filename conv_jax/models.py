"""The Flax models, and `build`, which turns one into pure functions: the only file with Flax."""

import functools
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from conv_jax.correlation import conv2d, corr2d
from conv_jax.layers import avg_pool, conv_general_dilated, max_pool

Params = Any  # nested dict of arrays
Apply = Callable[[Params, jax.Array], Any]

ACTIVATIONS = {"relu": nnx.relu, "tanh": nnx.tanh, "sigmoid": nnx.sigmoid}
POOLINGS = {"max": max_pool, "avg": avg_pool}

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


class Model(NamedTuple):
    """A network as two pure functions over a nested dict of arrays."""

    init: Callable[[jax.Array], Params]  # key -> params
    apply: Apply  # params, inputs -> outputs


def build(
    model_cls: Callable[..., nnx.Module], *, method: str = "__call__", **options: Any
) -> Model:
    """Turn a Flax module class into a pair of pure functions over a dict of arrays.

    Args:
      model_cls: the class; its constructor takes `rngs` and the options.
      method: the method that `apply` calls, "feature_maps" for instance.
      **options: given to the constructor.

    Returns:
      Model(init, apply): `init(key)` makes the parameters, `apply(params, inputs)` the outputs.

    Raises:
      ValueError: if the module holds state other than parameters (batch statistics, dropout
        keys), which a pure `apply` would lose without a word.

    >>> model = build(LeNet5)
    >>> model.apply(model.init(jax.random.key(0)), jnp.zeros((1, 32, 32, 1))).shape
    (1, 10)
    """
    abstract = nnx.eval_shape(lambda: model_cls(**options, rngs=nnx.Rngs(0)))
    if hidden := _hidden_state(abstract):
        raise ValueError(
            f"model_cls: expected parameters (nnx.Param) as the only state, got "
            f"{', '.join(sorted(hidden))} in {type(abstract).__name__}"
        )
    if not hasattr(abstract, method):
        raise ValueError(f"method: {type(abstract).__name__} has no method {method!r}")
    graphdef, _ = nnx.split(abstract, nnx.Param)

    def init(key: jax.Array) -> Params:
        return nnx.to_pure_dict(nnx.state(model_cls(**options, rngs=nnx.Rngs(key)), nnx.Param))

    def apply(params: Params, inputs: jax.Array) -> Any:
        return getattr(nnx.merge(graphdef, params), method)(inputs)

    return Model(init, apply)


class Conv2D(nnx.Module):
    """The layer of the chapter: corr2d(image, weight) + bias.

    weight is [kH, kW], uniform in [0, 1) at the start; bias is one number, 0 at the start.

    Args:
      kernel_size: (kH, kW).
      use_bias: False leaves the bias out.
      strict_convolution: True convolves, so that the layer learns the flipped kernel.
      rngs: the source of the initial weight.
    """

    def __init__(
        self,
        kernel_size: tuple[int, int],
        *,
        use_bias: bool = True,
        strict_convolution: bool = False,
        rngs: nnx.Rngs,
    ) -> None:
        self.weight = nnx.Param(jax.random.uniform(rngs.params(), tuple(kernel_size)))
        self.bias = nnx.Param(jnp.zeros(1)) if use_bias else None
        self.operator = conv2d if strict_convolution else corr2d

    def __call__(self, image: Float[Array, "*batch H W"]) -> Float[Array, "*batch H_out W_out"]:
        """Correlate each image with the weight and add the bias."""
        features = self.operator(image, self.weight[...])
        return features if self.bias is None else features + self.bias[0]


class LeNet5(nnx.Module):
    """The network of the notes: two 5x5 convolutions with pooling, then dense layers.

    conv -> activation -> pool, twice; flatten each example; dense -> activation, for every
    hidden width; dense -> logits. `PRESETS` names three sets of options.

    Args:
      channels: output channels of the two convolutions.
      hidden: widths of the hidden dense layers.
      activation: "relu", "tanh" or "sigmoid".
      pooling: "max" or "avg", 2x2 windows side by side.
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
            conv_general_dilated=conv_general_dilated,
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


def num_params(params: Params) -> int:
    """Return the number of numbers in a tree of parameters."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def summary(**options: Any) -> str:
    """Return LeNet5's table of layers, output shapes [N, H, W, C] and parameters, as in the notes.

    Args:
      **options: those of `LeNet5`.

    Returns:
      One line per layer and a total, computed from shapes alone.

    >>> print(summary().splitlines()[-1].split()[-1])
    266,050
    """
    model = build(LeNet5, method="feature_maps", **options)
    params = jax.eval_shape(model.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((1, *options.get("image_shape", (32, 32, 1))), jnp.float32)
    maps = jax.eval_shape(model.apply, params, images)
    last = f"fc{len(options.get('hidden', (500,))) + 1}"
    sizes = {name: num_params(params.get(last if name == "logits" else name, {})) for name in maps}
    rows = [f"{name:<10}{shape.shape!s:<20}{sizes[name]:>10,}" for name, shape in maps.items()]
    header = f"{'layer':<10}{'output shape':<20}{'parameters':>10}"
    return "\n".join([header, *rows, f"{'total':<30}{num_params(params):>10,}"])


def _pooled_size(size: int, kernel_size: int) -> int:
    """Return one axis after two rounds of valid convolution and 2x2 pooling."""
    once = (size - kernel_size + 1) // 2
    return (once - kernel_size + 1) // 2


def _named(choices: dict[str, Any], argument: str, name: str) -> Any:
    if name not in choices:
        raise ValueError(f"{argument}: expected one of {', '.join(choices)}, got {name!r}")
    return choices[name]


def _hidden_state(module: nnx.Module) -> set[str]:
    """Return the kinds of state in a module that are no parameters, bare arrays included."""
    nodes = [node for _, node in nnx.iter_graph(module)]
    variables = [node for node in nodes if isinstance(node, nnx.Variable)]
    kinds = {type(node).__name__ for node in variables if not isinstance(node, nnx.Param)}
    return kinds | {"a bare array" for node in nodes if isinstance(node, jax.Array)}
