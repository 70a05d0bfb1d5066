"""Random changes of a batch of images, on the device: shifts, distortions, erased rectangles.

Each is a pure function (key, images, options) -> images, which keeps shape and dtype and draws
anew for every image. Strengths may be traced, and differ among networks that are trained together;
those of 0 give the images back bit for bit.
"""

from conv_jax.augment.distortions import random_affine, random_distortion
from conv_jax.augment.erasing import random_erasing
from conv_jax.augment.fields import affine_coordinates, elastic_displacements
from conv_jax.augment.pipeline import from_config
from conv_jax.augment.resampling import warp
from conv_jax.augment.shifts import random_shift

__all__ = (
    "affine_coordinates",
    "elastic_displacements",
    "from_config",
    "random_affine",
    "random_distortion",
    "random_erasing",
    "random_shift",
    "warp",
)
