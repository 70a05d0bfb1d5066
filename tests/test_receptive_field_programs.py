"""`from_model` on programs of all kinds: never less than the gradients show, mostly the same."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import bounded
from hypothesis import given
from hypothesis import strategies as st
from jax import lax

import conv_jax as cj
from conv_jax.receptive_field import from_model

HEIGHT, WIDTH = 6, 5
SHAPE = (1, HEIGHT, WIDTH, 1)
KERNEL = jnp.asarray(np.random.default_rng(0).uniform(0.5, 1, (3, 3)), jnp.float32)
WEIGHTS = KERNEL[:, :, None, None]
NCHW = ("NCHW", "OIHW", "NCHW")
NHWC = ("NHWC", "HWIO", "NHWC")


def correlated(x, **options):
    return cj.corr2d(x[..., 0], KERNEL, **options)[..., None]


def convolved(x, weights=WEIGHTS, strides=(1, 1), padding="SAME", **options):
    return lax.conv_general_dilated(x, weights, strides, padding, dimension_numbers=NHWC, **options)


def channels_first(x):
    x = x.transpose(0, 3, 1, 2)
    weights = WEIGHTS.transpose(3, 2, 0, 1)
    return lax.conv_general_dilated(x, weights, (2, 1), "VALID", dimension_numbers=NCHW)


def space_to_depth(x):
    x = x[:, :, :4].reshape(1, 3, 2, 2, 2, 1)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(1, 3, 2, 4)


def depth_to_space(x):
    x = jnp.concatenate([x, 2 * x, 3 * x, 4 * x], -1).reshape(1, HEIGHT, WIDTH, 2, 2)
    return x.transpose(0, 1, 3, 2, 4).reshape(1, 2 * HEIGHT, 2 * WIDTH, 1)


def patches(x):
    blocks = x[:, :, :4].reshape(1, 3, 2, 2, 2, 1)
    return blocks.sum((2, 4))


def scanned(x):
    return lax.scan(lambda x, w: (convolved(x, w), None), x, jnp.stack([WEIGHTS] * 2))[0]


def scanned_rows(x):
    """Sum rows up from the last one: the result is stacked from the turns."""

    def step(total, row):
        return total + row, total

    return lax.scan(step, jnp.zeros((1, WIDTH, 1)), x.swapaxes(0, 1), reverse=True)[1].swapaxes(
        0, 1
    )


def squeezed_and_excited(x):
    return x * jax.nn.sigmoid(x.mean((1, 2), keepdims=True))


def attention(x):
    tokens = x.reshape(HEIGHT * WIDTH, 1)
    weights = jax.nn.softmax(tokens @ tokens.T)
    return (weights @ tokens).reshape(SHAPE)


def grouped(x):
    both = jnp.concatenate([x, x], -1)
    return convolved(both, jnp.concatenate([WEIGHTS, WEIGHTS], -1), feature_group_count=2)


@jax.custom_vjp
def with_its_own_gradient(x):
    return correlated(x, padding="same")


with_its_own_gradient.defvjp(
    lambda x: jax.vjp(lambda x: correlated(x, padding="same"), x), lambda vjp, g: vjp(g)
)


def running_mean_by_a_matrix(x):
    rows = jnp.arange(HEIGHT)
    return jnp.einsum("rs,nswc->nrwc", (rows[:, None] >= rows[None]).astype(x.dtype), x)


# name: the program, of rows and columns on axes 1 and 2.
EXACT = {
    "reflect": functools.partial(correlated, padding="same", boundary="reflect"),
    "symmetric": functools.partial(correlated, padding=3, boundary="symmetric"),
    "edge": functools.partial(correlated, padding=2, boundary="edge"),
    "wrap": functools.partial(correlated, padding="same", boundary="wrap"),
    "full": functools.partial(correlated, padding="full", stride=2),
    "fill": functools.partial(correlated, padding=1, fill_value=3.0),
    "separable": lambda x: cj.corr2d(x[..., 0], (KERNEL[0], KERNEL[1]))[..., None],
    "vmap": lambda x: jax.vmap(correlated)(x[None])[0],
    "channels first": lambda x: channels_first(x).transpose(0, 2, 3, 1),
    "groups": grouped,
    "roll": lambda x: jnp.roll(x, (2, -1), (1, 2)),
    "flip": lambda x: jnp.flip(x, 1)[:, :, ::-2],
    "slices": lambda x: x[:, 1:-1:2, 3:],
    "pad, negative and between": lambda x: lax.pad(
        x, 0.0, ((0, 0, 0), (-1, 2, 1), (2, -1, 0), (0, 3, 0))
    ),
    "cumulative sum": lambda x: jnp.cumsum(x, 1),
    "cumulative sum backwards": lambda x: lax.cumsum(x, 2, reverse=True),
    "nearest": lambda x: jax.image.resize(x, (1, 9, 10, 1), "nearest"),
    "bilinear": lambda x: jax.image.resize(x, (1, 9, 10, 1), "bilinear"),
    "bilinear, smaller": lambda x: jax.image.resize(x, (1, 3, 4, 1), "bilinear"),
    "repeat": lambda x: convolved(jnp.repeat(jnp.repeat(x, 2, 1), 3, 2)),
    "tile": lambda x: jnp.tile(x, (1, 2, 1, 1)),
    "take": lambda x: x[:, np.array([5, 0, 0, 2])],
    "take along both": lambda x: x[:, ::2][:, :, np.array([4, 3])],
    "dynamic slice": lambda x: lax.dynamic_slice(x, (0, 2, 1, 0), (1, 3, 4, 1)),
    "split": lambda x: jnp.add(*jnp.split(x, 2, axis=1)),
    "stack": lambda x: jnp.stack([x[:, i] for i in range(3)], 1) + x[:, 3:],
    "rows side by side": lambda x: jnp.concatenate([x, jnp.flip(x, 1)], 1),
    "zeros beside": lambda x: jnp.concatenate([jnp.zeros((1, 2, WIDTH, 1)), x], 1),
    "channels": lambda x: jnp.einsum("nhwc,cd->nhwd", jnp.concatenate([x, x], -1), KERNEL[:2]),
    "known matrix": running_mean_by_a_matrix,
    "space to depth": space_to_depth,
    "depth to space": depth_to_space,
    "patches": patches,
    "where": lambda x: jnp.where(jnp.arange(WIDTH)[:, None] > 7, 0, jnp.clip(x, -9, 9)),
    "scan over weights": scanned,
    "scan over rows": scanned_rows,
    "fori_loop": lambda x: lax.fori_loop(0, 2, lambda _, x: convolved(x), x),
    "remat": jax.checkpoint(lambda x: jnp.sin(convolved(x))),
    "custom_vjp": with_its_own_gradient,
    "jit": jax.jit(lambda x: jax.nn.gelu(convolved(x))),
    "squeeze and excite": squeezed_and_excited,
    "attention": attention,
    "normalized": lambda x: (x - x.mean()) / x.std(),
    "Fourier transform": lambda x: jnp.fft.irfft2(jnp.fft.rfft2(x, axes=(1, 2)) ** 2, axes=(1, 2)),
    "dynamic filter": lambda x: convolved(x, x.mean() * WEIGHTS, padding="VALID"),
    "debug.print": jax.jit(lambda x: jax.debug.print("{}", x.sum()) or convolved(x)),
    "our pool": lambda x: cj.avg_pool(cj.avg_pool(x, (2, 2), (1, 1)), (2, 2), (2, 2)),
}


def mutable(x):
    box = jax.new_ref(x)
    box[...] = convolved(x)
    return box[...]


# These see at most what is claimed.
WIDER = {
    "times 0": lambda x: 0 * x,
    "halves side by side": lambda x: jnp.concatenate(jnp.split(x, 2, axis=1), 2),
    "maximum": lambda x: cj.max_pool(x, (2, 2), (2, 2)),
    "while": lambda x: lax.while_loop(lambda x: x.sum() > 1e9, convolved, x),
    "cond": lambda x: lax.cond(x.sum() > 0, convolved, lambda x: x, x),
    "sort": lambda x: jnp.sort(x, 1),
    "write": lambda x: x.at[:, 2:4].set(0.0),
    "write by an image": lambda x: lax.dynamic_update_slice(x, 2 * x[:, :2], (0, 3, 0, 0)),
    "unknown start": lambda x: lax.dynamic_slice_in_dim(x, x[0, 0, 0, 0].astype(int), 2, 1),
    "unknown index": lambda x: x[:, jnp.argmax(x[0, :, 0, 0])][:, None],
    "weights that are 0": lambda x: convolved(x, 0 * WEIGHTS),
    "drawn weights": lambda x: jnp.einsum(
        "rs,nswc->nrwc",
        jax.random.bernoulli(jax.random.key(0), 0.2, (4, HEIGHT)).astype(x.dtype),
        x,
    ),
    "matrix of zeros": lambda x: jnp.einsum("rs,nswc->nrwc", jnp.zeros((HEIGHT, HEIGHT)), x),
    "stop_gradient": lax.stop_gradient,
    "matrix of weights": lambda x: jnp.einsum("rs,nswc->nrwc", jnp.asarray(np.eye(HEIGHT)), x),
    "mutable array": mutable,
    "largest place": lambda x: jnp.argmax(x, 1, keepdims=True) * x,
}


def seen_in_gradients(fn):
    """Return which pixels have a gradient on which output, [H', W', H, W]."""
    image = jax.random.normal(jax.random.key(0), SHAPE)
    differentiate = jax.jacfwd if fn is WIDER["while"] else jax.jacrev
    jacobian = np.asarray(jax.jit(differentiate(fn))(image))
    return (jacobian != 0).any((0, 3, 4, 7))


def claimed(field):
    """Return which pixels the outputs are said to see, [H', W', H, W]."""
    seen = np.zeros((*field.shape, HEIGHT, WIDTH), bool)
    for place in np.ndindex(field.shape):
        if (box := field.pixels(place)) is not None:
            (top, bottom), (left, right) = box
            seen[(*place, slice(top, bottom + 1), slice(left, right + 1))] = True
    return seen


def boxes(seen):
    """Fill the box around what each output sees."""
    rows, columns = seen.any(-1), seen.any(-2)
    spans = [
        np.logical_or.accumulate(s, -1) & np.logical_or.accumulate(s[..., ::-1], -1)[..., ::-1]
        for s in (rows, columns)
    ]
    return spans[0][..., :, None] & spans[1][..., None, :]


@pytest.mark.parametrize("name", EXACT)
def test_a_program_sees_what_has_a_gradient(name):
    (field,) = from_model(EXACT[name], SHAPE)
    seen = boxes(seen_in_gradients(EXACT[name]))
    np.testing.assert_array_equal(np.broadcast_to(claimed(field), seen.shape), seen)


@pytest.mark.parametrize("name", WIDER)
def test_what_cannot_be_known_is_not_left_out(name):
    (field,) = from_model(WIDER[name], SHAPE)
    seen = seen_in_gradients(WIDER[name])
    assert (np.broadcast_to(claimed(field), seen.shape) >= seen).all()
    assert not (claimed(field) == seen).all()


def chained(names):
    return lambda x: functools.reduce(lambda y, name: STEPS[name](y), names, x)


# Steps with weights above 0, which keep the image's rows and columns on axes 1 and 2.
STEPS = {
    "conv": convolved,
    "corr2d": lambda x: jnp.moveaxis(cj.corr2d(jnp.moveaxis(x, 3, 1), KERNEL, padding=1), 1, 3),
    "reflect": lambda x: jnp.pad(x, ((0, 0), (1, 0), (1, 1), (0, 0)), mode="reflect"),
    "strided": lambda x: convolved(x, strides=(2, 1), padding=((2, 1), (1, 1))),
    "transposed": lambda x: convolved(x, padding=((2, 2), (1, 1)), lhs_dilation=(2, 1)),
    "pool": lambda x: cj.avg_pool(x, (2, 2), (1, 1), "SAME"),
    "blocks": lambda x: cj.max_pool(jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0))), (2, 2), (2, 2)),
    "repeat": lambda x: jnp.repeat(x, 2, 2),
    "turn": lambda x: x.swapaxes(1, 2),
    "flip": lambda x: jnp.flip(x, 2),
    "roll": lambda x: jnp.roll(x, 1, 1),
    "cumsum": lambda x: jnp.cumsum(x, 1),
    "cut": lambda x: x[:, :-1, -4:],
    "surround": lambda x: jnp.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0))),
}


@bounded(max_examples=15)
@given(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=5))
def test_steps_in_any_order_see_what_changes_them(names):
    fn = chained(names)
    images = jnp.eye(HEIGHT * WIDTH).reshape(-1, HEIGHT, WIDTH, 1)
    output = jax.eval_shape(fn, images)
    if 0 in output.shape:
        return

    (field,) = from_model(fn, SHAPE)

    changed = np.asarray(jax.jit(fn)(images) != 0)[..., 0]
    changed = changed.reshape(HEIGHT, WIDTH, *output.shape[1:3]).transpose(2, 3, 0, 1)
    if names.count("turn") % 2:  # the field tells rows of the image first
        changed = changed.swapaxes(0, 1)
    np.testing.assert_array_equal(np.broadcast_to(claimed(field), changed.shape), boxes(changed))


def test_layers_come_in_order_with_their_names():
    def fn(x):
        x = cj.max_pool(convolved(x), (2, 2), (2, 2))
        return {"mean": x.mean((1, 2)), "maps": [correlated(x, padding="same")]}

    fields = from_model(fn, SHAPE, layers=True)

    assert [field.name for field in fields] == ["conv1", "pool1", "conv2", "maps.0", "mean"]
    assert [field.size for field in fields] == [(3, 3), (4, 4), (8, 8), (8, 8), (8, 6)]
    assert [field.name for field in from_model(fn, SHAPE)] == ["maps.0", "mean"]


@pytest.mark.parametrize(
    "pool",
    [
        lambda x: cj.max_pool(x, (2, 2), (2, 2)),
        lambda x: cj.avg_pool(x, (2, 2), (2, 2)),
        lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"),
        lambda x: x.reshape(1, 3, 2, 2, 2, 1).max((2, 4)),
    ],
    ids=["our maximum", "our mean", "reduce_window", "reshape and reduce"],
)
def test_a_pool_is_told_as_one_layer(pool):
    fields = from_model(pool, (1, 6, 4, 1), layers=True)
    assert [field.name for field in fields] == ["pool1", "output"]
    assert fields[0][1:] == fields[1][1:]


@pytest.mark.parametrize(
    ("shape", "axes", "fn", "size"),
    [
        ((1, 1, 6, 5), (2, 3), lambda x: channels_first(x.transpose(0, 2, 3, 1)), (3, 3)),
        ((6, 5), None, lambda x: cj.corr2d(x, KERNEL[:2]), (2, 3)),
        ((2, 9, 1), (1,), lambda x: x[:, 2:] + x[:, :-2], (3,)),
        (
            (1, 4, 5, 6, 1),
            (1, 2, 3),
            lambda x: lax.reduce_window(x, 0.0, lax.add, (1, 2, 3, 4, 1), (1,) * 5, "VALID"),
            (2, 3, 4),
        ),
    ],
    ids=["channels first", "one image", "a signal", "a volume"],
)
def test_axes_of_pixels_may_be_named(shape, axes, fn, size):
    (field,) = from_model(fn, shape, spatial_axes=axes)
    assert field.size == size


def test_repeated_elements_are_regular():
    (field,) = from_model(EXACT["repeat"], SHAPE)
    # 3x3 over elements that come twice, or three times, meets 2 of them.
    assert field.size == (2, 2)
    assert [float(jump) for jump in field.jump] == [1 / 2, pytest.approx(1 / 3)]
    (field,) = from_model(EXACT["bilinear"], SHAPE)
    assert field.jump == (None, None)


def test_what_no_pixel_changes_sees_nothing():
    (field,) = from_model(lambda x: jnp.ones((1, 2, 2, 1)), SHAPE)
    assert field.size == (0, 0)
    assert field.start == (None, None)
    assert field.pixels((0, 0)) is None


def test_a_window_over_two_arrays_sees_both():
    def fn(x):
        starts, window = (0.0, 0.0), (1, 2, 1, 1)
        add = lambda a, b: (a[0] + b[0], a[1] + b[1])  # noqa: E731 - it is the reducer
        return lax.reduce_window((x, x[:, ::-1]), starts, add, window, (1, 1, 1, 1), "VALID")[1]

    (field,) = from_model(fn, SHAPE)
    assert field.spans[0] == ((0, 5), (1, 4), (2, 3), (1, 4), (0, 5))


def test_a_callback_sees_its_operands():
    def fn(x):
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x[:, 2:4].shape, x.dtype), x[:, 2:4])

    (field,) = from_model(fn, SHAPE)
    assert field.spans == (((2, 3),), ((0, WIDTH - 1),))


def test_whole_numbers_and_batches_can_be_read():
    kernel = jnp.ones((3, 3), jnp.int8)
    (field,) = from_model(
        lambda x: cj.corr2d(x, kernel), (4, 9, 9), dtype="uint8", spatial_axes=(1, 2)
    )
    assert field.size == (3, 3)
    assert field.shape == (7, 7)
