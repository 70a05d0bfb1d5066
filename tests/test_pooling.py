import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from jax import lax

from conv_jax.pooling import avg_pool, max_pool

WINDOWS = {
    "side_by_side": {"window_shape": (2, 2), "strides": (2, 2)},
    "ragged_3x3": {"window_shape": (3, 3), "strides": (3, 3)},
    "rectangular": {"window_shape": (1, 3), "strides": (1, 3)},
    "overlapping": {"window_shape": (3, 3), "strides": (2, 2)},
    "default_strides": {"window_shape": (2, 2)},
    "same": {"window_shape": (2, 2), "strides": (2, 2), "padding": "SAME"},
    "same_lower": {"window_shape": (2, 2), "strides": (2, 2), "padding": "SAME_LOWER"},
    "explicit": {"window_shape": (2, 2), "strides": (2, 2), "padding": ((1, 0), (0, 1))},
}
POOLS = {"max": (max_pool, linen.max_pool), "avg": (avg_pool, linen.avg_pool)}


def images(shape=(2, 7, 9, 3), *, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@jax.jit
def max_pool_2x2(x):
    return max_pool(x, (2, 2), (2, 2))


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize(("ours", "flax_pool"), POOLS.values(), ids=POOLS)
def test_pool_equals_flax(ours, flax_pool, window):
    x = images()
    np.testing.assert_allclose(
        jax.jit(lambda x: ours(x, **window))(x), flax_pool(x, **window), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("shape", [(8, 8, 3), (2, 3, 8, 8, 3)], ids=["no_batch", "two_batch_axes"])
def test_pool_takes_any_batch_axes(shape):
    x = images(shape)
    expected = linen.max_pool(x, (2, 2), (2, 2))
    np.testing.assert_array_equal(max_pool_2x2(x), expected)


@pytest.mark.parametrize("size", [6, 7], ids=["tiled", "ragged"])
def test_max_pool_gradient_equals_reduce_window(size):
    x = images((2, size, size, 3))  # no ties, so both rules agree
    window = (1, 2, 2, 1)

    def by_lax(x):
        return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")

    ours, theirs = (
        jax.jit(jax.grad(lambda x, pool=pool: jnp.sum(pool(x) ** 2)))(x)
        for pool in (max_pool_2x2, by_lax)
    )
    np.testing.assert_array_equal(ours, theirs)


def test_max_pool_gives_the_first_of_equals_the_whole_gradient():
    x = jnp.zeros((1, 2, 2, 1))
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(max_pool(x, (2, 2), (2, 2)))))(x)
    np.testing.assert_array_equal(gradient[0, :, :, 0], [[1, 0], [0, 0]])


@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 1)], ids=str)
def test_max_pool_passes_nan_on(place):
    x = np.ones((1, 2, 2, 1), np.float32)
    x[0, place[0], place[1], 0] = np.nan
    assert np.isnan(max_pool_2x2(x)).all()


def test_a_window_of_many_places_is_not_unrolled():
    def total(x):
        return jnp.sum(max_pool(x, (9, 9), (9, 9)) ** 2)

    x = images((2, 18, 9, 3))
    windows = x.reshape(2, 2, 81, 3)  # 9 rows of 9 each
    program = jax.make_jaxpr(total)(x)

    largest = jax.jit(lambda x: max_pool(x, (9, 9), (9, 9)))(x)
    np.testing.assert_array_equal(largest[:, :, 0], windows.max(2))
    assert len(str(program).splitlines()) < 20


def test_pool_refuses_too_few_axes():
    with pytest.raises(ValueError, match=r"x: expected at least 3 axes .* got shape \(4, 4\)"):
        max_pool(jnp.ones((4, 4)), (2, 2))


def test_avg_pool_can_leave_the_padding_out_of_the_mean():
    window = {"window_shape": (3, 3), "strides": (2, 2), "padding": "SAME"}
    x = jnp.asarray(images())
    expected = linen.avg_pool(x, **window, count_include_pad=False)
    actual = avg_pool(x, **window, count_include_pad=False)
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ({"window_shape": (0, 2)}, r"window_shape: expected numbers of at least 1, got \(0, 2\)"),
        ({"strides": (1, 0)}, r"strides: expected numbers of at least 1, got \(1, 0\)"),
        (
            {"padding": "same"},
            r"padding: expected 'VALID', 'SAME', 'SAME_LOWER' or pairs, got 'same'",
        ),
    ],
    ids=["window", "strides", "padding"],
)
def test_pool_refuses_what_makes_no_window(window, message):
    with pytest.raises(ValueError, match=message):
        max_pool(jnp.asarray(images()), **{"window_shape": (2, 2), **window})


def test_pool_refuses_strides_of_another_length():
    with pytest.raises(ValueError, match=r"strides: expected 2 numbers.*got \(2,\)"):
        avg_pool(jnp.ones((1, 4, 4, 1)), (2, 2), (2,))
