"""The same networks in torch, and their training steps: imported only where torch is there."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports] - only benchmarks have it
from torch import nn  # pyright: ignore[reportMissingImports] - likewise

from experiments.benchmarks.layer_cases import PoolCase
from experiments.benchmarks.networks import (
    Conv,
    Dense,
    Flatten,
    Layer,
    Mean,
    Network,
    Pool,
    Relu,
    Residual,
    output_shape,
)

Step = Callable[[], Any]


class _Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Any) -> Any:
        return x + self.inner(x)


class _Mean(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.mean(dim=(2, 3))


def torch_network(network: Network) -> nn.Module:
    """Build a network for images [N, C, H, W]."""

    def layers(some: Sequence[Layer], shape: tuple[int, ...]) -> list[nn.Module]:
        made: list[nn.Module] = []
        for layer in some:
            match layer:
                case Conv(channels, size, padding):
                    made.append(nn.Conv2d(shape[-1], channels, size, padding=padding.lower()))
                case Pool():
                    made.append(nn.MaxPool2d(2))
                case Relu():
                    made.append(nn.ReLU())
                case Residual(inner):
                    made.append(_Residual(nn.Sequential(*layers(inner, shape))))
                case Mean():
                    made.append(_Mean())
                case Flatten():
                    made.append(nn.Flatten())
                case Dense(width):
                    made.append(nn.Linear(shape[-1], width))
            shape = output_shape(layer, shape)
        return made

    return nn.Sequential(*layers(network.layers, network.image_shape))


def training_step(
    network: Network,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    learning_rate: float,
    compiled: bool,
) -> tuple[Step, int]:
    """Return a step of gradient descent on one batch, and the number of parameters.

    Args:
      network: which.
      images: [N, H, W, C].
      labels: [N].
      learning_rate: of plain gradient descent.
      compiled: whether the network goes through torch.compile.
    """
    torch.manual_seed(0)
    model = torch_network(network)
    num_params = sum(parameter.numel() for parameter in model.parameters())
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    forward = torch.compile(model) if compiled else model
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    y = torch.from_numpy(labels.astype(np.int64))

    def step() -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(forward(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step, num_params


def pooling(images: np.ndarray, case: PoolCase, *, quantity: str) -> Step:
    """Return a call of torch's maximum pooling, or of its backward pass alone.

    Args:
      images: [N, H, W, C].
      case: window and strides.
      quantity: "value" or "gradient".
    """
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    if quantity == "value":
        return torch.no_grad()(lambda: nn.functional.max_pool2d(x, case.window, case.strides))
    x.requires_grad_()
    out = nn.functional.max_pool2d(x, case.window, case.strides)
    cotangent = torch.randn_like(out)
    return lambda: torch.autograd.grad(out, x, cotangent, retain_graph=True)


def train_classifier(
    network: Network,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    *,
    optimizer: Mapping[str, Any],
    rates: Sequence[float],
    batch_size: int,
    label_smoothing: float,
    seed: int,
) -> tuple[float, float]:
    """Train as `configs/lenet5_mnist_fast.toml` does, all data in memory and standardized.

    Args:
      network: which.
      train: images [N, H, W, C] of mean 0 and deviation 1, and labels [N].
      test: the same.
      optimizer: the config's table.
      rates: the learning rate of every step.
      batch_size: examples of a step; the last of an epoch that fill none are left out.
      label_smoothing: part of the target spread over all classes.
      seed: of weights and orders.

    Returns:
      The seconds from the first step to the last, and the accuracy on the test images.
    """
    torch.manual_seed(seed)
    model = torch_network(network)
    _initialize_as_flax(model)
    descend = _optimizer(model, optimizer)
    (x, y), (test_x, test_y) = (
        (
            torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))),
            torch.from_numpy(labels.astype(np.int64)),
        )
        for images, labels in (train, test)
    )
    start, num_batches = time.perf_counter(), len(y) // batch_size
    order = torch.empty(0)
    for step, rate in enumerate(rates):
        if step % num_batches == 0:
            order = torch.randperm(len(y))
        first = step % num_batches * batch_size
        indices = order[first : first + batch_size]
        for group in descend.param_groups:
            group["lr"] = rate
        descend.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(
            model(x[indices]), y[indices], label_smoothing=label_smoothing
        )
        loss.backward()
        descend.step()
    seconds = time.perf_counter() - start
    with torch.no_grad():
        outputs = torch.cat([model(images) for images in test_x.split(1000)])
    return seconds, float((outputs.argmax(dim=1) == test_y).float().mean())


def _initialize_as_flax(model: nn.Module) -> None:
    """Give weights a normal distribution of variance 1 / fan-in, cut at two deviations."""
    for parameter in model.parameters():
        if parameter.ndim == 1:
            nn.init.zeros_(parameter)
            continue
        deviation = parameter[0].numel() ** -0.5 / 0.87962566  # which the cut makes smaller
        nn.init.trunc_normal_(parameter, std=deviation, a=-2 * deviation, b=2 * deviation)


def _optimizer(model: nn.Module, table: Mapping[str, Any]) -> Any:
    """Return what the config's optimizer is in torch; biases are spared from decay."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": table["weight_decay"]},
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
    ]
    if table["name"] == "sgd":
        return torch.optim.SGD(
            groups, lr=0.0, momentum=table["momentum"], nesterov=table["nesterov"]
        )
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[table["name"]]
    return kind(groups, lr=0.0, betas=(table["b1"], table["b2"]))
