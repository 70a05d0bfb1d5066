"""One real photograph, for pictures of what a kernel does."""

import importlib.util
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError


def photograph(*, path: str | Path | None = None) -> Float[np.ndarray, "H W"]:
    """Read a photograph in grey.

    Args:
      path: an image file that Pillow reads, of 8 bits a channel; unless given, the portrait of
        Grace Hopper (512 x 600 pixels, public domain) that matplotlib ships.

    Returns:
      [H, W] float32 in [0, 1], from black to white.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it is no image, or one of more than 8 bits a channel.

    >>> photograph().shape
    (600, 512)
    """
    path = Path(path) if path is not None else _shipped()
    if not path.is_file():
        raise FileNotFoundError(f"path: expected an image file, got {path}, which is not there")
    try:
        with Image.open(path) as image:
            mode, upright = image.mode, ImageOps.exif_transpose(image)
            grey = np.asarray(upright.convert("L"), dtype=np.float32)
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"path: expected an image file, got {path}: {error}") from None
    if mode.startswith(("I", "F")):  # Pillow would clip them at 255
        raise ValueError(f"path: expected an image of 8 bits a channel, got {path} of mode {mode}")
    return grey / np.float32(255)


def _shipped() -> Path:
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            "path: expected an image file, for matplotlib, which ships one, is not installed"
        )
    return Path(spec.origin).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg"
