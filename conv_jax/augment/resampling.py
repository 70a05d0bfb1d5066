"""Bilinear resampling of images at any places."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Shaped

from conv_jax import dtypes
from conv_jax.kernels.arguments import Number


def warp(
    images: Shaped[Array | np.ndarray, "B H W C"],
    coordinates: Float[Array | np.ndarray, "B 2 h w"],
    *,
    fill_value: Number = 0,
) -> Shaped[Array, "B h w C"]:
    """Resample images at given places, bilinearly.

    out[n, i, j] = sum_{r, c} max(0, 1 - |y - r|) max(0, 1 - |x - c|) images[n, r, c] with
    (y, x) = coordinates[n, :, i, j]. Around the image lies `fill_value`, to which the last pixels
    pass over within one pixel (SciPy's mode "grid-constant"). At whole coordinates the result is
    the pixel itself, bit for bit. Differentiable in images and coordinates.

    Args:
      images: [B, H, W, C], floats or integers of at most 16 bits.
      coordinates: [B, 2, h, w], row and column in pixels from the centre of the first one.
      fill_value: what lies around the images; their dtype must hold it.

    Returns:
      [B, h, w, C], of the images' dtype; integers are rounded to nearest.

    Raises:
      ValueError: names the argument: images of another dtype, coordinates of another shape.

    >>> image = jnp.array([[0, 10], [20, 30]], jnp.uint8)[None, :, :, None]
    >>> warp(image, jnp.array([0.5, 1.0])[None, :, None, None]).ravel()  # below the 10
    Array([20], dtype=uint8)
    """
    images, coordinates = jnp.asarray(images), jnp.asarray(coordinates)
    _check(images, coordinates)
    fill = dtypes.scalar("fill_value", fill_value, images.dtype)
    padded = lax.pad(images, fill, ((0, 0, 0), (1, 1, 0), (1, 1, 0), (0, 0, 0)))
    return jax.vmap(_warp)(padded, coordinates)


def _warp(
    padded: Shaped[Array, "Hp Wp C"], coordinates: Float[Array, "2 h w"]
) -> Shaped[Array, "h w C"]:
    """Resample one image that has its border around it."""
    height, width, channels = padded.shape
    pixels = padded.reshape(-1, channels)
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.promote_types(padded.dtype, jnp.float32)
    row, down = _cell(coordinates[0], height - 2)
    column, right = _cell(coordinates[1], width - 2)
    first = row * width + column

    def corner(offset: int) -> Float[Array, "h w C"]:
        return pixels.at[first + offset].get(mode="clip").astype(dtype)

    down, right = (weight.astype(dtype)[:, :, None] for weight in (down, right))
    above = (1 - right) * corner(0) + right * corner(1)
    below = (1 - right) * corner(width) + right * corner(width + 1)
    value = (1 - down) * above + down * below
    is_float = jnp.issubdtype(padded.dtype, jnp.floating)
    return (value if is_float else jnp.round(value)).astype(padded.dtype)


def _cell(
    position: Float[Array, "h w"], size: int
) -> tuple[Int[Array, "h w"], Float[Array, "h w"]]:
    """Return the padded image's pixel before each position, and how far beyond it that is."""
    position = jnp.clip(position, -1, size)
    before = jnp.clip(jnp.floor(position), -1, size - 1)
    return before.astype(jnp.int32) + 1, position - before


def _check(images: Any, coordinates: Any) -> None:
    dtype = images.dtype
    is_narrow = jnp.issubdtype(dtype, jnp.integer) and dtype.itemsize <= 2
    if not (is_narrow or jnp.issubdtype(dtype, jnp.floating)):
        raise ValueError(f"images: expected floats or integers of at most 16 bits, got {dtype}")
    if images.ndim != 4:
        raise ValueError(f"images: expected a shape (B, H, W, C), got {images.shape}")
    if coordinates.ndim != 4 or coordinates.shape[:2] != (images.shape[0], 2):
        expected = f"a shape ({images.shape[0]}, 2, h, w)"
        raise ValueError(f"coordinates: expected {expected}, got {coordinates.shape}")
