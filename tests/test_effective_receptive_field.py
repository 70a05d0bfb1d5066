import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import conv_jax as cj
from conv_jax.receptive_field import effective_receptive_field, from_model
from conv_jax.receptive_field.effective import measured

ONES = jnp.ones((3, 3))


def blurred(image, times=1):
    return functools.reduce(lambda x, _: cj.corr2d(x, ONES), range(times), image)


def relu_network(images):
    weights = jax.random.normal(jax.random.key(1), (2, 3, 3, 1, 1))
    for layer in weights:
        images = jax.nn.relu(
            lax.conv_general_dilated(
                images, layer, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
        )
    return images


def test_gradient_counts_the_paths():
    field = effective_receptive_field(functools.partial(blurred, times=3), (9, 11))

    paths = functools.reduce(np.convolve, [np.ones(3)] * 3)
    expected = np.zeros((9, 11))
    expected[1:8, 2:9] = np.outer(paths, paths)
    np.testing.assert_array_equal(field.gradient, expected)
    assert field.position == (1, 2)
    assert field.support == ((1, 7), (2, 8))


@pytest.mark.parametrize("times", [1, 2, 5])
def test_radius_grows_as_the_square_root_of_the_depth(times):
    # A box of three has variance 2/3 along each axis, and variances of convolved boxes add.
    size = 2 * times + 1
    field = effective_receptive_field(functools.partial(blurred, times=times), (size, size))

    assert field.radius == pytest.approx(math.sqrt(2 * times * 2 / 3), rel=1e-12)
    assert field.centre == pytest.approx((times, times), rel=1e-12)


@pytest.mark.parametrize("position", [(0, 0), (4, 2), (2, 6)], ids=str)
def test_support_is_the_field_that_the_program_has(position):
    fn, shape = functools.partial(blurred, times=2), (9, 11)
    (field,) = from_model(fn, shape)

    measured_field = effective_receptive_field(fn, shape, position=position)

    assert measured_field.support == field.pixels(position)


def test_images_together_show_what_one_hides_behind_a_relu():
    shape = (1, 5, 5, 1)
    (field,) = from_model(relu_network, shape)

    one = effective_receptive_field(relu_network, shape, num_images=1)
    all_of_them = effective_receptive_field(relu_network, shape, num_images=32)

    assert (one.gradient == 0).any()
    assert all_of_them.support == field.pixels((0, 0))
    assert (all_of_them.gradient > 0).all()


def squared(image):
    """Return a function whose gradient is twice the pixel."""
    return image[:, 1:] ** 2


def test_given_images_are_averaged_over():
    images = np.random.default_rng(0).integers(-9, 9, (3, 4, 5)).astype(np.float32)

    field = effective_receptive_field(squared, (4, 5), images=images, position=(2, 1))

    expected = np.zeros((4, 5))
    expected[2, 2] = abs(2 * images[:, 2, 2]).mean()
    np.testing.assert_allclose(field.gradient, expected, rtol=1e-15)


@pytest.mark.parametrize("option", [{"seed": 1}, {"cotangent": "normal"}], ids=str)
def test_the_same_seed_draws_the_same(option):
    measure = functools.partial(effective_receptive_field, squared, (4, 5), num_images=2)

    first, again = measure(**option), measure(**option)

    np.testing.assert_array_equal(first.gradient, again.gradient)
    assert (first.gradient != measure().gradient).any()


def test_channels_that_cancel_are_seen_by_normal_weights():
    def fn(image):
        return jnp.stack([image, -image], -1)[None]

    ones, normal = (
        effective_receptive_field(
            lambda x: fn(x[0, :, :, 0]), (1, 3, 3, 1), cotangent=name, num_images=4
        )
        for name in ("ones", "normal")
    )

    assert ones.support is None
    assert normal.support == ((1, 1), (1, 1))


def test_logits_have_no_position():
    def logits(images):
        return images.mean((1, 2)) @ jnp.ones((1, 10))

    field = effective_receptive_field(logits, (1, 4, 6, 1))

    assert field.position == ()
    assert field.support == ((0, 3), (0, 5))


def test_channels_first():
    def fn(images):
        return lax.reduce_window(images, 0.0, lax.add, (1, 1, 2, 3), (1, 1, 1, 1), "VALID")

    field = effective_receptive_field(fn, (1, 2, 6, 7), position=(1, 2), spatial_axes=(2, 3))

    assert field.gradient.shape == (6, 7)
    assert field.support == ((1, 2), (2, 4))
    turned = effective_receptive_field(fn, (1, 2, 6, 7), position=(2, 1), spatial_axes=(3, 2))
    np.testing.assert_array_equal(turned.gradient, field.gradient.T)


class TestMeasured:
    def test_a_single_pixel(self):
        gradient = np.zeros((5, 7))
        gradient[1, 4] = 3.0
        assert measured(gradient)[2:] == (((1, 1), (4, 4)), (1.0, 4.0), 0.0, 1, 1.0)

    @pytest.mark.parametrize(("size", "side"), [(3, 3), (4, 4), (7, 7), (100, 98)], ids=str)
    def test_side_of_a_square_of_ones_holds_its_share(self, size, side):
        # 98 of 100 rows and columns hold 96.04 %, 96 of them 92.16 %.
        field = measured(np.ones((size, size)))
        assert field.side == side
        assert field.root_area == size

    def test_a_gaussian(self):
        # Above 4.55 % of its top within sigma sqrt(-2 ln 0.0455), a disk; radius sqrt(2) sigma.
        sigma, grid = 12.0, np.arange(-90, 91)
        column = np.exp(-(grid**2) / (2 * sigma**2))
        field = measured(np.outer(column, column))
        assert field.radius == pytest.approx(math.sqrt(2) * sigma, rel=1e-9)
        disk = math.sqrt(math.pi * -2 * math.log(1 - 0.9545)) * sigma
        assert field.root_area == pytest.approx(disk, rel=0.01)
        # erf(x / sqrt 2)^2 = 0.9545 at x = 2.276: half a side.
        assert field.side == pytest.approx(2 * 2.276 * sigma, abs=1)

    def test_the_square_may_lie_anywhere(self):
        gradient = np.zeros((9, 14))
        gradient[4:9, 9:14] = 1.0
        gradient[0, 0] = 25 * (1 / 0.9545 - 1) - 0.01
        assert measured(gradient).side == 5
        gradient[0, 0] += 0.02
        assert measured(gradient).side == 14

    def test_no_gradient(self):
        assert measured(np.zeros((3, 3)))[2:] == (None, (0.0, 0.0), 0.0, 0, 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"position": (7, 0)}, r"position: expected numbers within \(0..6, 0..8\), got \(7, 0\)"),
        ({"position": (0, -1)}, r"position: expected numbers within .*, got \(0, -1\)"),
        ({"position": (0, 0, 0)}, r"position: expected numbers within .*, got \(0, 0, 0\)"),
        ({"num_images": 0}, "num_images: expected a whole number of at least 1 .* got 0"),
        ({"num_images": 2.5}, "num_images: expected a whole number of at least 1 .* got 2.5"),
        ({"images": np.uint8(np.ones((2, 9, 11)))}, "images: expected floats, .* got uint8"),
        ({"cotangent": "one"}, "cotangent: expected one of ones, normal, got 'one'"),
        ({"images": np.ones((2, 8, 11))}, r"images: expected shape \(S, 9, 11\), got \(2, 8, 11\)"),
        ({"spatial_axes": (0,)}, r"spatial_axes: expected two, rows and columns, got \(0,\)"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_mistake_is_named(unchecked, options, message):
    with pytest.raises(ValueError, match=message):
        effective_receptive_field(blurred, (9, 11), **options)


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda x: x.sum((1, 2)), r"position: expected none, as the output \(1, 1\) has no rows"),
        (lambda x: (x, x), "fn: expected one array out, got tuple"),
    ],
    ids=["logits", "tuple"],
)
def test_an_output_that_has_no_positions_is_named(fn, message):
    with pytest.raises(ValueError, match=message):
        effective_receptive_field(fn, (1, 4, 4, 1), position=(1, 1))
