"""LeNet5's parameters to PyTorch and back, as NumPy arrays: PyTorch itself is not needed.

A file of PyTorch's is read with `from_torch(safetensors.numpy.load_file(path), ...)`, and written
with `safetensors.numpy.save_file(to_torch(...), path)`.
"""

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

_CONVOLUTIONS = ("conv1", "conv2")
_OPERATORS = ("correlation", "convolution")


def to_torch(
    params: Mapping[str, Mapping[str, Any]],
    *,
    image_shape: tuple[int, int, int],
    operator: str = "correlation",
) -> dict[str, np.ndarray]:
    """Return the parameters of a `conv_jax.models.LeNet5` as the state_dict of a PyTorch network.

    Kernels go from [kH, kW, in, out] to [out, in, kH, kW], dense layers from [in, out] to
    [out, in]. PyTorch flattens feature maps channel by channel, [C, H, W], where we have
    [H, W, C]: the inputs of the first dense layer change places too.

    Args:
      params: layer -> "kernel", "bias" -> array.
      image_shape: (H, W, C) of the images.
      operator: of the network; the kernels of a "convolution" are flipped, for PyTorch correlates.

    Returns:
      Arrays by PyTorch's names, "conv1.weight" and so on.

    Raises:
      ValueError: if the parameters are not those of a LeNet5 for such images.

    >>> import jax
    >>> from conv_jax import models
    >>> params = models.build(models.LeNet5).init(jax.random.key(0))
    >>> to_torch(params, image_shape=(32, 32, 1))["conv2.weight"].shape
    (20, 20, 5, 5)
    """
    _check_operator(operator)
    renamed = {"kernel": "weight"}
    arrays = {
        f"{layer}.{renamed.get(name, name)}": np.asarray(array)
        for layer, of_layer in params.items()
        for name, array in of_layer.items()
    }
    layers = _layers(arrays, argument="params")
    _check_ranks(arrays, layers)
    last_map = _last_map(arrays["conv1.weight"].shape[0], image_shape)
    for layer in layers:
        name = f"{layer}.weight"
        weight = arrays[name]
        if layer in _CONVOLUTIONS:
            weight = _channels_first(weight, operator)
        elif layer == "fc1":
            maps = (*last_map, arrays["conv2.bias"].size)
            _check_inputs(len(weight), maps, image_shape)
            kernel = weight.reshape(*maps, -1)  # as of a convolution as large as its image
            weight = _channels_first(kernel, "correlation").reshape(-1, math.prod(maps))
        else:
            weight = weight.T
        arrays[name] = np.ascontiguousarray(weight)
    _check_shapes(arrays, layers, image_shape=image_shape, argument="params, as PyTorch has them")
    return arrays


def from_torch(
    state_dict: Mapping[str, Any],
    *,
    image_shape: tuple[int, int, int],
    operator: str = "correlation",
) -> dict[str, dict[str, np.ndarray]]:
    """Return the parameters of a `conv_jax.models.LeNet5` from the state_dict of a PyTorch network.

    The inverse of `to_torch`: `from_torch(to_torch(params, ...), ...)` gives params back, bit for
    bit. Its options `channels`, `hidden` and so on are those of the arrays; activation and pooling
    stand in no state_dict.

    Args:
      state_dict: "conv1.weight", "conv1.bias", "conv2.weight", ..., "fc1.weight", ... -> arrays or
        tensors on the host.
      image_shape: (H, W, C) of the images.
      operator: of the network to be; "convolution" gets flipped kernels.

    Returns:
      layer -> "kernel", "bias" -> array.

    Raises:
      ValueError: for a missing or unknown name, or a shape that does not fit.
    """
    _check_operator(operator)
    arrays = {name: np.asarray(array) for name, array in state_dict.items()}
    layers = _layers(arrays, argument="state_dict")
    last_map = _check_shapes(arrays, layers, image_shape=image_shape, argument="state_dict")
    params = {}
    for layer in layers:
        kernel = arrays[f"{layer}.weight"]
        if layer in _CONVOLUTIONS:
            kernel = _channels_last(kernel, operator)
        elif layer == "fc1":
            maps = kernel.reshape(len(kernel), -1, *last_map)
            kernel = _channels_last(maps, "correlation").reshape(-1, len(kernel))
        else:
            kernel = kernel.T
        bias = arrays[f"{layer}.bias"]
        params[layer] = {"bias": bias, "kernel": np.ascontiguousarray(kernel)}
    return params


def _channels_first(
    kernel: Float[np.ndarray, "kH kW I O"], operator: str
) -> Float[np.ndarray, "O I kH kW"]:
    return _flipped(kernel, operator).transpose(3, 2, 0, 1)


def _channels_last(
    kernel: Float[np.ndarray, "O I kH kW"], operator: str
) -> Float[np.ndarray, "kH kW I O"]:
    return _flipped(kernel.transpose(2, 3, 1, 0), operator)


def _flipped(
    kernel: Float[np.ndarray, "kH kW I O"], operator: str
) -> Float[np.ndarray, "kH kW I O"]:
    return kernel[::-1, ::-1] if operator == "convolution" else kernel


def _last_map(kernel_size: int, image_shape: tuple[int, int, int]) -> tuple[int, int]:
    """Return the height and the width of the maps that LeNet5 flattens."""
    height, width = image_shape[:2]
    for _ in _CONVOLUTIONS:
        height, width = ((size - kernel_size + 1) // 2 for size in (height, width))
    if min(height, width) < 1:
        smallest = 3 * kernel_size + 1
        raise ValueError(
            f"image_shape: expected at least {smallest}x{smallest} pixels, got {image_shape}"
        )
    return height, width


def _check_operator(operator: str) -> None:
    if operator not in _OPERATORS:
        raise ValueError(f"operator: expected one of {', '.join(_OPERATORS)}, got {operator!r}")


def _check_inputs(
    given: int, maps: tuple[int, int, int], image_shape: tuple[int, int, int]
) -> None:
    if given != math.prod(maps):
        sizes = "x".join(map(str, maps))
        raise ValueError(
            f"image_shape: {image_shape} makes {sizes} inputs of fc1, and params have {given}"
        )


def _layers(names: Collection[str], *, argument: str) -> tuple[str, ...]:
    """Return the layers in order, after a check that they are a LeNet5's."""
    num_dense = max(1, sum(name.startswith("fc") and name.endswith(".weight") for name in names))
    layers = (*_CONVOLUTIONS, *(f"fc{index + 1}" for index in range(num_dense)))
    expected = {f"{layer}.{name}" for layer in layers for name in ("weight", "bias")}
    wrong = {"without": expected - set(names), "with": set(names) - expected}
    told = [f"{word} {', '.join(sorted(those))}" for word, those in wrong.items() if those]
    if told:
        raise ValueError(f"{argument}: expected the arrays of a LeNet5, got some {', '.join(told)}")
    return layers


def _check_ranks(arrays: Mapping[str, np.ndarray], layers: tuple[str, ...]) -> None:
    """Check that our kernels have axes to change places."""
    for layer in layers:
        rank, shape = 4 if layer in _CONVOLUTIONS else 2, arrays[f"{layer}.weight"].shape
        if len(shape) != rank:
            raise ValueError(f"params: {layer}.kernel: expected {rank} axes, got a shape {shape}")


def _check_shapes(
    arrays: Mapping[str, np.ndarray],
    layers: tuple[str, ...],
    *,
    image_shape: tuple[int, int, int],
    argument: str,
) -> tuple[int, int]:
    """Check every shape against the layer before it, and return that of the last maps."""
    *_, kernel_size = (1, *arrays["conv1.weight"].shape)
    inputs, last_map = image_shape[2], _last_map(kernel_size, image_shape)
    for layer in layers:
        outputs = arrays[f"{layer}.bias"].size
        window = (kernel_size, kernel_size) if layer in _CONVOLUTIONS else ()
        if layer == "fc1":
            inputs *= math.prod(last_map)
        shapes = {"weight": (outputs, inputs, *window), "bias": (outputs,)}
        for name, shape in shapes.items():
            given = arrays[f"{layer}.{name}"].shape
            if given != shape:
                raise ValueError(
                    f"{argument}: {layer}.{name}: expected a shape {shape}, of a LeNet5 for images "
                    f"of {image_shape}, got {given}"
                )
        inputs = outputs
    return last_map
