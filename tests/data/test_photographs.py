import numpy as np
import pytest
from PIL import Image

from conv_jax import data


def test_the_shipped_photograph_is_grey_from_black_to_white():
    image = data.photograph()

    assert image.shape == (600, 512)
    assert image.dtype == np.float32
    assert 0 <= image.min() < 0.05
    assert 0.95 < image.max() <= 1


def test_any_image_is_read(tmp_path):
    Image.fromarray(np.uint8([[[255, 0, 0], [0, 0, 0], [255, 255, 255]]])).save(tmp_path / "x.png")

    image = data.photograph(path=tmp_path / "x.png")

    np.testing.assert_allclose(image, [[76 / 255, 0, 1]], rtol=1e-6)  # red is 0.299 of white


def test_the_camera_s_turn_is_undone(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn to the right
    Image.fromarray(np.uint8([[0, 255]])).save(tmp_path / "x.png", exif=exif)

    np.testing.assert_array_equal(data.photograph(path=tmp_path / "x.png"), [[0], [1]])


def test_more_than_8_bits_are_refused(tmp_path):
    Image.fromarray(np.uint16([[0, 65535]])).save(tmp_path / "x.png")

    with pytest.raises(ValueError, match=r"path: expected an image of 8 bits a channel, got .* I"):
        data.photograph(path=tmp_path / "x.png")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"path: expected an image file, got .*x\.png"):
        data.photograph(path=tmp_path / "x.png")


@pytest.mark.parametrize("content", [b"", b"not an image"], ids=["empty", "text"])
def test_a_file_that_is_no_image_is_named(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)

    with pytest.raises(ValueError, match=r"path: expected an image file, got .*x\.png"):
        data.photograph(path=tmp_path / "x.png")
