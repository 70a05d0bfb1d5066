"""IDX files, the format of MNIST: read, and checked so that damage never reaches the training.

An IDX file is two zero bytes, a type code (8: unsigned byte), the rank, one big-endian 32-bit size
per axis, and the elements, last axis fastest (LeCun, Cortes and Burges, "The MNIST database of
handwritten digits").
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from conv_jax.data.dataset import Split

FILE_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def missing_files(folder: Path) -> tuple[str, ...]:
    """Return which of the four files are in the folder neither plain nor with `.gz`."""
    return tuple(name for name in FILE_NAMES if not _path(folder, name).is_file())


def load_folder(folder: Path, *, num_classes: int) -> tuple[Split, Split]:
    """Read the training set and the test set from a folder that has MNIST's four files.

    Args:
      folder: has the files of `FILE_NAMES`, each plain or with `.gz`.
      num_classes: labels are to be less than this.

    Raises:
      FileNotFoundError: if a file is missing.
      ValueError: if a file is damaged, or two do not belong together.
    """
    if missing := missing_files(folder):
        raise FileNotFoundError(f"{folder}: missing {', '.join(missing)} (plain or with .gz)")
    train, test = (_read_split(folder, part, num_classes=num_classes) for part in ("train", "t10k"))
    _check(
        test.images.shape[1:] == train.images.shape[1:],
        _path(folder, "t10k-images-idx3-ubyte"),
        expected=f"images of {_sizes(train.images.shape[1:])} as in the training set",
        got=_sizes(test.images.shape[1:]),
    )
    return train, test


def read_idx(path: Path, *, ranks: tuple[int, ...]) -> UInt8[np.ndarray, "..."]:
    """Read one IDX file of unsigned bytes, gzipped where its name ends in `.gz`.

    Args:
      path: the file.
      ranks: how many axes it may have.

    Returns:
      A read-only array.

    Raises:
      ValueError: if the file is not what its header says, or its header is not as expected.
    """
    content = _read_bytes(path)
    length = f"{len(content)} bytes"
    _check(len(content) >= 4, path, expected="an IDX header", got=length)
    _check(
        content[:3] == b"\0\0\x08",
        path,
        expected="first bytes 00 00 08 (IDX of unsigned bytes)",
        got=content[:3].hex(" "),
    )
    rank = content[3]
    _check(rank in ranks, path, expected=f"rank {' or '.join(map(str, ranks))}", got=str(rank))
    start = 4 + 4 * rank
    _check(len(content) >= start, path, expected=f"a header of {start} bytes", got=length)
    shape = struct.unpack(f">{rank}I", content[4:start])
    _check(min(shape) > 0, path, expected="sizes of at least 1", got=_sizes(shape))
    total = start + math.prod(shape)
    damage = "truncated" if len(content) < total else "bytes left over at the end"
    _check(
        len(content) == total,
        path,
        expected=f"{total} bytes for sizes {_sizes(shape)}",
        got=f"{length}: {damage}",
    )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _read_split(folder: Path, part: str, *, num_classes: int) -> Split:
    images_path = _path(folder, f"{part}-images-idx3-ubyte")
    labels_path = _path(folder, f"{part}-labels-idx1-ubyte")
    images = read_idx(images_path, ranks=(3, 4))
    labels = read_idx(labels_path, ranks=(1,))
    _check(
        len(labels) == len(images),
        labels_path,
        expected=f"{len(images)} labels, one for each image of {images_path.name}",
        got=str(len(labels)),
    )
    _check(
        labels.max() < num_classes,
        labels_path,
        expected=f"labels less than {num_classes}",
        got=f"{labels.max()} at position {labels.argmax()}",
    )
    return Split(images if images.ndim == 4 else images[..., None], labels.astype(np.int32))


def _read_bytes(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: expected a whole gzip file, got: {error}") from error


def _path(folder: Path, file_name: str) -> Path:
    plain = folder / file_name
    return plain if plain.is_file() else folder / f"{file_name}.gz"


def _sizes(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _check(right: bool | np.bool, path: Path, *, expected: str, got: str) -> None:
    if not right:
        raise ValueError(f"{path}: expected {expected}, got {got}")
