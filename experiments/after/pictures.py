"""Picture files of anybody's: decoded with care, upright, without transparency."""

import os
import re
import stat
import warnings
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_PIXELS = 50_000_000  # a few kilobytes can claim to be a picture that fills the memory
LEAST_CONTRAST = 32  # of 255 grey levels; below, a picture shows nothing but noise
_FORMATS = ("PNG", "JPEG")
_SIDE = 512  # larger pictures are reduced to this
_STRIP = 64  # rows of what is reduced, at a time


class PictureError(ValueError):
    """A file that is no picture, or a picture that shows nothing."""


class Found(NamedTuple):
    """What a folder holds."""

    pictures: list[Path]
    num_others: int  # files of other kinds and folders, those with a leading dot not counted


def find(path: Path) -> Found:
    """Return the pictures in a folder, sorted; of a file the file itself.

    Raises:
      PictureError: if the folder cannot be read or holds none.
    """
    try:
        if not path.is_dir():
            return Found([path], 0)
        seen = sorted(each for each in path.iterdir() if not each.name.startswith("."))
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror}") from None
    named = [each for each in seen if each.suffix.lower() in SUFFIXES]
    found = [each for each in named if not os.path.isdir(each)]  # noqa: PTH112, the other may raise
    if not found:
        raise PictureError(f"holds no pictures ({', '.join(SUFFIXES)})")
    return Found(found, len(seen) - len(found))


def read(path: Path) -> Image.Image:
    """Read a PNG or JPEG file.

    It is turned as its EXIF orientation says, and reduced if it is large. What is transparent is
    white, or black where nothing would be seen on white.

    Returns:
      A picture in RGB.

    Raises:
      PictureError: if the file cannot be read or decoded, is too large, or shows nothing.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            raise PictureError("not a regular file")
        if status.st_size == 0:
            raise PictureError("an empty file")
        with path.open("rb") as file:
            return decode(file)
    except FileNotFoundError:
        raise PictureError("no such file") from None
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror}") from None


def decode(file: IO[bytes]) -> Image.Image:
    """Return the picture of an open file, as `read` does."""
    try:
        with (
            warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
            Image.open(file, formats=_FORMATS) as image,
        ):
            if image.width * image.height <= MAX_PIXELS:
                return _seen(image)
            raise PictureError(_too_many(image.width * image.height))
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError("not a PNG or JPEG picture") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        stated = re.search(r"\((\d+) pixels\)", str(error))
        raise PictureError(_too_many(int(stated[1]) if stated else None)) from None
    except Exception as error:  # of whatever kind a damaged file makes a decoder raise
        raise PictureError(f"cannot be decoded: {error}") from None


def _too_many(pixels: int | None) -> str:
    got = "far more" if pixels is None else f"{pixels:,}"
    return f"expected at most {MAX_PIXELS:,} pixels, got {got}"


def _seen(image: Image.Image) -> Image.Image:
    drawn = ImageOps.exif_transpose(_reduced(image))
    for ground in ("white", "black"):
        canvas = Image.new("RGBA", drawn.size, ground)
        canvas.alpha_composite(drawn)
        picture = canvas.convert("RGB")
        picture.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
        if np.ptp(np.asarray(picture.convert("L"))) >= LEAST_CONTRAST:
            return picture
    raise PictureError("blank: nothing is to be seen on it")


def _reduced(image: Image.Image) -> Image.Image:
    """Return the image in RGBA, strip by strip made smaller until it has less than twice the side.

    So a large image is in memory once, as the decoder gives it.
    """
    image.draft(None, (_SIDE, _SIDE))  # JPEG's decoder can reduce by itself
    width, height = image.size
    factor = max(1, max(width, height) // _SIDE)
    reduced = Image.new("RGBA", (-(-width // factor), -(-height // factor)))
    for top in range(0, height, factor * _STRIP):
        strip = image.crop((0, top, width, min(top + factor * _STRIP, height)))
        reduced.paste(_in_rgba(strip).reduce(factor), (0, top // factor))
    reduced.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return reduced  # with the EXIF orientation, which is in `info`


def _in_rgba(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip to 8
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    return image.convert("RGBA")
