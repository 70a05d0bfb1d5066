"""`plan` tells what `corr2d` takes: the same program, and times in order."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import conv_jax as cj
from conv_jax.algorithms import costs

CALLS = {
    "small": ((64, 64), (3, 3), {}),
    "batch": ((2, 3, 40, 30), (2, 5), {"stride": 2, "padding": "same"}),
    "large_kernel": ((300, 300), (31, 31), {}),
    "larger_than_the_result": ((300, 300), (299, 298), {"dilation": 1}),
    "dilated": ((128, 128), (15, 15), {"dilation": (2, 3), "padding": "full"}),
    "boundary": ((128, 128), (21, 21), {"boundary": "reflect", "padding": "same"}),
}


def _program(image_shape, kernel_shape, algorithm, **options):
    arrays = (jnp.ones(shape, jnp.float32) for shape in (image_shape, kernel_shape))
    call = functools.partial(cj.corr2d, algorithm=algorithm, **options)
    return jax.jit(call).lower(*arrays).as_text()


@pytest.mark.parametrize(("image_shape", "kernel_shape", "options"), CALLS.values(), ids=CALLS)
def test_the_planned_algorithm_is_the_one_taken(image_shape, kernel_shape, options):
    plan = cj.plan(image_shape, kernel_shape, **options)

    taken = _program(image_shape, kernel_shape, "auto", **options)

    assert taken == _program(image_shape, kernel_shape, plan.algorithm, **options)
    other = list(plan.seconds)[-1]
    assert taken != _program(image_shape, kernel_shape, other, **options)


def test_times_are_in_order_and_told_in_a_sentence():
    plan = cj.plan((1024, 1024), (9, 9), separable=True, platform="cpu")

    times = list(plan.seconds.values())
    assert times == sorted(times)
    assert plan.algorithm == next(iter(plan.seconds)) == "separable"
    assert str(plan).startswith("separable on cpu, about ")
    assert str(plan).count(" ms") == len(times)


def test_a_boundary_that_is_computed_before_costs_no_padding():
    shapes = (1024, 1024), (3, 3)
    by_zeros = cj.plan(*shapes, padding="same", platform="cpu").seconds["shifted"]
    by_edge = cj.plan(*shapes, padding="same", boundary="edge", platform="cpu").seconds["shifted"]
    assert by_edge < by_zeros


@pytest.mark.parametrize("dtype", ["int32", "uint8"])
def test_integers_are_never_planned_for_fft(dtype):
    assert "fft" not in cj.plan((512, 512), (63, 63), dtype=dtype).seconds


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_too_many_terms_and_columns_are_not_written_out(platform):
    many = costs.MOST_TERMS + 1
    assert "shifted" not in cj.plan((512, 512), (1, many), platform=platform).seconds
    columns = (400, 400 + costs.MOST_COLUMNS)
    assert "matmul" not in cj.plan(columns, (360, 400), platform=platform).seconds
    assert "matmul" in cj.plan(columns, (390, 400), platform=platform).seconds


def test_mistakes_are_told_as_by_corr2d():
    with pytest.raises(ValueError, match="kernel: expected an extent within the padded image"):
        cj.plan((4, 4), (5, 5))
    with pytest.raises(ValueError, match="boundary: expected one of"):
        cj.plan((4, 4), (2, 2), boundary="mirror")


@pytest.mark.parametrize(
    ("image_shape", "options", "message"),
    [
        ((-3, 9, 9), {}, r"image: expected whole sizes of at least 0, got \(-3, 9, 9\)"),
        (("a", 9, 9), {}, "image: expected whole sizes of at least 0"),
        ((9, 9), {"platform": "foo"}, "platform: expected one of 'cpu', .* got 'foo'"),
        ((2.5, 9, 9), {}, "image: expected whole sizes of at least 0"),
        ((9, 9), {"dtype": "U4"}, "dtype: expected one of numbers, got 'U4'"),
        ((9, 9), {"dtype": "foo"}, "dtype: expected one of numbers, got 'foo'"),
        ((9, 9), {"padding": 2**40}, "image: expected fewer than"),
    ],
    ids=str,
)
def test_what_cannot_be_is_not_planned(image_shape, options, message, unchecked):
    with pytest.raises(ValueError, match=message):
        cj.plan(image_shape, (3, 3), **options)


def test_shapes_may_be_arrays(unchecked):
    assert cj.plan(np.array([64, 64]), np.array([3, 3])) == cj.plan((64, 64), (3, 3))
