"""Correlation of an image with zeros between its elements, without multiplying by them."""

import itertools
import math
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from conv_jax.multichannel.placement import Placement, Window, output_sizes

_MOST_PHASES = 64  # each is a program of its own
Correlate = Callable[[Array, Array, Window], Array]


def can_split(window: Window) -> bool:
    """Tell whether dilated axes have strides and kernel dilations of 1, and few phases."""
    few = math.prod(place.image_dilation for place in window) <= _MOST_PHASES
    return few and all(
        place.image_dilation == 1 or place.stride == place.kernel_dilation == 1 for place in window
    )


def correlate(
    image: Float[Array, "N *S G C"],
    kernel: Float[Array, "*K C G O"],
    *,
    window: Window,
    compute: Correlate,
) -> Float[Array, "N *S_out G O"]:
    """Correlate by one kernel for every phase of the output, and put the phases together.

    Along an axis dilated by d, output d m + r meets every d-th element of the kernel alone, from
    (before - r) mod d on: so it is a correlation of the image itself with those.

    Args:
      image: [N, *S, G, C].
      kernel: [*K, C, G, O].
      window: one that `can_split`.
      compute: (image, kernel, window) -> [N, *S'', G, O] for a window without image dilation.

    Returns:
      [N, *S', G, O].
    """
    sizes = output_sizes(image.shape[1:-2], kernel.shape[:-3], window)
    factors = [place.image_dilation for place in window]
    counts = [-(-size // d) for size, d in zip(sizes, factors, strict=True)]
    phases = []
    for phase in itertools.product(*map(range, factors)):
        part, places = kernel, []
        for axis, (r, place, count) in enumerate(zip(phase, window, counts, strict=True)):
            part, place = _phase(part, axis, r, place, image.shape[1 + axis], count)
            places.append(place)
        if 0 in part.shape:
            phases.append(jnp.zeros((image.shape[0], *counts, *kernel.shape[-2:]), image.dtype))
        else:
            phases.append(compute(image, part, tuple(places)))
    return _interleave(phases, factors, counts)[(slice(None), *map(slice, sizes))]


def _phase(
    kernel: Array, axis: int, r: int, place: Placement, size: int, count: int
) -> tuple[Array, Placement]:
    """Return the elements of the kernel that phase r of one axis meets, and where they lie."""
    d = place.image_dilation
    if d == 1:
        return kernel, place
    first = (place.before - r) % d
    kernel = kernel[(slice(None),) * axis + (slice(first, None, d),)]
    before = (place.before - r - first) // d
    return kernel, Placement(1, before, count - 1 + kernel.shape[axis] - size - before)


def _interleave(phases: list[Array], factors: list[int], counts: list[int]) -> Array:
    """Return out[n, d m + r] = phases[r][n, m], on all spatial axes."""
    num_axes = len(factors)
    stacked = jnp.stack(phases).reshape(*factors, *phases[0].shape)
    order = [num_axes]
    for axis in range(num_axes):
        order += [num_axes + 1 + axis, axis]
    order += [stacked.ndim - 2, stacked.ndim - 1]
    sizes = [d * m for d, m in zip(factors, counts, strict=True)]
    return stacked.transpose(order).reshape(phases[0].shape[0], *sizes, *phases[0].shape[-2:])
