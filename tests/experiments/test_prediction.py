import errno
import io
import os
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from conv_jax import data
from experiments.__main__ import main
from experiments.after import pictures, prediction, weights

NUM_IMAGES = 180  # half of the test set of the embedded digits


@pytest.fixture(scope="module")
def network(trained_run):
    return weights.of_run(trained_run, seed=1)


@pytest.fixture(scope="module")
def digits():
    """Test images as they are, 8x8, and their labels."""
    return data.Split(*(part[:NUM_IMAGES] for part in data.load("digits").test))


def enlarged(image, *, ground=225, ink=40, encode="JPEG", resample=Image.Resampling.BICUBIC):
    """Return a file of 200x300 pixels that shows an image of 8x8, off its middle."""
    size = (120, 120)
    light = np.asarray(Image.fromarray(image).resize(size, resample), np.float32) / 255
    pixels = np.full((300, 200), ground, np.uint8)
    pixels[30:150, 60:180] = np.rint(ground + (ink - ground) * light)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, encode)
    file.seek(0)
    return file


def accuracy_of(network, images, labels):
    logits = jax.jit(network.apply)(np.concatenate(images))
    return float(np.mean(logits.argmax(axis=1) == labels))


def prepared(network, files, polarity="auto"):
    seen = [prediction.prepare(pictures.decode(file), network, polarity=polarity) for file in files]
    return [image for image, _ in seen]


@pytest.fixture(scope="module")
def evaluated(network, digits):
    """The accuracy on the images of the test set themselves."""
    return accuracy_of(network, [data.resize(digits.images, image_size=32)], digits.labels)


LOOKS = {
    "dark_on_light_jpeg": {},
    "light_on_dark_png": {"ground": 20, "ink": 250, "encode": "PNG"},
    "faint": {"ground": 200, "ink": 120, "encode": "PNG"},
    "blocks": {"resample": Image.Resampling.NEAREST},
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_pictures_of_the_test_images_are_known_as_well_as_these(network, digits, evaluated, look):
    images = prepared(network, (enlarged(image, **look) for image in digits.images[..., 0]))
    # Three standard errors of a difference of 5 % of the answers.
    margin = 3 * np.sqrt(0.05 / NUM_IMAGES)
    assert accuracy_of(network, images, digits.labels) > evaluated - margin


def test_pictures_that_are_not_prepared_are_not_known(network, digits, evaluated):
    whole = network._replace(data="idx")
    files = (enlarged(image) for image in digits.images[..., 0])
    images = prepared(whole, files, polarity="dark-on-light")
    assert accuracy_of(network, images, digits.labels) < evaluated - 0.3


def drawing(shape=(40, 60), box=(slice(8, 33), slice(20, 30))):
    """Return a dark bar on white."""
    pixels = np.full(shape, 255, np.uint8)
    pixels[box] = 0
    return Image.fromarray(pixels)


@pytest.mark.parametrize("data_name", ["mnist", "digits", "fashion_mnist"])
def test_what_is_drawn_fills_its_box(network, data_name):
    image, _ = prediction.prepare(drawing(), network._replace(data=data_name))
    rows, columns = (np.flatnonzero((image[0, ..., 0] > 128).any(axis)) for axis in (1, 0))
    size, box, before = {"mnist": (28, 20, 2), "fashion_mnist": (28, 28, 2), "digits": (32, 32, 0)}[
        data_name
    ]
    assert np.ptp(rows) + 1 == box
    assert np.ptp(columns) + 1 == pytest.approx(box * 10 / 25, abs=4)
    # The middle of MNIST's images is the pixel 14 of 28, see `Frame`.
    middle = before + (size - 1) / 2
    assert rows.mean() == pytest.approx(middle, abs=0.5)
    assert columns.mean() == pytest.approx(middle, abs=2)


def test_mnist_has_its_centre_of_mass_in_the_middle(network):
    heavy = np.zeros((50, 50), np.uint8)
    heavy[10:40, 10:20], heavy[28:40, 10:40] = 255, 255  # a thick L
    image, _ = prediction.prepare(Image.fromarray(heavy), network._replace(data="mnist"))
    grey = image[0, 2:30, 2:30, 0].astype(float)
    places = (np.indices(grey.shape) * grey).sum(axis=(1, 2)) / grey.sum()
    np.testing.assert_allclose(places, 14, atol=0.5 + 0.05)  # whole pixels, and rounded greys


@pytest.mark.parametrize("stored", [(8, 8), (28, 28), (32, 32), (40, 36)], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_of_an_image_of_other_data_is_that_image(network, tmp_path, stored, channels):
    given = np.random.default_rng(0).integers(0, 256, (1, *stored, channels), dtype=np.uint8)
    trained_on = data.resize(given, image_size=32) if max(stored) <= 32 else given
    options = {**network.options, "image_shape": trained_on.shape[1:]}
    other = network._replace(data="idx", stored_size=stored, options=options)
    path = saved(tmp_path, Image.fromarray(given[0, ..., 0] if channels == 1 else given[0]))
    image, _ = prediction.prepare(pictures.read(path), other)
    np.testing.assert_array_equal(image, trained_on)


def test_pictures_of_other_data_are_scaled_whole(network):
    other = network._replace(data="idx", stored_size=None)  # as in older files
    image, polarity = prediction.prepare(drawing(), other)
    assert polarity == "it is"
    expected = np.asarray(drawing().resize((32, 32), Image.Resampling.BOX))
    np.testing.assert_array_equal(image[0, ..., 0], expected)


def saved(tmp_path, image, name="x.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def test_exif_orientation_is_followed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    turned = saved(tmp_path, drawing().rotate(90, expand=True), "x.jpg", exif=exif, quality=95)
    difference = np.asarray(pictures.read(turned).convert("L"), float) - np.asarray(drawing())
    assert np.abs(difference).mean() < 3  # of 255: what JPEG leaves


@pytest.mark.parametrize("ink", [0, 255], ids=["black", "white"])
def test_a_drawing_on_nothing_is_seen(tmp_path, ink):
    alpha = 255 - np.asarray(drawing())
    layers = [np.full_like(alpha, ink)] * 3
    path = saved(tmp_path, Image.fromarray(np.dstack([*layers, alpha])))
    seen = np.asarray(pictures.read(path).convert("L"))
    np.testing.assert_array_equal(seen, 255 - alpha if ink == 0 else alpha)


MODES = ("1", "L", "P", "RGB", "RGBA", "LA", "I;16")


@pytest.mark.parametrize("mode", MODES)
def test_every_kind_of_png_is_read(tmp_path, mode):
    wide = Image.fromarray(np.asarray(drawing()).astype(np.uint16) * 257)
    path = saved(tmp_path, wide if mode == "I;16" else drawing().convert(mode))
    np.testing.assert_array_equal(np.asarray(pictures.read(path).convert("L")), drawing())


def test_a_large_picture_is_reduced(tmp_path):
    path = saved(tmp_path, drawing().resize((1500, 1000), Image.Resampling.NEAREST))
    assert max(pictures.read(path).size) == 512


@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
def test_a_large_picture_is_never_copied_whole(tmp_path, monkeypatch, name):
    path = saved(tmp_path, drawing().resize((1800, 2400), Image.Resampling.NEAREST), name)
    sizes = []

    def convert(image, *options, convert=Image.Image.convert):
        sizes.append(image.width * image.height)
        return convert(image, *options)

    monkeypatch.setattr(Image.Image, "convert", convert)
    pictures.read(path)
    assert 0 < max(sizes) < 1800 * 2400 / 4


def test_a_large_picture_is_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    large = drawing().resize((1800, 1200), Image.Resampling.NEAREST)
    path = saved(tmp_path, large.rotate(90, expand=True), exif=exif)
    seen = pictures.read(path)
    expected = drawing().resize(seen.size, Image.Resampling.NEAREST)
    difference = np.asarray(seen.convert("L"), float) - np.asarray(expected)
    assert np.abs(difference).mean() < 3  # of 255: the edges


def jpeg():
    return enlarged(np.eye(8, dtype=np.uint8) * 255).getvalue()


def png_of(size):
    file = io.BytesIO()
    Image.new("1", size).save(file, "PNG")
    return file.getvalue()


FILES = {
    "text": (b"hello", "not a PNG or JPEG picture"),
    "empty": (b"", "an empty file"),
    "truncated": (jpeg()[:700], "cannot be decoded: "),
    "damaged_png": (png_of((9, 9))[:41] + b"\0" * 30, "cannot be decoded: "),
    "too_large": (png_of((8000, 7000)), "at most 50,000,000 pixels, got 56,000,000"),
    "large": (png_of((10_000, 10_000)), "got 100,000,000"),
    "bomb": (png_of((20_000, 10_000)), "got 200,000,000"),
    "blank": (png_of((9, 9)), "blank: nothing is to be seen on it"),
}


@pytest.mark.parametrize(("content", "message"), FILES.values(), ids=FILES)
def test_a_file_that_shows_nothing_is_one_line(tmp_path, content, message):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(pictures.PictureError, match=message) as caught:
        pictures.read(tmp_path / "x.png")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["pipe.png", "/dev/zero"])
def test_what_is_no_file_is_not_waited_for(tmp_path, path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(pictures.PictureError, match="not a regular file"):
        pictures.read(tmp_path / path)


def test_a_folder_named_as_a_picture_is_left_out(tmp_path):
    path = saved(tmp_path, drawing())
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "y.gif").touch()
    (tmp_path / ".hidden").touch()
    assert pictures.find(tmp_path) == ([path], 2)


def test_nothing_of_the_polarity_asked_for_is_blank(network):
    with pytest.raises(pictures.PictureError, match="blank: nothing is light on dark"):
        prediction.prepare(drawing(), network, polarity="light-on-dark")


@pytest.fixture(scope="module")
def predicted(trained_run, digits, tmp_path_factory):
    """A folder of two pictures and a file of none, as a user asks for them."""
    folder = tmp_path_factory.mktemp("pictures")
    for index in (0, 1):
        (folder / f"{index}.jpg").write_bytes(enlarged(digits.images[index, ..., 0]).getvalue())
    (folder / "broken.png").write_bytes(b"")
    (folder / "notes.txt").write_text("not a picture, and not asked for")
    return folder, folder / "out"


def predict(trained_run, capsys, *words):
    status = main(["predict", str(trained_run), *map(str, words)])
    return status, *(text.splitlines() for text in capsys.readouterr())


def test_a_picture_has_a_line_with_three_classes_and_its_polarity(trained_run, predicted, capsys):
    folder, out = predicted
    status, lines, errors = predict(trained_run, capsys, folder / "0.jpg", "--out", out)
    assert (status, errors) == (0, [])
    pattern = r"\d( \([\d.]+ %\)(, \d)?){3}; taken as dark on light"
    assert re.fullmatch(pattern, lines[0].removeprefix(f"{folder}/0.jpg: "))
    assert lines[1:] == [f"feature maps: {out}"]


def test_others_go_on_where_one_picture_fails(trained_run, predicted, capsys):
    folder, _ = predicted
    given = (folder, "nothing.png", "--out", folder.parent / "out")
    status, lines, errors = predict(trained_run, capsys, *given)
    assert status == 2
    assert [Path(line.partition(":")[0]).name for line in lines[:-1]] == ["0.jpg", "1.jpg"]
    assert errors[1:] == [f"{folder}/broken.png: an empty file", "nothing.png: no such file"]


def test_what_a_folder_holds_besides_is_counted(trained_run, predicted, capsys, tmp_path):
    folder, _ = predicted
    (tmp_path / "0.png").write_bytes((folder / "0.jpg").read_bytes())
    (tmp_path / "1.webp").touch()
    status, _, errors = predict(trained_run, capsys, tmp_path, "--out", tmp_path / "out")
    kinds = "(folders, or not .png, .jpg, .jpeg)"
    assert (status, errors) == (0, [f"{tmp_path}: 1 others left out {kinds}"])


def test_a_long_name_has_a_figure(trained_run, predicted, capsys, tmp_path):
    folder, _ = predicted
    path = tmp_path / ("x" * 251 + ".png")
    path.write_bytes((folder / "0.jpg").read_bytes())
    status, _, _ = predict(trained_run, capsys, path, path, "--out", tmp_path / "out")
    assert status == 0
    names = {path.stem for path in (tmp_path / "out").iterdir()}
    assert names == {"x" * 60, "x" * 60 + "-2"}


def test_a_long_name_is_cut_in_the_title(network):
    seen = prediction.Prediction(
        np.full(10, 0.1), {"conv1": np.eye(4)[..., None]}, "it is", network.class_names
    )
    figure = prediction.draw(seen, title="a" + "x" * 250 + "b.png")
    (text, *_) = figure.get_suptitle().split(",")
    assert text == f"Feature maps of a{'x' * 19}...{'x' * 12}b.png"


def test_every_picture_has_a_figure(trained_run, predicted, capsys, tmp_path):
    folder, _ = predicted
    (tmp_path / "0.png").write_bytes((folder / "0.jpg").read_bytes())  # the content counts
    out = tmp_path / "out"
    predict(trained_run, capsys, folder / "0.jpg", tmp_path / "0.png", "--out", out)
    assert {path.name for path in out.iterdir()} == {"0-2.png", "0.png"}
    with Image.open(out / "0.png") as figure:
        assert min(figure.size) > 200


def test_a_name_that_reads_as_a_formula_is_drawn(trained_run, predicted, capsys, tmp_path):
    folder, _ = predicted
    path = tmp_path / r"$\wrong$.png"
    path.write_bytes((folder / "0.jpg").read_bytes())
    status, _, _ = predict(trained_run, capsys, path, "--out", tmp_path / "out")
    assert status == 0


def test_a_name_that_a_terminal_would_obey_is_shown(trained_run, predicted, capsys, tmp_path):
    folder, _ = predicted
    path = tmp_path / "\udcff\x1b[31m\n.png"
    path.write_bytes((folder / "0.jpg").read_bytes())
    status, lines, _ = predict(trained_run, capsys, path, "--out", tmp_path / "\x1b")
    assert status == 0
    assert lines[0].startswith(rf"{tmp_path}/\udcff\x1b[31m\n.png: ")
    assert lines[1:] == [rf"feature maps: {tmp_path}/\x1b"]


def test_a_mistake_shows_a_name_that_a_terminal_would_obey(trained_run, capsys):
    _, _, errors = predict(trained_run, capsys, "\x1b[31m\n.png")
    assert errors == [r"\x1b[31m\n.png: no such file"]


def test_an_empty_folder_leaves_the_others_alone(trained_run, predicted, capsys, tmp_path):
    folder, out = predicted
    words = (folder / "0.jpg", tmp_path, "--out", out)
    status, lines, _ = predict(trained_run, capsys, *words)
    assert (status, lines[1:]) == (2, [f"feature maps: {out}"])


def test_a_folder_that_cannot_be_read_is_one_line(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(pictures.PictureError, match="cannot be read: Permission denied"):
        pictures.find(tmp_path)


def test_a_folder_that_cannot_be_written_is_a_mistake(trained_run, predicted, capsys):
    folder, _ = predicted
    file = folder / "0.jpg"
    status, lines, errors = predict(trained_run, capsys, file, "--out", file / "below")
    assert (status, lines) == (2, [])
    assert errors == [f"--out: {file}/below cannot be written: {file} is no folder"]


def test_a_folder_that_was_not_named_is_named_alone(trained_run, predicted, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    _, lines, errors = predict(trained_run, capsys, predicted[0] / "0.jpg")
    folder = trained_run / "predictions"
    assert (lines, errors) == ([], [f"{folder} cannot be written: Permission denied"])


def test_an_empty_folder_is_a_mistake(trained_run, tmp_path, capsys):
    status, lines, errors = predict(trained_run, capsys, tmp_path)
    assert (status, lines) == (2, [])
    assert errors == [f"{tmp_path}: holds no pictures (.png, .jpg, .jpeg)"]
    assert not (trained_run / "predictions").exists()


def test_a_folder_without_a_run_is_a_mistake(tmp_path, capsys):
    status, lines, errors = predict(tmp_path, capsys, "x.png")
    assert (status, lines) == (2, [])
    assert errors == [f"{tmp_path}: holds no run (no config.toml)"]
