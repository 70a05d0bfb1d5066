"""The figures of edges and of learned kernels."""

import io

import numpy as np
import pytest

from conv_jax import plots
from conv_jax.plots import Convergence, EdgeMaps, ErrorCurve, Tile


def drawn(figure):
    """Draw the figure and return it."""
    figure.savefig(io.BytesIO())
    return figure


X = np.array([1.0, 10.0, 100.0])
CURVE = ErrorCurve(X, mean=3 / X, std=np.array([1.0, 0.5, 0.001]), expected=4 / X)


def curves(**panels):
    figure = drawn(plots.error_curves(panels, label="samples", title="t", marks={"second": 9}))
    return [axes for axes in figure.axes if axes.get_title()]


def test_error_curves_draw_the_expected_as_lines():
    [axes] = curves(first={"a": CURVE})
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), np.stack([X, 4 / X], axis=1))
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_error_bars_that_reach_0_have_no_lower_half():
    [axes] = curves(first={"a": CURVE})
    [bars] = axes.containers[0].lines[2]
    ends = np.array(bars.get_segments())[:, :, 1]
    np.testing.assert_allclose(ends, [[2, 4], [0.3, 0.8], [0.029, 0.031]])


def test_error_curves_keep_a_name_to_its_colour():
    first, second = curves(first={"a": CURVE, "b": CURVE}, second={"b": CURVE})
    assert second.containers[0].lines[0].get_color() == first.containers[1].lines[0].get_color()
    assert first.containers[0].lines[0].get_color() != first.containers[1].lines[0].get_color()


def test_error_curves_mark_a_place_in_its_panel_alone():
    first, second = curves(first={"a": CURVE}, second={"a": CURVE})
    assert len(second.lines) == len(first.lines) + 1
    assert second.lines[0].get_xdata() == [9, 9]


ROWS = {
    "wide": {"designed": Tile(np.array([[1.0, -2.0]]), ""), "stripe": Tile(np.eye(1), "rank 1")},
    "square": {"designed": Tile(np.eye(3), "")},
}


def tiles():
    """Return the axes of the tiles, [rows, columns]; above the second column is an image."""
    figure = drawn(plots.kernel_tiles(ROWS, images={"stripe": np.ones((4, 4))}, title="t"))
    return np.array(figure.axes).reshape(3, 2)


def test_kernel_tiles_have_one_scale_a_row():
    _, (designed, learned), (square, _) = tiles()
    assert designed.images[0].get_clim() == learned.images[0].get_clim() == (-2.4, 2.4)
    assert square.images[0].get_clim() == (-1.2, 1.2)


def test_kernel_tiles_leave_out_what_a_row_lacks():
    _, (_, learned), (_, missing) = tiles()
    assert learned.get_xlabel() == "rank 1"
    assert not missing.images
    assert not missing.axison


def test_kernel_tiles_draw_a_constant_image_half_way():
    (empty, image), *_ = tiles()
    assert image.images[0].get_clim() == (0, 2)
    assert not empty.images
    assert (empty.get_title(), image.get_title()) == ("designed", "stripe")


def test_convergence_draws_eigenvalues_over_the_largest():
    curve = Convergence(np.array([-1e-18, 4.0, 2.0]), np.array([1.0, 0.5]), np.array([1.0, 0.0]))
    left, right = drawn(plots.convergence({"stripe": curve}, title="t")).axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), [1, 0.5, 1e-16])
    np.testing.assert_array_equal(right.lines[0].get_xydata(), [[1, 1], [2, 0]])
    np.testing.assert_array_equal(right.lines[1].get_xydata(), [[1, 1], [2, 0.5]])


def edge_figure(gradient):
    gradient = np.broadcast_to(np.reshape(gradient, (2, 1, 1)), (2, 4, 6)).astype(float)
    maps = EdgeMaps(np.eye(4, 6), {"right": gradient[1], "down": gradient[0]}, gradient)
    return drawn(plots.edge_maps({"row": maps}, title="t"))


def test_edge_maps_have_a_column_for_each_response():
    axes = edge_figure((0, 3)).axes
    titles = [one.get_title() for one in axes]
    assert titles == ["image", "right", "down", "length", "direction"]
    assert [one.images[0].get_clim() for one in axes[1:3]] == [(-3, 3)] * 2
    np.testing.assert_array_equal(axes[3].images[0].get_array(), np.full((4, 6), 3))


@pytest.mark.parametrize(
    ("gradient", "colour"),
    [
        ((0, 1), (1, 0.15, 0.15)),
        ((1, 0), (0.575, 1, 0.15)),
        ((0, -1), (0.15, 1, 1)),
        ((-1, 0), (0.575, 0.15, 1)),
        ((0, 0), (0, 0, 0)),
    ],
    ids=["right_red", "down_green", "left_cyan", "up_violet", "flat_black"],
)
def test_edge_maps_show_the_direction_as_a_hue(gradient, colour):
    picture = edge_figure(gradient).axes[-1].images[0].get_array()
    np.testing.assert_allclose(picture, np.broadcast_to(colour, picture.shape), atol=1e-12)
