"""Where the pixels of a distorted image come from: affine maps and elastic displacements."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key

from conv_jax.kernels import gaussian
from conv_jax.kernels.arguments import Number, number, positive
from conv_jax.padding import positive_pair

Pair = tuple[Number, Number]


def affine_coordinates(
    shape: tuple[int, int],
    *,
    rotation: Number = 0.0,
    zoom: Number = 1.0,
    shear: Number = 0.0,
    translation: Pair | Float[Array, "2"] = (0.0, 0.0),
) -> Float[Array, "2 H W"]:
    """Return where `warp` is to look for the pixels of an image under an affine map.

    What the image shows is slanted, turned and magnified about its centre, in this order. With
    (i, j) and (y, x) counted from there, R(a) the turn by a, and t the translation,

        (y', x') = R(-rotation) (i, j) / zoom,   (y, x) = (y', x' + tan(shear) y') + t.

    Args:
      shape: (H, W).
      rotation: in degrees, counterclockwise; multiples of 90 are exact, as `np.rot90`.
      zoom: magnification, above 0.
      shear: slant to the right in degrees, between -90 and 90.
      translation: (down, right) in pixels, by which the places move, as in `random_shift`; what
        the image shows moves up and to the left.

    Returns:
      [2, H, W], row and column in pixels, of JAX's default float.

    Raises:
      ValueError: names an argument that is not as above.

    >>> affine_coordinates((1, 3), rotation=180.0)
    Array([[[0., 0., 0.]],
    <BLANKLINE>
           [[2., 1., 0.]]], dtype=float32)
    """
    height, width = positive_pair("shape", shape)
    zoom = jnp.asarray(positive("zoom", zoom), float)
    cos, sin = _cos_sin(jnp.asarray(number("rotation", rotation), float))
    slant = jnp.tan(jnp.deg2rad(jnp.asarray(number("shear", shear), float)))
    translation = jnp.asarray(translation, float)
    centre = (height - 1) / 2, (width - 1) / 2
    down = (jnp.arange(height, dtype=float) - centre[0])[:, None]
    right = (jnp.arange(width, dtype=float) - centre[1])[None, :]
    row = (cos * down + sin * right) / zoom
    column = (cos * right - sin * down) / zoom + slant * row
    return jnp.stack([row + (centre[0] + translation[0]), column + (centre[1] + translation[1])])


def elastic_displacements(
    key: Key[Array, ""], shape: tuple[int, ...], *, alpha: Number, sigma: Number
) -> Float[Array, "*batch 2 H W"]:
    """Return a smooth random displacement of every pixel of an image, or of each of a batch.

    alpha * (gaussian(sigma) applied to noise uniform in (-1, 1)), zeros around the noise. Far
    from the border the root mean square of either component is alpha / (2 sigma sqrt(3 pi)),
    nowhere is it alpha or more. The Gaussian is not cut off, so that sigma may be traced too.

    Args:
      key: consumed.
      shape: (..., H, W), of which leading axes are a batch.
      alpha: strength in pixels, at least 0.
      sigma: standard deviation of the Gaussian in pixels, above 0: small is crumpled, large stiff.

    Returns:
      [..., 2, H, W], down and right in pixels, of JAX's default float.

    Raises:
      ValueError: names an argument that is not as above.

    Source: Simard, Steinkraus and Platt, Best Practices for Convolutional Neural Networks Applied
    to Visual Document Analysis (2003), section 2. They took alpha 34 and sigma 4 for MNIST.
    """
    *batch, height, width = shape
    height, width = positive_pair("shape", (height, width))
    alpha = jnp.asarray(number("alpha", alpha), float)
    words = jax.random.bits(key, (*batch, height, width), jnp.uint32)
    # 16 bits a number: half the time of 32, which no blurred noise shows.
    halves = lax.bitcast_convert_type(words, jnp.uint16)
    noise = (halves.astype(float) + 0.5) / 2**15 - 1
    columns, rows = _gaussian_matrix(height, sigma), _gaussian_matrix(width, sigma)
    exact = lax.Precision.HIGHEST
    return alpha * jnp.einsum("ih,...hwc,jw->...cij", columns, noise, rows, precision=exact)


def _gaussian_matrix(size: int, sigma: Number) -> Float[Array, "size size"]:
    """Return the Gaussian blur of an axis as a matrix: at these sizes the fastest form."""
    taps = gaussian(positive("sigma", sigma), (2 * size - 1, 1))[:, 0]
    pixels = np.arange(size)
    return taps[size - 1 + pixels[None, :] - pixels[:, None]]


def _cos_sin(degrees: Float[Array, ""]) -> tuple[Any, Any]:
    """Return cosine and sine, exact at multiples of 90 degrees."""
    quarters = jnp.round(degrees / 90)
    angle = jnp.deg2rad(degrees - 90 * quarters)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    cos, sin = jnp.where(quarters % 2 == 0, cos, -sin), jnp.where(quarters % 2 == 0, sin, cos)
    sign = jnp.where(quarters % 4 < 2, 1.0, -1.0)
    return sign * cos, sign * sin
