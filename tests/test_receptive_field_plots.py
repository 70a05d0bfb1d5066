import io

import numpy as np
import pytest
from matplotlib.patches import Circle, Rectangle

from conv_jax import plots
from conv_jax.receptive_field import conv, pool, receptive_field
from conv_jax.receptive_field.effective import measured


def drawn(figure):
    figure.savefig(io.BytesIO())
    return figure


def patches(axes, kind):
    return [patch for patch in axes.patches if isinstance(patch, kind)]


def test_a_frame_surrounds_what_the_middle_output_sees_in_the_padding_too():
    fields = receptive_field([conv(3, padding=1), pool(2), conv(5, padding=2)], image_shape=(6, 8))

    figure = drawn(plots.layer_fields(np.zeros((6, 8)), fields, title="t", margin=2))

    frames = [patch.get_bbox() for patch in patches(figure.axes[0], Rectangle)]
    # conv1 at (2, 3) sees rows 1..3, columns 2..4; pool1 at (1, 1) rows 1..4, columns 1..4;
    # conv2 at (1, 1) rows -3..8, columns -3..8.
    expected = [[1.5, 0.5, 4.5, 3.5], [0.5, 0.5, 4.5, 4.5], [-3.5, -3.5, 8.5, 8.5]]
    for index, (frame, corners) in enumerate(zip(frames, expected, strict=True)):
        inset = 0.12 * (index + 1) * np.array([1, 1, -1, -1])
        np.testing.assert_allclose(frame.extents, corners + inset)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["conv1: 3x3, jump 1", "pool1: 4x4, jump 2", "conv2: 12x12, jump 2"]


def test_effective_fields_have_a_frame_and_a_circle_each():
    gradient = np.zeros((5, 7))
    gradient[1:4, 2:5] = 2.0
    field = measured(gradient)

    figure = drawn(
        plots.effective_fields(
            {"a": {"x": field, "y": field}, "b": {"x": field, "y": field}},
            boxes={"x": ((1, 3), (2, 4)), "y": ((0, 4), (0, 6))},
            title="t",
        )
    )

    maps = figure.axes[:4]
    assert [axes.get_title() for axes in maps] == ["x", "y", "", ""]
    assert [axes.get_ylabel() for axes in maps] == ["a", "", "b", ""]
    (frame,), (circle,) = patches(maps[0], Rectangle), patches(maps[0], Circle)
    np.testing.assert_allclose(frame.get_bbox().extents, [1.5, 0.5, 4.5, 3.5])
    assert circle.center == pytest.approx((3, 2))
    assert circle.radius == pytest.approx(np.sqrt(4 / 3))


def test_radii_have_a_line_for_a_field_of_equal_pixels():
    radii = {"before": np.array([[1.0, 2.0]]), "after": np.array([[3.0, 5.0]])}

    figure = drawn(plots.field_radii(radii, layers=["conv1"], sizes=[7], title="t"))

    (axes,) = figure.axes
    assert [bar.get_height() for bar in axes.patches] == [1.5, 4.0]
    line = axes.lines[-1].get_ydata()
    assert line == pytest.approx([measured(np.ones((7, 7))).radius] * 2)
