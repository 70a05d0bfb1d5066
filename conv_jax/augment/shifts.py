"""Shifts by whole pixels, which need no interpolation."""

import jax
from jax import lax
from jaxtyping import Array, Key, Shaped


def random_shift(
    key: Key[Array, ""], images: Shaped[Array, "B H W C"], *, max_shift: int
) -> Shaped[Array, "B H W C"]:
    """Shift every image by its own whole number of pixels, filling with zeros.

    out[n, i, j] = images[n, i + dy_n, j + dx_n], dy_n and dx_n uniform in
    {-max_shift, ..., max_shift}.

    Args:
      key: consumed.
      images: [B, H, W, C].
      max_shift: largest shift in pixels, at least 0.

    Returns:
      [B, H, W, C], of the same dtype.

    Raises:
      ValueError: if max_shift is below 0.
    """
    if max_shift < 0:
        raise ValueError(f"max_shift: expected at least 0, got {max_shift}")
    pads = (max_shift, max_shift, 0)
    padded = lax.pad(images, images.dtype.type(0), ((0, 0, 0), pads, pads, (0, 0, 0)))
    starts = jax.random.randint(key, (images.shape[0], 2), 0, 2 * max_shift + 1)

    def window(image: Shaped[Array, "Hp Wp C"], start: Shaped[Array, "2"]) -> Array:
        return lax.dynamic_slice(image, (start[0], start[1], 0), images.shape[1:])

    return jax.vmap(window)(padded, starts)
