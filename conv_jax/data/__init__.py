"""Data sets of small images, on the host as NumPy arrays, checked when they are loaded.

No function here computes with JAX, so loading takes no memory of an accelerator.
"""

import difflib
import os
from pathlib import Path

from conv_jax.data import fetch, idx
from conv_jax.data.dataset import Dataset, Split, hold_out, resize
from conv_jax.data.digits import load_digits
from conv_jax.data.photographs import photograph

__all__ = ("NAMES", "Dataset", "Split", "hold_out", "load", "photograph", "resize")

_CLASS_NAMES = {
    "digits": tuple("0123456789"),
    "digits_halves": tuple("0123456789"),
    "mnist": tuple("0123456789"),
    "fashion_mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    "idx": tuple(map(str, range(256))),  # as many as the labels reach
}
NAMES = tuple(_CLASS_NAMES)


def load(
    name: str,
    *,
    root: str | os.PathLike[str] | None = None,
    image_size: int | None = None,
    download: bool = True,
    progress: bool = False,
) -> Dataset:
    """Load a data set by name.

    `"digits"` is embedded: 1,797 images of 8x8 pixels, a fixed random 360 of them for the test;
    `"digits_halves"` is the same images with the last 899 for the test (CC BY 4.0, see
    `conv_jax.data.digits`). `"mnist"`, `"fashion_mnist"` and `"kmnist"` are 60,000 + 10,000 images
    of 28x28 pixels. `"idx"` is a folder of your own with four files named as MNIST's are, plain or
    with `.gz`: images of any size, of three axes or of four with the channels last, and as many
    classes as the greatest label says.

    The files are looked for in `root/name`, or straight in `root` where there is no such folder.
    Without root, in `$CONV_JAX_DATA/name`; then in the user's cache folder, into which what is
    missing is fetched.

    Args:
      name: one of `NAMES`.
      root: the folder to read, and then the only one; embedded data do without.
      image_size: height and width to bring the images to, see `resize`; None keeps theirs.
      download: whether to fetch what is missing.
      progress: whether to draw a progress bar while fetching.

    Returns:
      Images of pixels from 0 to 255, with a channel axis, and labels from 0.

    Raises:
      ValueError: if the name is unknown, a file is damaged or the images do not fit image_size.
      FileNotFoundError: if files are missing and are not to be fetched.
      OSError: if a file cannot be fetched.

    >>> load("digits", image_size=32).train.images.shape
    (1437, 32, 32, 1)
    """
    if name not in NAMES:
        close = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"name: unknown data set {name!r}{hint} (one of: {', '.join(NAMES)})")
    class_names = _CLASS_NAMES[name]
    if name in ("digits", "digits_halves"):
        train, test = load_digits(halves=name == "digits_halves")
    else:
        folder = _find_folder(name, root=root, download=download, progress=progress)
        train, test = idx.load_folder(folder, num_classes=len(class_names))
    if name == "idx":
        class_names = class_names[: max(train.labels.max(), test.labels.max()) + 1]
    if image_size is not None:
        train = train._replace(images=resize(train.images, image_size=image_size))
        test = test._replace(images=resize(test.images, image_size=image_size))
    return Dataset(name, train, test, class_names)


def _find_folder(
    name: str, *, root: str | os.PathLike[str] | None, download: bool, progress: bool
) -> Path:
    """Return the folder to read, filled by fetching if that is needed and wanted."""
    if root is not None:
        folder = Path(root).expanduser()
        if not folder.is_dir():
            raise FileNotFoundError(f"root: no such folder: {folder}")
        return folder / name if (folder / name).is_dir() else folder
    if name not in fetch.SOURCES:
        raise ValueError(f"root: expected the folder of your files for {name!r}, got None")
    folders = [fetch.cache_folder() / name]
    if variable := os.environ.get("CONV_JAX_DATA"):
        folders.insert(0, Path(variable).expanduser() / name)
    if download and all(map(idx.missing_files, folders)):
        fetch.fetch_dataset(name, folders[-1], progress=progress)
    whole = [folder for folder in folders if not idx.missing_files(folder)]
    if not whole:
        missing = "; ".join(f"{f}: missing {', '.join(idx.missing_files(f))}" for f in folders)
        raise FileNotFoundError(f"{missing} (plain or with .gz)")
    return whole[0]
