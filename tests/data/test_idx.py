import gzip
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from conv_jax.data.idx import load_folder, read_idx

GZIPPED = pytest.mark.parametrize("suffix", ["", ".gz"], ids=["plain", "gzip"])


def idx_bytes(array):
    """Write IDX by its definition: magic, rank, big-endian sizes, elements."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write(path, content):
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    return path


@pytest.fixture
def folder(tmp_path):
    """Three training and two test images of 2x2 pixels, of classes 0 to 2."""
    pixels = np.arange(20, dtype=np.uint8).reshape(5, 2, 2)
    labels = np.uint8([0, 1, 2, 1, 0])
    write(tmp_path / "train-images-idx3-ubyte", idx_bytes(pixels[:3]))
    write(tmp_path / "train-labels-idx1-ubyte.gz", idx_bytes(labels[:3]))
    write(tmp_path / "t10k-images-idx3-ubyte.gz", idx_bytes(pixels[3:]))
    write(tmp_path / "t10k-labels-idx1-ubyte", idx_bytes(labels[3:]))
    return tmp_path


@GZIPPED
@given(array=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, max_side=4)))
@settings(deadline=None, max_examples=30)
def test_read_idx_returns_what_was_written(tmp_path_factory, suffix, array):
    path = write(tmp_path_factory.getbasetemp() / f"round-trip{suffix}", idx_bytes(array))
    np.testing.assert_array_equal(read_idx(path, ranks=(array.ndim,)), array, strict=True)


@GZIPPED
@given(fraction=st.floats(0, 1, exclude_max=True))
@settings(deadline=None, max_examples=60)
def test_read_idx_refuses_a_file_cut_anywhere(tmp_path_factory, suffix, fraction):
    content = idx_bytes(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    path = write(tmp_path_factory.getbasetemp() / f"cut{suffix}", content)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(fraction * len(whole))])
    with pytest.raises(ValueError, match=path.name):
        read_idx(path, ranks=(3,))


@GZIPPED
@given(position=st.integers(0, 15), flip=st.integers(1, 255))
@settings(deadline=None, max_examples=60)
def test_read_idx_refuses_a_damaged_header(tmp_path_factory, suffix, position, flip):
    content = bytearray(idx_bytes(np.arange(24, dtype=np.uint8).reshape(2, 3, 4)))
    content[position] ^= flip
    path = write(tmp_path_factory.getbasetemp() / f"header{suffix}", bytes(content))
    with pytest.raises(ValueError, match=path.name):
        read_idx(path, ranks=(3,))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected an IDX header, got 0 bytes"),
        (b"<html>", "expected first bytes 00 00 08 .*, got 3c 68 74"),
        (struct.pack(">HBB2I", 0, 0x0D, 2, 1, 1) + bytes(4), "expected first .*, got 00 00 0d"),
        (idx_bytes(np.zeros((2, 2), np.uint8)), "expected rank 1 or 3, got 2"),
        (struct.pack(">HBBI", 0, 8, 3, 1), "expected a header of 16 bytes, got 8 bytes"),
        (struct.pack(">HBB3I", 0, 8, 3, 0, 28, 28), "expected sizes of at least 1, got 0x28x28"),
        (struct.pack(">HBBI", 0, 8, 1, 0), "expected sizes of at least 1, got 0"),
        (struct.pack(">HBBI", 0, 8, 1, 4) + bytes(3), "12 bytes for sizes 4, got 11 .* truncated"),
        (
            struct.pack(">HBBI", 0, 8, 1, 4) + bytes(5),
            "12 bytes .*, got 13 .* left over at the end",
        ),
        (struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3), "got 16 bytes: truncated"),
    ],
    ids=[
        *("empty", "not-idx", "float32", "rank", "header", "no-images", "no-labels"),
        *("truncated", "trailing", "huge"),
    ],
)
@GZIPPED
def test_read_idx_says_what_is_wrong(tmp_path, suffix, content, message):
    path = write(tmp_path / f"bad{suffix}", content)
    with pytest.raises(ValueError, match=message) as error:
        read_idx(path, ranks=(1, 3))
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize("position", [0, 10, 20, -6, -1], ids="byte{}".format)
def test_read_idx_refuses_corrupt_gzip(tmp_path, position):
    noise = np.random.default_rng(0).integers(0, 256, 100, dtype=np.uint8)
    path = write(tmp_path / "corrupt.gz", idx_bytes(noise))
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"corrupt\.gz: expected a whole gzip file"):
        read_idx(path, ranks=(1,))


def test_load_folder_reads_plain_and_gzip_side_by_side(folder):
    train, test = load_folder(folder, num_classes=3)
    np.testing.assert_array_equal(train.images, np.uint8(np.arange(12).reshape(3, 2, 2, 1)))
    np.testing.assert_array_equal(train.labels, np.int32([0, 1, 2]), strict=True)
    np.testing.assert_array_equal(test.images, np.uint8(np.arange(12, 20).reshape(2, 2, 2, 1)))
    np.testing.assert_array_equal(test.labels, np.int32([1, 0]), strict=True)


def test_load_folder_keeps_the_channels_of_rank_4_images(folder):
    colour = np.arange(36, dtype=np.uint8).reshape(3, 2, 2, 3)
    write(folder / "train-images-idx3-ubyte", idx_bytes(colour))
    write(folder / "t10k-images-idx3-ubyte.gz", idx_bytes(colour[:2]))
    np.testing.assert_array_equal(load_folder(folder, num_classes=3)[0].images, colour)


def test_load_folder_names_the_missing_files(folder):
    (folder / "train-images-idx3-ubyte").unlink()
    (folder / "t10k-labels-idx1-ubyte").unlink()
    missing = "missing train-images-idx3-ubyte, t10k-labels-idx1-ubyte [(]"
    with pytest.raises(FileNotFoundError, match=missing):
        load_folder(folder, num_classes=3)


def test_load_folder_refuses_a_label_out_of_range(folder):
    message = "train-labels-idx1-ubyte.gz: expected labels less than 2, got 2 at position 2"
    with pytest.raises(ValueError, match=message):
        load_folder(folder, num_classes=2)


def test_load_folder_refuses_labels_of_rank_2(folder):
    write(folder / "t10k-labels-idx1-ubyte", idx_bytes(np.zeros((2, 1), np.uint8)))
    with pytest.raises(ValueError, match="t10k-labels-idx1-ubyte: expected rank 1, got 2"):
        load_folder(folder, num_classes=3)


def test_load_folder_refuses_more_images_than_labels(folder):
    write(folder / "t10k-labels-idx1-ubyte", idx_bytes(np.uint8([0])))
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte: expected 2 labels.*, got 1"):
        load_folder(folder, num_classes=3)


def test_load_folder_refuses_test_images_of_another_size(folder):
    write(folder / "t10k-images-idx3-ubyte.gz", idx_bytes(np.zeros((2, 3, 2), np.uint8)))
    with pytest.raises(ValueError, match=r"t10k-images.*: expected images of 2x2x1 .*, got 3x2x1"):
        load_folder(folder, num_classes=3)
