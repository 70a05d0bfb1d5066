"""Canny's edge detector: thin, connected edges."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Shaped

from conv_jax import dtypes
from conv_jax.filters import gaussian_blur, gradient
from conv_jax.kernels.arguments import Known, Number, is_known, number
from conv_jax.kernels.gaussians import Sigma
from conv_jax.padding import pad


def canny(
    image: Shaped[ArrayLike, "*batch H W"] | list,
    sigma: Sigma,
    *,
    low: Number = 0.1,
    high: Number = 0.2,
    truncate: Known = 4.0,
    size: int | Sequence[int] | None = None,
    boundary: str = "symmetric",
) -> Bool[Array, "*batch H W"]:
    """Return the pixels that lie on edges.

    The image is blurred; a pixel is on a ridge if its gradient is at least as long as those one
    pixel ahead of and behind it, interpolated; ridges longer than `low` are edges where they are
    connected, by any of 8 neighbours, to one of at least `high`. Pixels on the border are none. As
    skimage.feature.canny for floats with the same boundary, but for "constant" and but for ties
    between neighbours, which rounding decides.

    Args:
      image: [..., H, W] floats; the thresholds given here are meant for grey levels from 0 to 1.
      sigma: standard deviation of the blur in pixels, above 0; or two, (down, right).
      low: length of 8 times the slope per pixel below which no edge goes on. May be traced.
      high: length from which an edge begins, at least `low`. May be traced.
      truncate: half the size of the blur in standard deviations, above 0.
      size: of the blur's kernel, as for `gaussian_blur`.
      boundary: of the blur, as for `corr2d`; the gradient's is "symmetric".

    Returns:
      [..., H, W] booleans.

    Raises:
      ValueError: for images of integers or complex numbers, if `high` is below `low`, and as
        `gaussian_blur`.

    Source: Canny, A Computational Approach to Edge Detection (1986).

    >>> canny(jnp.ones((4, 5)), 1.0).any().item()
    False
    """
    low, high = number("low", low), number("high", high)
    if is_known(low, high) and high < low:
        raise ValueError(f"high: expected a number of at least low, {low}, got {high}")
    array = dtypes.as_array("image", image)
    if not (jnp.issubdtype(array.dtype, jnp.floating) or array.dtype == bool):
        raise ValueError(
            f"image: expected floats, grey levels from 0 to 1, got {array.dtype}; scale it"
        )
    array = array.astype(jnp.promote_types(array.dtype, jnp.float32))
    blurred = gaussian_blur(array, sigma, truncate=truncate, size=size, boundary=boundary)
    return _edges(8 * gradient(blurred, kernel="sobel"), low, high)


@functools.partial(jax.jit, inline=True)  # outside jit, one program instead of fifty
def _edges(
    slopes: Float[Array, "*batch 2 H W"], low: Number, high: Number
) -> Bool[Array, "*batch H W"]:
    lengths = jnp.sqrt((slopes**2).sum(axis=-3))
    candidates = _is_ridge(slopes, lengths) & (lengths >= low)
    return _connected(candidates & (lengths >= high), candidates)


def _is_ridge(
    slopes: Float[Array, "*batch 2 H W"], lengths: Float[Array, "*batch H W"]
) -> Bool[Array, "*batch H W"]:
    """Compare each length with those a step along the gradient and against it."""
    down, right = slopes[..., 0, :, :], slopes[..., 1, :, :]
    height, width = lengths.shape[-2:]
    rows, columns = jnp.arange(height)[:, None], jnp.arange(width)[None, :]
    inside = (rows > 0) & (rows < height - 1) & (columns > 0) & (columns < width - 1)
    return (
        jnp.broadcast_to(inside, lengths.shape)
        & (lengths > 0)
        & (_ahead(lengths, down, right) <= lengths)
        & (_ahead(lengths, -down, -right) <= lengths)
    )


def _ahead(
    lengths: Float[Array, "*batch H W"],
    down: Float[Array, "*batch H W"],
    right: Float[Array, "*batch H W"],
) -> Float[Array, "*batch H W"]:
    """Return the length one step along (down, right), by linear interpolation of two pixels.

    The step is one pixel along the axis of the larger slope, less along the other.
    """
    straight = jnp.where(
        abs(down) >= abs(right),
        jnp.where(down > 0, _shifted(lengths, 1, 0), _shifted(lengths, -1, 0)),
        jnp.where(right > 0, _shifted(lengths, 0, 1), _shifted(lengths, 0, -1)),
    )
    diagonal = jnp.where(
        down > 0,
        jnp.where(right > 0, _shifted(lengths, 1, 1), _shifted(lengths, 1, -1)),
        jnp.where(right > 0, _shifted(lengths, -1, 1), _shifted(lengths, -1, -1)),
    )
    larger = jnp.maximum(abs(down), abs(right))
    part = jnp.minimum(abs(down), abs(right)) / jnp.where(larger > 0, larger, 1)
    return (1 - part) * straight + part * diagonal


def _connected(
    seeds: Bool[Array, "*batch H W"], candidates: Bool[Array, "*batch H W"]
) -> Bool[Array, "*batch H W"]:
    """Return the candidates that are connected to a seed through candidates."""

    def grow(edges: Bool[Array, "*batch H W"]) -> Bool[Array, "*batch H W"]:
        wide = edges | _shifted(edges, 0, 1) | _shifted(edges, 0, -1)
        return candidates & (wide | _shifted(wide, 1, 0) | _shifted(wide, -1, 0))

    def go_on(state: tuple[Array, Array]) -> Array:
        return state[1]

    def step(state: tuple[Array, Array]) -> tuple[Array, Array]:
        edges = state[0]
        for _ in range(4):  # a test costs about as much as growing does
            edges = grow(edges)
        return edges, jnp.any(edges != state[0])

    return lax.while_loop(go_on, step, (seeds, jnp.any(seeds)))[0]


def _shifted(array: Shaped[Array, "*batch H W"], dy: int, dx: int) -> Shaped[Array, "*batch H W"]:
    """Return array[..., i + dy, j + dx], 0 from outside."""
    height, width = array.shape[-2:]
    return pad(array, ((1, 1), (1, 1)))[..., 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
