import json
import math
import re
from pathlib import Path

import numpy as np
import oracles
import pytest
from PIL import Image
from rich.console import Console

from conv_jax import kernels, plots
from experiments import config, kernel_zoo
from experiments.filters.zoo import KERNELS, PAGES
from experiments.record import Record

CONFIG = Path("configs/kernel_zoo.toml")
NO_DESIGNERS = {"Analysis", "Separation", "analyze", "frequency_response", "separate"}
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The path of a small image."""
    path = tmp_path_factory.mktemp("image") / "noise.png"
    Image.fromarray(PIXELS).save(path)
    return path


def prepare(*overrides):
    return kernel_zoo.prepare(config.load(CONFIG, overrides))


@pytest.fixture(scope="module")
def ran(image, tmp_path_factory):
    """What a run on the small image printed, and its folder."""
    loaded = config.load(CONFIG, [f"data.image='{image}'", "data.crop=16"])
    record = Record(tmp_path_factory.mktemp("zoo") / "run", config.dump(loaded))
    console = Console(width=80, markup=False, highlight=False, soft_wrap=True)
    with console.capture() as printed, record.running():
        kernel_zoo.run(kernel_zoo.prepare(loaded), record, console)
    return printed.get(), record.folder


def test_every_designer_has_a_kernel_in_the_zoo():
    outermost = {call.partition("(")[0] for call in KERNELS}

    assert outermost == set(kernels.__all__) - NO_DESIGNERS


@pytest.mark.parametrize("call", KERNELS)
def test_the_name_of_a_kernel_is_the_call_that_makes_it(call):
    names = {name: getattr(kernels, name) for name in kernels.__all__} | {"pi": math.pi}

    np.testing.assert_array_equal(KERNELS[call](), eval(call, names))


def test_no_kernel_is_in_the_zoo_twice():
    shown = {(kernel.shape, np.asarray(kernel).tobytes()) for kernel in map(_made, KERNELS)}

    # A line of 15 pixels is a box; so is one that moves.
    assert len(shown) == len(KERNELS) - 1
    assert sum(map(len, PAGES.values())) == len(KERNELS)


def _made(name):
    return KERNELS[name]()


def test_every_kernel_has_a_line_of_the_tables(ran):
    printed, _ = ran
    [sobel] = re.findall(r"^ sobel\(axis=1\) .*$", printed, flags=re.M)

    assert re.split(r"\s\s+", sobel) == [
        *(" sobel(axis=1)", "3 x 3", "0", "3.46", "1", "(0, 1)"),
        *("8", "2", "1", "no", "odd"),
    ]
    assert all(f"\n {name} " in printed for name in KERNELS)


def test_results_are_those_of_analyze(ran):
    _, folder = ran
    result = json.loads((folder / "result.json").read_text())
    analysis = kernels.analyze(kernels.laplacian())

    kept = result["kernels"]["laplacian()"]

    assert result["status"] == "finished"
    assert list(result["kernels"]) == list(KERNELS)
    assert kept == {
        "page": "differences",
        "size": [3, 3],
        "sum": 0,
        "norm": analysis.norm,
        "derivative_order": 2,
        "direction": None,
        "gain": 1,
        "accuracy": 2,
        "rank": 2,
        "is_blur": False,
        "is_symmetric": True,
        "is_antisymmetric": False,
    }


@pytest.mark.parametrize("name", [*PAGES, "overview"])
def test_figures_are_written_in_the_colours_of_their_palette(ran, name):
    _, folder = ran
    with Image.open(folder / "figures" / f"{name}.png") as figure:
        assert figure.mode == "P"
        assert min(figure.size) > 400
        colours = np.reshape(figure.getpalette(), (-1, 3))
        white = figure.convert("RGB").getpixel((0, 0))

    np.testing.assert_array_equal(colours, plots.kernel_palette())
    assert white == (255, 255, 255)


def test_a_palette_takes_the_nearest_colour(tmp_path):
    palette = np.random.default_rng(1).integers(0, 256, (256, 3), dtype=np.uint8)
    record = Record(tmp_path / "run", {})
    figure = plots.kernel_overview([_picture(np.eye(3))], title="t")

    record.save_figure("all", figure)
    record.save_figure("few", figure, palette=palette)

    before, after = (_pixels(record.figures / f"{name}.png") for name in ("all", "few"))
    every_16th = before[::16, ::16].reshape(-1, 3), after[::16, ::16].reshape(-1, 3)
    distances = np.linalg.norm(every_16th[0][:, None] - palette[None].astype(int), axis=-1)
    chosen = np.linalg.norm(every_16th[0] - every_16th[1], axis=-1)
    np.testing.assert_allclose(chosen, distances.min(axis=1))


def _picture(kernel):
    return plots.KernelPicture("k", kernel, np.ones((5, 5)), np.eye(8))


def _pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("corner", [(0, 0), (7, 11), (24, 34)], ids=str)
def test_a_part_is_filtered_as_the_whole(corner):
    photograph = np.float32(PIXELS / 255)
    designed = [np.asarray(KERNELS[name]()) for name in ("roberts(axis=0)", "shift(2.5, -8)")]
    part = tuple(slice(start, start + 16) for start in corner)

    actual = kernel_zoo.filter_part(photograph, designed, corner=corner, crop=16)

    for answer, kernel in zip(actual, designed, strict=True):
        options = {"padding": "same", "boundary": "symmetric"}
        options |= {"stride": 1, "dilation": 1}
        expected = oracles.corr2d_numpy(photograph, kernel, **options)[part]
        np.testing.assert_allclose(answer, expected, atol=1e-5)
        assert abs(expected).max() > 0.1


@pytest.mark.parametrize("channel", range(6))
def test_a_channel_is_named_by_the_wave_that_excites_it(channel):
    wavelength, angle = kernel_zoo.CHANNELS[channel]
    y, x = np.mgrid[-20:21, -20:21]
    along = math.sin(math.radians(angle)) * y + math.cos(math.radians(angle)) * x
    sensor = KERNELS[f"field_1987_bank()[{channel}]"]()

    crest = (np.asarray(sensor) * np.cos(2 * math.pi * along / wavelength)).sum()

    assert crest == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("overrides", "corner"),
    [
        ([], (122, 166)),
        (["data.middle=[0, 511]"], (0, 320)),
        (["data.middle=[300, 200]", "data.crop=100"], (250, 150)),
    ],
    ids=["face", "beyond_a_border", "asked"],
)
def test_the_part_lies_about_its_middle(overrides, corner):
    assert prepare(*overrides).corner == corner


def test_of_your_own_image_the_middle_is_drawn(image):
    assert prepare(f"data.image='{image}'", "data.crop=20").corner == (10, 15)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.crop=600"], "data.crop: expected at most the image, 600 x 512, got 600"),
        (
            ["data.middle=[10, 512]"],
            r"data.middle: expected a pixel of the image, 600 x 512, got \(10, 512\)",
        ),
        (["data.image=README.md"], "data.image: expected an image file, got README.md: "),
        (["data.image=none.png"], "data.image: expected an image file, got none.png, which is not"),
    ],
    ids=["crop", "middle", "no_image", "no_file"],
)
def test_a_mistake_is_named(overrides, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        prepare(*overrides)
