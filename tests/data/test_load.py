import gzip
import hashlib
import struct
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from conv_jax.data import NAMES, fetch, load
from conv_jax.data.idx import FILE_NAMES


def write_folder(folder, *, first_label=0):
    """Write four IDX files of 6x6 images, gzipped: ten to train on and ten to test on."""
    images = np.random.default_rng(0).integers(0, 256, (10, 6, 6), dtype=np.uint8)
    labels = np.roll(np.arange(10, dtype=np.uint8), -first_label)
    image_bytes = struct.pack(">4B3I", 0, 0, 8, 3, 10, 6, 6) + images.tobytes()
    label_bytes = struct.pack(">4BI", 0, 0, 8, 1, 10) + labels.tobytes()
    folder.mkdir(parents=True)
    for name in FILE_NAMES:
        content = image_bytes if "images" in name else label_bytes
        (folder / f"{name}.gz").write_bytes(gzip.compress(content, 1, mtime=0))
    return folder


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Keep the test's output clean."""


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Keep the user's own data out of the tests, and the tests out of the user's cache."""
    monkeypatch.delenv("CONV_JAX_DATA", raising=False)
    monkeypatch.setattr(fetch, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(fetch, "SOURCES", dict.fromkeys(fetch.SOURCES, fetch.Source((), ("",) * 4)))
    return tmp_path / "cache"


@pytest.fixture
def mirror(monkeypatch, tmp_path):
    """Serve a small "mnist" over loopback."""
    folder = write_folder(tmp_path / "served")
    files = [(folder / f"{name}.gz").read_bytes() for name in FILE_NAMES]
    monkeypatch.setenv("NO_PROXY", "*")
    handler = partial(QuietHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        source = fetch.Source(
            mirrors=(f"http://127.0.0.1:{server.server_address[1]}/",),
            hashes=tuple(hashlib.sha256(content).hexdigest() for content in files),
        )
        monkeypatch.setitem(fetch.SOURCES, "mnist", source)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder
        server.shutdown()
        thread.join()


def test_names_are_the_documented_ones():
    assert NAMES == ("digits", "digits_halves", "mnist", "fashion_mnist", "kmnist", "idx")


def test_load_suggests_a_name():
    with pytest.raises(ValueError, match=r"'mnits'; did you mean 'mnist'\? \(one of: digits, "):
        load("mnits")


def test_load_lists_the_names_when_none_is_close():
    with pytest.raises(ValueError, match=r"name: unknown data set 'xyz' \(one of: .*, idx\)"):
        load("xyz")


@pytest.mark.parametrize("name", ["digits", "digits_halves"])
def test_digits_have_pixels_from_0_to_255_and_int32_labels(name):
    images, labels = load(name).train
    assert (images.dtype, labels.dtype) == (np.uint8, np.int32)
    assert (images.min(), images.max()) == (0, 255)


def test_digits_are_split_80_to_20():
    digits = load("digits")
    assert (digits.train.images.shape, digits.test.images.shape) == (
        (1437, 8, 8, 1),
        (360, 8, 8, 1),
    )


def test_digits_halves_are_split_as_in_scikit_learns_example():
    digits = load("digits_halves")
    assert (len(digits.train.labels), len(digits.test.labels)) == (898, 899)
    np.testing.assert_array_equal(digits.train.labels[:12], [*range(10), 0, 1])
    # scikit-learn's report prints these supports for the second half.
    support = [88, 91, 86, 91, 92, 91, 91, 89, 88, 92]
    np.testing.assert_array_equal(np.bincount(digits.test.labels), support)


def test_both_digits_hold_the_same_images():
    digits, halves = load("digits"), load("digits_halves")
    pixels = [
        np.concatenate([dataset.train.images, dataset.test.images]).reshape(1797, 64)
        for dataset in (digits, halves)
    ]
    np.testing.assert_array_equal(*(np.sort(p.view("V64"), axis=0) for p in pixels))


def test_digits_scale_16_levels_to_255():
    levels = np.unique(load("digits").train.images)
    np.testing.assert_array_equal(levels, [round(level * 255 / 16) for level in range(17)])


def test_digits_are_brought_to_32_by_32():
    assert load("digits", image_size=32).test.images.shape == (360, 32, 32, 1)


def test_load_takes_the_subfolder_of_root(tmp_path):
    write_folder(tmp_path / "mnist")
    assert load("mnist", root=tmp_path).train.images.shape == (10, 6, 6, 1)


def test_load_takes_files_straight_in_root(tmp_path):
    folder = write_folder(tmp_path / "mine")
    assert load("kmnist", root=str(folder)).class_names[1] == "ki"


def test_load_takes_only_the_subfolder_where_there_is_one(tmp_path):
    folder = write_folder(tmp_path / "mine")
    (folder / "mnist").mkdir()
    with pytest.raises(FileNotFoundError, match="mnist: missing train-images-idx3-ubyte, "):
        load("mnist", root=folder)


def test_load_reads_nothing_but_root(tmp_path, cache):
    write_folder(cache / "mnist")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(FileNotFoundError, match="elsewhere: missing train-images-idx3-ubyte, "):
        load("mnist", root=tmp_path / "elsewhere")


def test_load_names_a_root_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"root: no such folder: .*elsewhere"):
        load("mnist", root=tmp_path / "elsewhere")


def test_load_names_every_folder_it_looked_in(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("CONV_JAX_DATA", str(tmp_path / "named"))
    with pytest.raises(FileNotFoundError, match=f"{tmp_path / 'named'}.*{cache}"):
        load("mnist", download=False)


def test_load_takes_the_subfolder_of_the_variable_before_the_cache(tmp_path, cache, monkeypatch):
    write_folder(tmp_path / "data" / "mnist", first_label=3)
    write_folder(cache / "mnist")
    monkeypatch.setenv("CONV_JAX_DATA", str(tmp_path / "data"))
    assert load("mnist").train.labels[0] == 3


def test_load_never_takes_files_straight_in_the_variable(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "data")
    monkeypatch.setenv("CONV_JAX_DATA", str(folder))
    with pytest.raises(FileNotFoundError, match="fashion_mnist: missing"):
        load("fashion_mnist", download=False)


@pytest.mark.parametrize("variable", ["", "nowhere"])
def test_load_falls_back_to_the_cache(tmp_path, cache, monkeypatch, variable):
    write_folder(cache / "mnist")
    monkeypatch.setenv("CONV_JAX_DATA", variable and str(tmp_path / variable))
    assert load("mnist", download=False).name == "mnist"


def test_load_needs_no_pooch_to_read_a_folder(tmp_path, monkeypatch):
    write_folder(tmp_path / "mnist")
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.setenv("CONV_JAX_DATA", str(tmp_path))
    assert load("mnist").name == "mnist"


@pytest.mark.usefixtures("mirror")
def test_load_fetches_into_the_cache(cache):
    assert load("mnist").train.images.shape == (10, 6, 6, 1)
    assert sorted(p.name for p in (cache / "mnist").iterdir()) == sorted(
        f"{name}.gz" for name in FILE_NAMES
    )


@pytest.mark.usefixtures("mirror")
def test_load_fetches_what_the_variable_lacks(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("CONV_JAX_DATA", str(tmp_path / "empty"))
    load("mnist")
    assert (cache / "mnist").is_dir()


def test_load_fetches_once(mirror):
    load("mnist")
    for path in mirror.iterdir():
        path.unlink()
    assert load("mnist").train.images.shape == (10, 6, 6, 1)


def test_load_fetches_only_what_is_missing(mirror, cache):
    load("mnist")
    (cache / "mnist" / f"{FILE_NAMES[-1]}.gz").unlink()
    for name in FILE_NAMES[:-1]:
        (mirror / f"{name}.gz").unlink()
    assert load("mnist").test.labels.shape == (10,)


@pytest.mark.usefixtures("mirror")
def test_load_never_fetches_for_a_root(tmp_path, cache):
    with pytest.raises(FileNotFoundError, match="missing"):
        load("mnist", root=tmp_path)
    assert not cache.exists()


@pytest.mark.usefixtures("mirror")
def test_load_does_not_fetch_when_told_not_to(cache):
    with pytest.raises(FileNotFoundError, match="missing"):
        load("mnist", download=False)
    assert not cache.exists()


def test_idx_counts_the_classes(tmp_path):
    folder = write_folder(tmp_path / "mine")
    assert load("idx", root=folder).class_names == tuple("0123456789")


def test_idx_needs_a_root():
    with pytest.raises(ValueError, match="root: expected the folder of your files for 'idx'"):
        load("idx")


def test_load_brings_both_splits_to_the_size(tmp_path):
    folder = write_folder(tmp_path / "mine")
    dataset = load("idx", root=folder, image_size=12)
    assert (dataset.train.images.shape, dataset.test.images.shape) == ((10, 12, 12, 1),) * 2
