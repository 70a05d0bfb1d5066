"""Images moved against a kernel: padded, and cut to what each of its elements meets."""

import itertools
from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from conv_jax.multichannel.placement import Placement, Window


def pad(image: Float[Array, "N *S C"], window: Sequence[Placement]) -> Float[Array, "N *P C"]:
    """Extend an image by zeros, and cut it where a pad is negative."""
    config = [(place.before, place.after, 0) for place in window]
    if not any(map(any, config)):
        return image
    return lax.pad(image, jnp.zeros((), image.dtype), [(0, 0, 0), *config, (0, 0, 0)])


def met(
    image: Float[Array, "..."],
    element: Sequence[int],
    window: Window,
    *,
    sizes: Sequence[int],
    first_axis: int = 1,
) -> Float[Array, "..."]:
    """Return what one element of the kernel meets in a padded image, at every output.

    Args:
      image: with the window's axes beside each other.
      element: its place in the kernel along those axes.
      window: how kernel and image lie on each other.
      sizes: of the output along those axes.
      first_axis: of the image, the first of those.
    """
    for axis, (k, place, size) in enumerate(zip(element, window, sizes, strict=True), first_axis):
        first = k * place.kernel_dilation
        stop = first + (size - 1) * place.stride + 1
        image = lax.slice_in_dim(image, first, stop, place.stride, axis)
    return image


def scattered(
    parts: Sequence[Array] | Array,
    kernel_size: Sequence[int],
    window: Sequence[Placement],
    *,
    sizes: Sequence[int],
) -> list[Array]:
    """Move what belongs to each row of the kernel from the image's places to the output's.

    Output y takes place y + k kernel_dilation - before of part k, or 0 where there is none.
    """
    moved = []
    for part, taps in zip(parts, itertools.product(*map(range, kernel_size)), strict=True):
        before = [
            place.before - tap * place.kernel_dilation
            for tap, place in zip(taps, window, strict=True)
        ]
        after = [
            size - have - low
            for size, have, low in zip(sizes, part.shape[1:], before, strict=False)
        ]
        places = [
            Placement(before=low, after=high) for low, high in zip(before, after, strict=True)
        ]
        moved.append(pad(part, [*places, *[Placement()] * (part.ndim - 2 - len(places))]))
    return moved


def last_alone(window: Window) -> Window:
    """Return the placement along the last axis, and none along the others."""
    return (*[Placement()] * (len(window) - 1), window[-1])
