"""The images of a config: loaded, enlarged, cut, held out."""

import numpy as np

from conv_jax import data
from experiments.tables.networks import ImageData

IMAGE_SIZE = 32


def load(asked: ImageData) -> tuple[data.Dataset, tuple[int, int]]:
    """Load, cut and hold out as a config says.

    Returns:
      Images of at least 32x32 pixels with their labels, and the height and the width that they had
      before they were enlarged.

    Raises:
      ValueError: for numbers that the data have not.
      OSError: for data that cannot be found or fetched.
    """
    if asked.root is not None and asked.name.startswith("digits"):
        raise ValueError(f"data.root: expected none for embedded data, got {asked.root!r}")
    try:
        dataset = data.load(asked.name, root=asked.root, download=asked.download, progress=True)
    except (ValueError, FileNotFoundError) as error:
        key = "data." if str(error).startswith("root:") else ""
        raise type(error)(f"{key}{error}") from None
    height, width = dataset.train.images.shape[1:3]
    if max(height, width) <= IMAGE_SIZE:
        train, test = (
            split._replace(images=data.resize(split.images, image_size=IMAGE_SIZE))
            for split in (dataset.train, dataset.test)
        )
        dataset = dataset._replace(train=train, test=test)
    given = len(dataset.train.labels)
    if asked.holdout >= given:
        raise ValueError(f"data.holdout: expected fewer than {given} images, got {asked.holdout}")
    if asked.holdout:
        dataset = data.hold_out(dataset, num_images=asked.holdout)
    left = len(dataset.train.labels)
    if asked.train_size is not None and asked.train_size > left:
        raise ValueError(f"data.train_size: expected at most {left}, got {asked.train_size}")
    images, labels = (array[: asked.train_size] for array in dataset.train)
    if asked.batch_size > len(labels):
        raise ValueError(f"data.batch_size: expected at most {len(labels)}, got {asked.batch_size}")
    return dataset._replace(train=data.Split(images, labels)), (height, width)


def moments(images: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation on the scale 0..1, without a floating-point copy."""
    grey = images.reshape(-1)
    mean = grey.mean(dtype=np.float64)
    square = np.einsum("i,i->", grey, grey, dtype=np.float64, casting="safe") / grey.size
    variance = max(square - mean**2, 0.0)  # of one grey level it may round below 0
    return float(mean / 255), float(np.sqrt(variance) / 255) or 1.0
