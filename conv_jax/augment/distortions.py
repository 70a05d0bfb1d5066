"""Random affine and elastic distortions, by one bilinear resampling."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Shaped

from conv_jax.augment.fields import affine_coordinates, elastic_displacements
from conv_jax.augment.resampling import warp
from conv_jax.augment.strengths import is_off, strength
from conv_jax.kernels.arguments import Number, positive


def random_affine(
    key: Key[Array, ""],
    images: Shaped[Array | np.ndarray, "B H W C"],
    *,
    rotation: Number = 0.0,
    scale: Number = 0.0,
    shear: Number = 0.0,
    translation: Number = 0.0,
    fill_value: Number = 0,
) -> Shaped[Array, "B H W C"]:
    """Turn, magnify, slant and move every image by amounts of its own.

    `random_distortion` without its elastic part, with the same draws.

    Args:
      key: consumed.
      images: [B, H, W, C], floats or integers of at most 16 bits.
      rotation: largest angle in degrees, either way; uniform.
      scale: largest magnification less 1; log-uniform from 1 / (1 + scale) to 1 + scale.
      shear: largest slant in degrees, at most 89, either way; uniform.
      translation: largest way in pixels, along each axis and either way; uniform.
      fill_value: what lies around the images.

    Returns:
      [B, H, W, C], of the same dtype.

    Raises:
      ValueError: names a strength that is below 0 or too large, and as `warp`.
    """
    return random_distortion(
        key,
        images,
        rotation=rotation,
        scale=scale,
        shear=shear,
        translation=translation,
        fill_value=fill_value,
    )


def random_distortion(
    key: Key[Array, ""],
    images: Shaped[Array | np.ndarray, "B H W C"],
    *,
    rotation: Number = 0.0,
    scale: Number = 0.0,
    shear: Number = 0.0,
    translation: Number = 0.0,
    elastic: Number = 0.0,
    elastic_sigma: Number = 4.0,
    fill_value: Number = 0,
) -> Shaped[Array, "B H W C"]:
    """Distort every image by an affine map and an elastic one, resampling it once.

    out[n] = warp(images[n], affine_coordinates(...) + elastic_displacements(...)).

    Args:
      key: consumed.
      images: [B, H, W, C], floats or integers of at most 16 bits.
      rotation: as for `random_affine`.
      scale: as for `random_affine`.
      shear: as for `random_affine`.
      translation: as for `random_affine`.
      elastic: alpha of `elastic_displacements` in pixels; a known 0 costs nothing.
      elastic_sigma: its sigma in pixels, above 0.
      fill_value: what lies around the images.

    Returns:
      [B, H, W, C], of the same dtype.

    Raises:
      ValueError: names a strength that is below 0 or too large, and as `warp`.
    """
    images = jnp.asarray(images)
    rotation, scale = strength("rotation", rotation), strength("scale", scale)
    shear, translation = strength("shear", shear, at_most=89), strength("translation", translation)
    alpha, sigma = strength("elastic", elastic), positive("elastic_sigma", elastic_sigma)
    affine_key, elastic_key = jax.random.split(key)
    # All are drawn, so that one strength does not change what another draws.
    numbers = jax.random.uniform(affine_key, (images.shape[0], 5), float, minval=-1, maxval=1)

    def place(numbers: Float[Array, "5"]) -> Float[Array, "2 H W"]:
        return affine_coordinates(
            (images.shape[1], images.shape[2]),
            rotation=rotation * numbers[0],
            zoom=jnp.exp(jnp.log1p(scale) * numbers[1]),
            shear=shear * numbers[2],
            translation=translation * numbers[3:],
        )

    coordinates = jax.vmap(place)(numbers)
    if not is_off(elastic):
        shape = images.shape[:3]
        coordinates += elastic_displacements(elastic_key, shape, alpha=alpha, sigma=sigma)
    return warp(images, coordinates, fill_value=fill_value)
