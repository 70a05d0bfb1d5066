"""A trained network in files for other programs, and how they are loaded."""

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import export
from safetensors import numpy as safetensors

from conv_jax import interop
from experiments.after import export_images, weights
from experiments.after.weights import Weights

_PLATFORMS = ("cpu", "cuda", "tpu")
_IN_TORCH = {
    **{"relu": "ReLU", "tanh": "Tanh", "sigmoid": "Sigmoid"},
    **{"max": "MaxPool2d", "avg": "AvgPool2d"},
}


class Format(NamedTuple):
    """A format: the name of its file, what is in it, and the text that tells how to load it."""

    file: str
    to_bytes: Callable[[Weights], bytes]
    how_to_load: Callable[[Weights], str]


def formats_of(network: Weights) -> list[str]:
    """Return the formats that a network has: PyTorch's needs a LeNet5."""
    return [name for name in FORMATS if name != "torch" or network.network == "LeNet5"]


def files(network: Weights, formats: Sequence[str]) -> dict[str, bytes]:
    """Return the files of an export by their names, README.md last.

    Raises:
      ValueError: for a format that the network has not.
    """
    asked = [FORMATS[name] for name in dict.fromkeys(formats)]
    written = {each.file: each.to_bytes(network) for each in asked}
    text = "\n".join([export_images.about(network), *(each.how_to_load(network) for each in asked)])
    return {**written, "README.md": text.encode()}


def _torch(network: Weights) -> bytes:
    told = {"mean": network.mean, "std": network.std, "class_names": network.class_names}
    metadata = {key: json.dumps(value) for key, value in told.items()}
    return safetensors.save(_state_dict(network), metadata)


def _state_dict(network: Weights) -> dict[str, Any]:
    if network.network != "LeNet5":
        raise ValueError(f"--format torch: expected a LeNet5, got a {network.network}")
    operator = network.options.get("operator", "correlation")
    return interop.to_torch(network.params, image_shape=network.image_shape, operator=operator)


def _stablehlo(network: Weights) -> bytes:
    """Return a program that takes any number of images, on a CPU, a GPU or a TPU."""
    sizes = ", ".join(map(str, ("b", *network.image_shape)))
    images = jax.ShapeDtypeStruct(export.symbolic_shape(sizes), jnp.float32)
    program = export.export(jax.jit(network.apply), platforms=_PLATFORMS)(images)
    return bytes(program.serialize())


def _how_to_load_ours(network: Weights) -> str:
    del network
    return """\
## weights.safetensors

In the layout of JAX, with all of the above in the metadata. `safetensors.numpy.load_file` reads the
arrays anywhere; the lines below need `experiments`, which only a clone of conv_jax has (no wheel):
start Python in its folder, with the path of the file.

```python
from experiments.after import weights
network = weights.load("weights.safetensors")
logits = network.apply(grey)  # [B, H, W, C] -> [B, classes]
```
"""


def _how_to_load_torch(network: Weights) -> str:
    layers = "\n    ".join(_torch_layers(network))
    return f"""\
## torch.safetensors

A state_dict of PyTorch:

```python
from collections import OrderedDict
import torch
from safetensors.torch import load_file
from torch import nn

network = nn.Sequential(OrderedDict(
    {layers}
))
network.load_state_dict(load_file("torch.safetensors"))
images = torch.from_numpy(grey.astype("float32").transpose(0, 3, 1, 2))  # [B, C, H, W]
logits = network((images / 255 - {network.mean!r}) / {network.std!r})
```
"""


def _torch_layers(network: Weights) -> list[str]:
    shapes = {name: array.shape for name, array in _state_dict(network).items()}
    activation, pooling = (_IN_TORCH[network.options[key]] for key in ("activation", "pooling"))

    def conv(index: int) -> str:
        outputs, inputs, size, _ = shapes[f"conv{index}.weight"]
        layer = f"conv{index}=nn.Conv2d({inputs}, {outputs}, {size}), "
        return f"{layer}conv{index}_act=nn.{activation}(), pool{index}=nn.{pooling}(2),"

    def dense(index: int) -> str:
        outputs, inputs = shapes[f"fc{index}.weight"]
        return f"fc{index}=nn.Linear({inputs}, {outputs}),"

    last = len(network.options["hidden"]) + 1
    hidden = [f"{dense(index)} fc{index}_act=nn.{activation}()," for index in range(1, last)]
    return [conv(1), conv(2), "flatten=nn.Flatten(),", *hidden, dense(last)]


def _how_to_load_stablehlo(network: Weights) -> str:
    sizes = ", ".join(map(str, network.image_shape))
    return f"""\
## model.stablehlo

A program with the weights in it, for a CPU, a GPU or a TPU. It needs jax and flatbuffers, no
conv_jax; jax promises to load it for six months at least (jax {jax.__version__} wrote it):

```python
from pathlib import Path
from jax import export
network = export.deserialize(Path("model.stablehlo").read_bytes())
grey = grey.astype("float32")  # it takes no other type
logits = network.call(grey)  # [B, {sizes}], any B -> [B, {len(network.class_names)}]
```
"""


FORMATS = {
    "safetensors": Format("weights.safetensors", weights.to_bytes, _how_to_load_ours),
    "torch": Format("torch.safetensors", _torch, _how_to_load_torch),
    "stablehlo": Format("model.stablehlo", _stablehlo, _how_to_load_stablehlo),
}
