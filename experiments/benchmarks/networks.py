"""Three small networks, each written once and built for Flax NNX, Flax Linen and torch."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from flax import linen, nnx

from conv_jax.models import Model, build

NUM_CLASSES = 10


class Conv(NamedTuple):
    """A convolution with a bias, stride 1."""

    channels: int
    size: int
    padding: str  # "VALID" or "SAME"


class Pool(NamedTuple):
    """The maximum of 2x2 windows side by side."""


class Relu(NamedTuple):
    """The larger of each number and 0."""


class Residual(NamedTuple):
    """What the layers give, added to what they were given."""

    layers: tuple["Layer", ...]


class Mean(NamedTuple):
    """The mean over all places of an image."""


class Flatten(NamedTuple):
    """An image as a vector."""


class Dense(NamedTuple):
    """A matrix product with a bias."""

    width: int


Layer = Conv | Pool | Relu | Residual | Mean | Flatten | Dense


class Network(NamedTuple):
    """Layers, and the images [H, W, C] that they take."""

    image_shape: tuple[int, int, int]
    layers: tuple[Layer, ...]


NETWORKS = {
    # The notes' LeNet5.
    "lenet5": Network(
        (32, 32, 1),
        (
            *(Conv(20, 5, "VALID"), Relu(), Pool()) * 2,
            *(Flatten(), Dense(500), Relu(), Dense(NUM_CLASSES)),
        ),
    ),
    "cnn": Network(
        (28, 28, 1),
        (
            *(Conv(32, 3, "VALID"), Relu(), Pool()),
            *(Conv(64, 3, "VALID"), Relu(), Pool()),
            *(Conv(64, 3, "VALID"), Relu()),
            *(Flatten(), Dense(64), Relu(), Dense(NUM_CLASSES)),
        ),
    ),
    "resnet_block": Network(
        (32, 32, 3),
        (
            *(Conv(64, 3, "SAME"), Relu()),
            *(Residual((Conv(64, 3, "SAME"), Relu(), Conv(64, 3, "SAME"))), Relu()),
            *(Mean(), Dense(NUM_CLASSES)),
        ),
    ),
}


class _NnxResidual(nnx.Module):
    def __init__(self, inner: nnx.Sequential) -> None:
        self.inner = inner

    def __call__(self, x: jax.Array) -> jax.Array:
        return x + self.inner(x)


class _LinenResidual(linen.Module):
    inner: linen.Sequential

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return x + self.inner(x)


def nnx_network(
    network: Network,
    *,
    rngs: nnx.Rngs,
    conv: Callable[..., Any] = jax.lax.conv_general_dilated,
    max_pool: Callable[..., Any] = nnx.max_pool,
) -> nnx.Sequential:
    """Build a network as Flax users do.

    Args:
      network: which.
      rngs: of the initial weights.
      conv: given to `nnx.Conv` as `conv_general_dilated`.
      max_pool: (x, window_shape, strides) -> pooled.
    """

    def layers(some: Sequence[Layer], shape: tuple[int, ...]) -> list[Any]:
        made = []
        for layer in some:
            match layer:
                case Conv(channels, size, padding):
                    made.append(
                        nnx.Conv(
                            shape[-1],
                            channels,
                            (size, size),
                            padding=padding,
                            conv_general_dilated=conv,
                            rngs=rngs,
                        )
                    )
                case Pool():
                    made.append(functools.partial(max_pool, window_shape=(2, 2), strides=(2, 2)))
                case Relu():
                    made.append(nnx.relu)
                case Residual(inner):
                    made.append(_NnxResidual(nnx.Sequential(*layers(inner, shape))))
                case Mean():
                    made.append(_mean)
                case Flatten():
                    made.append(_flatten)
                case Dense(width):
                    made.append(nnx.Linear(shape[-1], width, rngs=rngs))
            shape = output_shape(layer, shape)
        return made

    return nnx.Sequential(*layers(network.layers, network.image_shape))


def nnx_model(network: Network, **options: Any) -> Model:
    """Return `nnx_network` as two pure functions."""
    return build(nnx_network, network=network, **options)


def linen_model(network: Network) -> Model:
    """Build a network in Linen with its own convolution and pooling, as two pure functions."""

    def layers(some: Sequence[Layer]) -> list[Any]:
        made = []
        for layer in some:
            match layer:
                case Conv(channels, size, padding):
                    made.append(linen.Conv(channels, (size, size), padding=padding))
                case Pool():
                    pool = functools.partial(linen.max_pool, window_shape=(2, 2), strides=(2, 2))
                    made.append(pool)
                case Relu():
                    made.append(linen.relu)
                case Residual(inner):
                    made.append(_LinenResidual(linen.Sequential(layers(inner))))
                case Mean():
                    made.append(_mean)
                case Flatten():
                    made.append(_flatten)
                case Dense(width):
                    made.append(linen.Dense(width))
        return made

    module = linen.Sequential(layers(network.layers))
    image = jax.ShapeDtypeStruct((1, *network.image_shape), "float32")
    return Model(lambda key: module.lazy_init(key, image), module.apply)


def output_shape(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape, without the batch, that a layer gives for one that it takes."""
    match layer:
        case Conv(channels, size, padding):
            smaller = size - 1 if padding == "VALID" else 0
            return (shape[0] - smaller, shape[1] - smaller, channels)
        case Pool():
            return (shape[0] // 2, shape[1] // 2, shape[2])
        case Flatten():
            return (math.prod(shape),)
        case Mean():
            return shape[-1:]
        case Dense(width):
            return (width,)
        case _:
            return shape


def step_flops(network: Network) -> int:
    """Return the operations of a training step for one image, of its matrix products alone.

    A layer multiplies for its values, for the gradient of its weights and, but for the first
    one with weights, for the gradient of its input.
    """
    flops, passes = 0, 2
    for layer, shape in _with_shapes(network.layers, network.image_shape):
        match layer:
            case Conv(channels, size, _):
                places = math.prod(output_shape(layer, shape)[:2])
                products = places * size**2 * shape[-1] * channels
            case Dense(width):
                products = shape[-1] * width
            case _:
                continue
        flops += 2 * passes * products
        passes = 3
    return flops


def _with_shapes(
    layers: Sequence[Layer], shape: tuple[int, ...]
) -> list[tuple[Layer, tuple[int, ...]]]:
    """Return each layer, those within residual ones too, with the shape that it takes."""
    pairs: list[tuple[Layer, tuple[int, ...]]] = []
    for layer in layers:
        inner = layer.layers if isinstance(layer, Residual) else ()
        pairs += _with_shapes(inner, shape) if inner else [(layer, shape)]
        shape = output_shape(layer, shape)
    return pairs


def _mean(x: jax.Array) -> jax.Array:
    return x.mean(axis=(1, 2))


def _flatten(x: jax.Array) -> jax.Array:
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))
