"""Random erasing: a rectangle of an image painted over."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, Shaped

from conv_jax import dtypes
from conv_jax.augment.strengths import strength
from conv_jax.kernels.arguments import Number, is_known, positive, two

Range = tuple[Number, Number]


def random_erasing(
    key: Key[Array, ""],
    images: Shaped[Array | np.ndarray, "B H W C"],
    *,
    probability: Number = 0.5,
    area: Range = (0.02, 0.4),
    aspect: Range = (0.3, 1 / 0.3),
    fill_value: Number = 0,
) -> Shaped[Array, "B H W C"]:
    """Paint over a rectangle of every image, with some probability.

    The rectangle's part of the area is uniform, height / width log-uniform; its sides are rounded
    to whole pixels, from 1 to the image's own, and its place is uniform among those within the
    image. The source draws again until a rectangle fits, which favours small ones.

    Args:
      key: consumed.
      images: [B, H, W, C].
      probability: that an image is erased in, from 0 to 1.
      area: smallest and largest part of the image's area, above 0, at most 1.
      aspect: smallest and largest height / width, above 0.
      fill_value: what is painted; the images' dtype must hold it.

    Returns:
      [B, H, W, C], of the same dtype.

    Raises:
      ValueError: names an argument that is not as above.

    Source: Zhong, Zheng, Kang, Li and Yang, Random Erasing Data Augmentation (2020), algorithm 1,
    whose ranges these are.
    """
    images = jnp.asarray(images)
    fill = dtypes.scalar("fill_value", fill_value, images.dtype)
    probability = strength("probability", probability, at_most=1)
    smallest, largest = _range("area", area, at_most=1)
    flattest, tallest = _range("aspect", aspect, at_most=math.inf)
    _, height, width, _ = images.shape

    def mark(numbers: Float[Array, "5"]) -> Bool[Array, "H W"]:
        happens, part, shape, down, right = numbers
        pixels = height * width * (smallest + (largest - smallest) * part)
        ratio = flattest * (tallest / flattest) ** shape
        rows = _along(height, jnp.sqrt(pixels * ratio), down)
        columns = _along(width, jnp.sqrt(pixels / ratio), right)
        return (happens < probability) & rows[:, None] & columns[None, :]

    erased = jax.vmap(mark)(jax.random.uniform(key, (images.shape[0], 5), float))
    return jnp.where(erased[..., None], fill, images)


def _along(size: int, length: Float[Array, ""], place: Float[Array, ""]) -> Bool[Array, "size"]:
    """Mark a stretch of an axis of about a length, at a place from 0 (first) to 1 (last)."""
    length = jnp.clip(jnp.round(length), 1, size)
    start = jnp.floor(place * (size - length + 1))
    pixels = jnp.arange(size, dtype=length.dtype)
    return (start <= pixels) & (pixels < start + length)


def _range(
    name: str, limits: Range, *, at_most: float | int
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return the limits of a range of positive numbers."""
    expected = f"two numbers above 0 and at most {at_most:g}, (smallest, largest)"
    low, high = (positive(name, limit) for limit in two(name, limits, expected=expected))
    if is_known(low, high) and not low <= high <= at_most:
        raise ValueError(f"{name}: expected {expected}, got {limits!r}")
    return jnp.asarray(low, float), jnp.asarray(high, float)
