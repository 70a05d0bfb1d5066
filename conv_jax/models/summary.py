"""The table of a network's layers."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from conv_jax.models.build import build, num_params
from conv_jax.models.lenet5 import LeNet5


def summary(*, model_cls: Callable[..., nnx.Module] = LeNet5, **options: Any) -> str:
    """Return a network's table of layers, output shapes [N, H, W, C] and parameters.

    Args:
      model_cls: LeNet5, or another class with the method `feature_maps`, which names its layers
        as its parameters are named; those that it does not name belong to the logits.
      **options: those of the class.

    Returns:
      One line per layer and a total, computed from shapes alone.

    >>> print(summary().splitlines()[-1].split()[-1])
    266,050
    """
    model = build(model_cls, method="feature_maps", **options)
    params = jax.eval_shape(model.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((1, *options.get("image_shape", (32, 32, 1))), jnp.float32)
    maps = jax.eval_shape(model.apply, params, images)
    sizes = {name: num_params(params.get(name, {})) for name in maps}
    sizes["logits"] += num_params(params) - sum(sizes.values())
    rows = [f"{name:<10}{shape.shape!s:<20}{sizes[name]:>10,}" for name, shape in maps.items()]
    header = f"{'layer':<10}{'output shape':<20}{'parameters':>10}"
    return "\n".join([header, *rows, f"{'total':<30}{num_params(params):>10,}"])
