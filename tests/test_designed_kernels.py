import io

import numpy as np
import pytest

from conv_jax import plots

RAMP = np.linspace(-0.2, 1, 64).reshape(8, 8)


def axes_of_a_figure():
    return plots.kernel_page([], title="t").add_subplot()


def picture(kernel, name="k"):
    return plots.KernelPicture(name, kernel, np.ones((5, 5)), RAMP)


@pytest.mark.parametrize("kernel", [np.array([[1.0, -3.0]]), np.zeros((2, 2))], ids=["signed", "0"])
def test_colours_of_a_kernel_are_symmetric_about_0(kernel):
    low, high = plots.draw_kernel(axes_of_a_figure(), kernel).get_clim()

    assert low == -high
    assert high == (3 if kernel.any() else 1)


@pytest.mark.parametrize(
    ("shape", "count"), [((3, 3), 9), ((1, 5), 5), ((5, 3), 15), ((4, 4), 0), ((1, 6), 0)], ids=str
)
def test_taps_of_small_kernels_are_written(shape, count):
    axes = axes_of_a_figure()

    plots.draw_kernel(axes, np.full(shape, 0.125))

    assert [text.get_text() for text in axes.texts] == ["0.12"] * count


def test_a_result_that_keeps_the_brightness_is_grey():
    image = plots.draw_filtered(axes_of_a_figure(), RAMP, kernel=np.full((2, 2), 0.25))

    assert image.get_cmap().name == "gray"
    assert image.get_clim() == (0, 1)


def test_any_other_result_has_colours_symmetric_about_0():
    image = plots.draw_filtered(axes_of_a_figure(), RAMP, kernel=np.array([[1.0, -1.0]]))
    low, high = image.get_clim()

    assert image.get_cmap().name == "RdBu_r"
    assert low == -high
    assert high == pytest.approx(np.percentile(abs(RAMP), 99.5))


def test_a_response_spans_all_frequencies_from_0_on():
    image = plots.draw_response(axes_of_a_figure(), 1 + abs(RAMP))

    assert image.get_extent() == [-0.5, 0.5, 0.5, -0.5]
    assert image.get_clim() == (0, 2)


def test_a_page_draws_three_panels_a_kernel_and_says_their_scales():
    figure = plots.kernel_page([picture(np.eye(2) / 2, "one"), picture(-np.eye(2))], title="t")
    figure.savefig(io.BytesIO())
    written = [text.get_text() for text in figure.texts]

    assert len(figure.axes) == 6
    assert written[0] == "t"
    assert {"one", "2 x 2, up to 0.5", "0 (dark) to 1", "0 to 1"} <= set(written)
    assert any(line.startswith("-0.99") for line in written)


def test_panels_do_not_overlap():
    figure = plots.kernel_page([picture(np.eye(2))] * 5, title="t", columns=2)
    boxes = [axes.get_position() for axes in figure.axes]

    overlaps = [a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i]]

    assert not any(overlaps)
    assert all(0 < box.x0 < box.x1 < 1 and 0 < box.y0 < box.y1 < 1 for box in boxes)


def test_an_overview_names_its_kernels():
    figure = plots.kernel_overview([picture(np.eye(3), "a"), picture(np.eye(3), "b")], title="t")
    figure.savefig(io.BytesIO())

    assert [text.get_text() for text in figure.texts] == ["t", "a", "b"]


def test_samples_lie_as_far_apart_as_asked_about_the_middle():
    sensors, image, responses = np.ones((2, 3, 3)), np.ones((20, 31)), np.ones((2, 20, 31))
    figure = plots.sensor_bank(
        sensors, image, responses, names=["a", "b"], spacings=[5, 10], title="t"
    )
    figure.savefig(io.BytesIO())
    [dots, few] = [axes.lines[0] for axes in figure.axes if axes.lines]

    np.testing.assert_array_equal(np.unique(dots.get_xdata()), [0.0, 5, 10, 15, 20, 25, 30])
    np.testing.assert_array_equal(np.unique(dots.get_ydata()), [2, 7, 12, 17])
    np.testing.assert_array_equal(np.unique(few.get_ydata()), [4.5, 14.5])


def test_the_palette_holds_white_and_the_ends_of_every_scale():
    colours = {tuple(colour) for colour in plots.kernel_palette().tolist()}

    assert {(0, 0, 0), (255, 255, 255), (103, 0, 31), (5, 48, 97), (68, 1, 84)} <= colours
