import io
import re

import numpy as np
import pytest

from conv_jax import plots

IMAGE = np.arange(9.0).reshape(3, 3)
KERNEL = np.array([[0.0, 1.0], [2.0, 3.0]])


def text_of(figure):
    """Draw the figure and return what is written in its axes."""
    figure.savefig(io.BytesIO())
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_sliding_window_writes_the_sum_of_every_window():
    figure = plots.sliding_window(IMAGE, KERNEL)
    assert [axes.get_title() for axes in figure.axes] == [
        "0·0 + 1·1 + 3·2 + 4·3 = 19",
        "1·0 + 2·1 + 4·2 + 5·3 = 25",
        "3·0 + 4·1 + 6·2 + 7·3 = 37",
        "4·0 + 5·1 + 7·2 + 8·3 = 43",
    ]


def test_sliding_window_fills_the_output_in_as_it_slides():
    figure = plots.sliding_window(IMAGE, KERNEL, cell=0.2)
    text_of(figure)
    written = [[text.get_text() for text in axes.texts][9:] for axes in figure.axes]
    assert written == [["19"], ["19", "25"], ["19", "25", "37"], ["19", "25", "37", "43"]]


def test_sliding_window_writes_padding_image_and_kernel_elements():
    figure = plots.sliding_window(
        [[5, 7]], [[0.5, -1]], padding=((0, 0), (1, 0)), boundary="edge", positions=[(0, 0)]
    )
    assert text_of(figure) == ["5", "5", "7", "0.5", "-1", "-2.5"]


def outlines(figure):
    """Return (x, y, width, height) of the window in each panel."""
    return [patch.get_bbox().bounds for axes in figure.axes for patch in axes.patches]


def test_sliding_window_moves_by_the_stride_and_spans_the_dilated_kernel():
    figure = plots.sliding_window(np.zeros((8, 9)), np.ones((2, 3)), stride=(4, 3), dilation=(3, 2))
    assert outlines(figure) == [(0, 0, 5, 4), (3, 0, 5, 4), (0, 4, 5, 4), (3, 4, 5, 4)]


def test_sliding_window_shows_the_positions_asked_for():
    figure = plots.sliding_window(IMAGE, KERNEL, positions=[(1, 1), (0, 1)])
    assert outlines(figure) == [(1, 1, 2, 2), (1, 0, 2, 2)]


@pytest.mark.parametrize("position", [(2, 0), (0, -1)], ids=str)
def test_sliding_window_refuses_a_position_outside_the_output(position):
    expected = r"positions: expected \(row, column\) within the output \(2, 2\), got "
    with pytest.raises(ValueError, match=expected + re.escape(str(position))):
        plots.sliding_window(IMAGE, KERNEL, positions=[(0, 0), position])


def test_arrays_writes_the_numbers_of_every_panel():
    figure = plots.arrays({"a": [[1, -2]], "b": [[0.123456], [-0.0]]}, greys=["a"])
    assert text_of(figure) == ["1", "-2", "0.123", "0"]
    assert [axes.get_title() for axes in figure.axes] == ["a", "b"]


def test_arrays_can_leave_the_numbers_out():
    assert text_of(plots.arrays({"a": IMAGE}, numbers=False)) == []


def test_arrays_draws_cells_of_one_size():
    figure = plots.arrays({"a": np.ones((2, 3)), "b": IMAGE, "c": np.ones((5, 1))}, across=2)
    cells = [
        axes.get_position().size
        * figure.get_size_inches()
        / (abs(np.diff(axes.get_xlim())[0]), abs(np.diff(axes.get_ylim())[0]))
        for axes in figure.axes
    ]
    np.testing.assert_allclose(cells, 0.36)


def faces(axes):
    return axes.collections[0].get_facecolor()[:, :3]


def test_arrays_draws_signs_blue_and_red_and_images_grey():
    figure = plots.arrays({"signed": [[-1, 0, 1]], "image": [[3, 4, 5]]}, greys=["image"])
    signed, image = map(faces, figure.axes)
    assert signed[0, 2] > signed[0, 0]
    assert signed[2, 0] > signed[2, 2]
    np.testing.assert_allclose(signed[1], signed[1, 0], atol=0.01)
    np.testing.assert_allclose(image, [[0] * 3, [0.5] * 3, [1] * 3], atol=0.01)


def test_arrays_draws_an_image_of_one_value_white():
    figure = plots.arrays({"image": [[3, 3]]}, greys=["image"])
    np.testing.assert_allclose(faces(figure.axes[0]), 1)


def test_arrays_writes_all_panels_in_one_size_that_fits_the_longest_number():
    figure = plots.arrays({"a": [[1]], "b": [[-0.1234]]})
    figure.savefig(io.BytesIO())
    [one], [longest] = (axes.texts for axes in figure.axes)
    assert one.get_fontsize() == longest.get_fontsize()
    assert longest.get_window_extent().width < figure.axes[1].bbox.width
