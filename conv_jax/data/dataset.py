"""What a data set is, and what can be done to a whole one: resize it, hold a part of it out."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, UInt8


class Split(NamedTuple):
    """Images and their labels, in the same order.

    Attributes:
      images: pixels from 0 to 255.
      labels: the class of each image, from 0.
    """

    images: UInt8[np.ndarray, "N H W C"]
    labels: Int32[np.ndarray, "N"]


class Dataset(NamedTuple):
    """A training set and a test set of one kind of image.

    Attributes:
      name: the name it was loaded by.
      train: what to learn from.
      test: what to measure on.
      class_names: the name of class i at position i.
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]


def hold_out(dataset: Dataset, *, num_images: int) -> Dataset:
    """Make the last training images the test set, for tuning without a look at the real one.

    Args:
      dataset: the whole data set.
      num_images: how many of its training images to hold out, at least 1 and not all.

    Returns:
      A data set that holds none of the original test images.

    Raises:
      ValueError: if num_images is out of range.
    """
    images, labels = dataset.train
    if not 1 <= num_images < len(images):
        raise ValueError(f"num_images: expected 1 to {len(images) - 1}, got {num_images}")
    return dataset._replace(
        train=Split(images[:-num_images], labels[:-num_images]),
        test=Split(images[-num_images:], labels[-num_images:]),
    )


def resize(
    images: UInt8[np.ndarray, "N H W C"], *, image_size: int
) -> UInt8[np.ndarray, "N {image_size} {image_size} C"]:
    """Bring square images to `image_size` x `image_size` without losing a pixel.

    A whole-number factor (8 -> 32) interpolates bilinearly between pixel centres and repeats the
    edge. Any other growth (28 -> 32) pads with zeros, equally on both sides, as LeCun et al.,
    "Gradient-based learning applied to document recognition" (1998), II.B did; of an odd
    difference the extra row and column go to the bottom and right.

    Args:
      images: square images.
      image_size: height and width of the result, at least those of the images.

    Raises:
      ValueError: if the images are not square, or larger than image_size.
    """
    height, width = images.shape[1:3]
    if height != width:
        raise ValueError(f"image_size: expected square images to resize, got {height}x{width}")
    if height > image_size:
        raise ValueError(f"image_size: expected at least the images' {height}, got {image_size}")
    if image_size % height == 0:
        return _upsample(images, factor=image_size // height)
    before = (image_size - height) // 2
    after = image_size - height - before
    return np.pad(images, ((0, 0), (before, after), (before, after), (0, 0)))


def _upsample(images: UInt8[np.ndarray, "N S S C"], *, factor: int) -> UInt8[np.ndarray, "N T T C"]:
    """Interpolate bilinearly: out = W image W^T along both axes, rounded."""
    if factor == 1:
        return images
    weights = _interpolation_weights(images.shape[1], factor=factor)
    sums = np.einsum("ti,nijc,uj->ntuc", weights, images.astype(np.float32), weights, optimize=True)
    return np.rint(sums / (4 * factor**2)).astype(np.uint8)


def _interpolation_weights(size: int, *, factor: int) -> Float32[np.ndarray, "T S"]:
    """Return the weight of each input pixel in each output pixel, in units of 1 / (2 factor).

    Output pixel t has its centre at (t + 1/2) / factor - 1/2, clamped to the image. In these units
    all is whole, so the sums are exact and the images the same on every machine.
    """
    unit = 2 * factor
    centres = np.clip(2 * np.arange(size * factor) + 1 - factor, 0, unit * (size - 1))
    distances = np.abs(centres[:, None] - unit * np.arange(size))
    return np.maximum(unit - distances, 0).astype(np.float32)
