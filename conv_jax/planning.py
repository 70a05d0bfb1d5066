"""What "auto" will do for given shapes, told without doing it."""

import math
import operator
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from conv_jax import dtypes
from conv_jax import padding as rules
from conv_jax.algorithms.costs import predict, predict_separable
from conv_jax.padding import Padding

_PLATFORMS = ("cpu", "gpu", "cuda", "rocm", "tpu")


class Plan(NamedTuple):
    """The algorithm that `corr2d` takes, and what each would cost; `print` tells it in words."""

    algorithm: str
    seconds: Mapping[str, float]  # predicted for one compiled call, the fastest first
    platform: str

    def __str__(self) -> str:
        """Return one sentence."""
        (_, best), *others = self.seconds.items()
        told = ", ".join(f"{name} {_duration(seconds)}" for name, seconds in others)
        rest = f"; then {told}" if told else ""
        return f"{self.algorithm} on {self.platform}, about {_duration(best)}{rest}"


def plan(
    image_shape: Sequence[int],
    kernel_shape: Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    padding: Padding = "valid",
    boundary: str = "constant",
    dtype: DTypeLike = jnp.float32,
    separable: bool = False,
    platform: str | None = None,
) -> Plan:
    """Tell which algorithm `corr2d(..., algorithm="auto")` takes, and the predicted times.

    The times are those of the cost model in `algorithms/costs.py`, fitted on one machine with
    two cores; on others their ratios count. For GPU and TPU they are guesses: none was at hand.

    Args:
      image_shape: (..., H, W).
      kernel_shape: (kH, kW).
      stride: as for `corr2d`.
      dilation: as for `corr2d`.
      padding: as for `corr2d`.
      boundary: as for `corr2d`; "constant" means zeros here, and any other fill value costs what
        other boundaries do.
      dtype: of image and kernel.
      separable: whether the kernel is given as (column, row). (Of a kernel that "auto" has to
        factorize by itself, it asks for a gain of 0.2 ms at least.)
      platform: "cpu", "gpu", "cuda", "rocm" or "tpu"; None for the one that JAX uses.

    Returns:
      The plan, with the seconds of every algorithm considered.

    Raises:
      ValueError: as `corr2d`, for shapes and options.

    >>> print(plan((1024, 1024), (3, 3), platform="cpu").algorithm)
    shifted
    """
    rules.output_shape(image_shape, kernel_shape, stride=stride, dilation=dilation, padding=padding)
    try:
        image_shape, kernel_shape = (
            tuple(map(operator.index, shape)) for shape in (image_shape, kernel_shape)
        )
        known = min(image_shape) >= 0
    except TypeError:
        known = False
    if not known:
        raise ValueError(f"image: expected whole sizes of at least 0, got {tuple(image_shape)}")
    if platform not in (None, *_PLATFORMS):
        known = ", ".join(map(repr, _PLATFORMS))
        raise ValueError(f"platform: expected one of {known}, or None, got {platform!r}")
    try:
        given = jax.dtypes.canonicalize_dtype(dtype)
        if not (given == np.bool_ or jnp.issubdtype(given, np.number)):
            raise TypeError
    except TypeError:
        raise ValueError(f"dtype: expected one of numbers, got {dtype!r}") from None
    sums, _ = dtypes.sum_and_result(given, given)
    dilations = rules.positive_pair("dilation", dilation)
    pads = rules.resolve(padding, extent=rules.kernel_extent(kernel_shape, dilations))
    rules.check_boundary(image_shape, pads, boundary=boundary, fill_value=0)
    image_shape, pads = rules.before_algorithm(image_shape, pads, by_zeros=boundary == "constant")
    options = {
        "stride": rules.positive_pair("stride", stride),
        "dilation": dilations,
        "pads": pads,
        "dtype": sums,
        "platform": platform or jax.default_backend(),
    }
    images = (1, math.prod(image_shape[:-2]), 1, *image_shape[-2:])
    seconds = predict(images, (1, 1, 1, *kernel_shape), **options)
    if separable:
        seconds["separable"] = predict_separable(
            images, (kernel_shape[0], kernel_shape[1]), **options
        )
    ranked = dict(sorted(seconds.items(), key=lambda item: item[1]))
    return Plan(next(iter(ranked)), ranked, options["platform"])


def _duration(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
