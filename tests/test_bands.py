import numpy as np
import pytest

from conv_jax.plots import Band, band_style, bands


def band(*values):
    x = np.arange(1.0, len(values) + 1)
    mean = np.array(values, float)
    return Band(x, mean / 2, mean, 2 * mean)


def drawn(*lines, scale="log"):
    figure = bands(lines, xlabel="epoch", ylabel="loss", scale=scale)
    figure.canvas.draw()
    return figure.axes[0]


def test_lines_are_the_means():
    axes = drawn(band(3, 2, 1), band(5, 4))
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [3, 2, 1])
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), [5, 4])


def test_the_band_reaches_from_the_least_to_the_greatest():
    (shape,) = drawn(band(3, 2, 1)).collections
    vertices = shape.get_paths()[0].vertices
    assert (vertices[:, 1].min(), vertices[:, 1].max()) == (0.5, 6)


def test_a_line_without_points_keeps_its_style():
    empty = Band(*[np.zeros(0)] * 4)
    axes = drawn(empty, band(2, 1))
    assert axes.lines[1].get_color() == band_style(1)[0] != band_style(0)[0]


def test_styles_differ_up_to_the_eighteenth():
    assert len({band_style(index) for index in range(18)}) == 18
    assert band_style(18) == band_style(0)


def test_a_single_epoch_has_whole_epochs_around_it():
    assert drawn(band(0.5)).get_xlim() == (0, 2)


@pytest.mark.parametrize("scale", ["linear", "symlog"])
def test_zero_has_a_place(scale):
    low, high = drawn(band(4, 1, 0), scale=scale).get_ylim()
    assert low <= 0 < high
