"""The augmentation that a config describes."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jaxtyping import Array, Key, Shaped

from conv_jax.augment.distortions import random_distortion
from conv_jax.augment.erasing import random_erasing
from conv_jax.augment.shifts import random_shift
from conv_jax.augment.strengths import is_off
from conv_jax.kernels.arguments import whole

Augment = Callable[[Key[Array, ""], Shaped[Array, "B H W C"]], Shaped[Array, "B H W C"]]

_DISTORTIONS = ("rotation", "scale", "shear", "translation", "elastic")
_OPTIONS = (*_DISTORTIONS, "elastic_sigma", "shift", "erasing", "erasing_area")
_SMALLEST_AREA = 0.02  # erased, of the image


def from_config(options: Mapping[str, Any]) -> Augment | None:
    """Return the augmentation that the `[augment]` table of a config describes.

    Images are distorted, then shifted by whole pixels, then erased in. A strength of None or a
    known 0 turns its part off, and what is off costs nothing.

    Args:
      options: shift, the largest in whole pixels; rotation, scale, shear, translation, elastic and
        elastic_sigma for `random_distortion`; erasing, the probability of `random_erasing`, and
        erasing_area, the largest part it erases. All but shift may be traced.

    Returns:
      (key, images) -> images; None if all is off.

    Raises:
      ValueError: for an unknown option, a shift that is not known; the functions refuse the rest.

    >>> augment = from_config({"rotation": 10.0, "elastic": 34.0, "erasing": 0.5})
    """
    if unknown := sorted(set(options) - set(_OPTIONS)):
        raise ValueError(f"augment: expected some of {', '.join(_OPTIONS)}, got {unknown[0]!r}")
    given = {name: value for name, value in options.items() if not is_off(value)}
    parts: list[Augment] = []
    if distortion := {name: given[name] for name in _DISTORTIONS if name in given}:
        sigma = _or(options.get("elastic_sigma"), 4.0)
        parts.append(functools.partial(random_distortion, elastic_sigma=sigma, **distortion))
    if "shift" in given:
        max_shift = whole("shift", given["shift"], at_least=0)
        parts.append(functools.partial(random_shift, max_shift=max_shift))
    if "erasing" in given:
        area = (_SMALLEST_AREA, _or(options.get("erasing_area"), 0.4))
        parts.append(functools.partial(random_erasing, probability=given["erasing"], area=area))
    return _in_turn(parts) if parts else None


def _or(value: Any, default: float) -> Any:
    return default if value is None else value


def _in_turn(parts: list[Augment]) -> Augment:
    """Return one function for some in turn, each with a key of its own."""
    if len(parts) == 1:
        return parts[0]

    def augment(key: Key[Array, ""], images: Shaped[Array, "B H W C"]) -> Shaped[Array, "B H W C"]:
        for part, part_key in zip(parts, jax.random.split(key, len(parts)), strict=True):
            images = part(part_key, images)
        return images

    return augment
