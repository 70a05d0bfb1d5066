"""Correlation of every channel with kernels of its own: sums of shifted images."""

import functools
import itertools
import operator
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from conv_jax.multichannel.moves import met, pad
from conv_jax.multichannel.placement import Window, output_sizes


def correlate(
    image: Float[Array, "N *S G"], kernel: Float[Array, "*K G O"], *, window: Window
) -> Float[Array, "N *S_out G O"]:
    """Add up the image once for each element of the kernel, shifted and weighted by channel."""
    sizes = output_sizes(image.shape[1:-1], kernel.shape[:-2], window)
    image = pad(image, window)
    terms = [
        _times(met(image, taps, window, sizes=sizes), kernel[taps])
        for taps in itertools.product(*map(range, kernel.shape[:-2]))
    ]
    total = functools.reduce(operator.add, terms)
    return total if total.ndim > image.ndim else total[..., None]


def kernel_gradient(
    image: Float[Array, "N *S G"],
    cotangent: Float[Array, "N *S_out G O"],
    *,
    window: Window,
    kernel_size: Sequence[int],
) -> Float[Array, "*K G O"]:
    """Return the kernels' gradient: a sum over images and places for each of their elements."""
    image, sizes = pad(image, window), cotangent.shape[1:-2]
    num_outputs = cotangent.shape[-1]
    flat = cotangent[..., 0] if num_outputs == 1 else cotangent
    sums = []
    for taps in itertools.product(*map(range, kernel_size)):
        part = met(image, taps, window, sizes=sizes)
        part = part if num_outputs == 1 else part[..., None]
        sums.append(jnp.sum(part * flat, axis=tuple(range(1 + len(sizes)))))
    return jnp.stack(sums).reshape(*kernel_size, -1, num_outputs)


def _times(image: Array, weights: Float[Array, "G O"]) -> Array:
    if weights.shape[-1] == 1:
        return image * weights[:, 0].reshape((1,) * (image.ndim - 1) + (-1,))
    return image[..., None] * weights.reshape((1,) * (image.ndim - 1) + weights.shape)
