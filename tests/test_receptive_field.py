"""Fields of layer lists and of traced networks, against sets of indices and measured supports."""

import functools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import bounded
from flax import linen as nn
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from jax import lax

import conv_jax as cj
from conv_jax import models
from conv_jax.receptive_field import (
    branches,
    conv,
    dense,
    from_model,
    pool,
    receptive_field,
    table,
    transposed_conv,
)

LAYOUT = ("NHWC", "HWIO", "NHWC")
KEY = jax.random.key(0)


# An oracle of one axis, by sets of indices: a layer is (kernel, stride, before, after, dilation,
# spread), with spread - 1 zeros between the inputs of a transposed convolution.


def count_outputs(size, layer):
    kernel, stride, before, after, dilation, spread = layer
    return ((size - 1) * spread + before + after - dilation * (kernel - 1)) // stride + (
        1 if size else 0
    )


def seen_by(layers, y, sizes=None):
    """Return the pixels that output y sees, of an axis without ends or of one of those sizes."""
    if not layers:
        return {y}
    *earlier, (kernel, stride, before, _, dilation, spread) = layers
    seen = set()
    for tap in range(kernel):
        place = y * stride - before + tap * dilation
        index = place // spread
        if place % spread == 0 and (sizes is None or 0 <= index < sizes[len(earlier)]):
            seen |= seen_by(earlier, index, sizes)
    return seen


def hull(pixels):
    return (int(min(pixels)), int(max(pixels))) if len(pixels) else None


def spans_of(layers, size):
    """Return the first and last pixel of an image's axis that each output sees."""
    sizes = [size]
    for layer in layers:
        sizes.append(count_outputs(sizes[-1], layer))
    return tuple(hull(seen_by(layers, y, sizes)) for y in range(sizes[-1]))


def as_layer(layer):
    """Return an oracle's layer as `receptive_field` takes it."""
    kernel, stride, before, after, dilation, spread = layer
    pads = (before, after), (before, after)
    if spread == 1:
        return conv(kernel, stride=stride, padding=pads, dilation=dilation)
    extent = dilation * (kernel - 1) + 1
    cut = (extent - 1 - before, extent - 1 - after)
    return transposed_conv(kernel, stride=spread, padding=(cut, cut), dilation=dilation)


@st.composite
def stacks(draw):
    """Draw layers and the size of an axis that they all fit."""
    layers = []
    for _ in range(draw(st.integers(1, 4))):
        kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 2))
        extent = dilation * (kernel - 1) + 1
        before, after = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
        if draw(st.booleans()):
            layers.append((kernel, draw(st.integers(1, 3)), before, after, dilation, 1))
        else:
            cut = (min(before, extent - 1), min(after, extent - 1))
            spread = draw(st.integers(1, 3))
            layers.append((kernel, 1, extent - 1 - cut[0], extent - 1 - cut[1], dilation, spread))
    size = draw(st.integers(1, 12))
    while not fits(layers, size):
        size += 7
    return layers, size


def fits(layers, size):
    for layer in layers:
        size = count_outputs(size, layer)
        if size < 1:
            return False
    return True


@bounded(max_examples=150)
@given(stacks())
def test_a_stack_sees_what_sets_of_indices_say(drawn):
    layers, size = drawn

    *_, field = receptive_field(map_layers(layers), image_shape=(size, size))

    expected = spans_of(layers, size)
    assert field.spans == (expected, expected)
    assert field.shape == (len(expected), len(expected))


@bounded(max_examples=150)
@given(stacks())
def test_without_an_image_the_axis_has_no_ends(drawn):
    layers, _ = drawn

    *_, field = receptive_field(map_layers(layers))

    period = np.prod([spread for *_, spread in layers])
    hulls = [hull(seen_by(layers, y)) for y in range(2 * period)]
    assert field.size[0] == max(b - a + 1 for a, b in filter(None, hulls))
    assert field.start[0] == (hulls[0] and hulls[0][0])
    assert field.padding[0][0] == max(0, -min(a for a, _ in filter(None, hulls)))
    stride = Fraction(int(np.prod([s for _, s, *_ in layers])), int(period))
    assert field.jump == (stride, stride)


@bounded(max_examples=60)
@given(stacks())
def test_a_traced_stack_has_the_field_of_its_layers(drawn):
    layers, size = drawn

    def fn(image):
        for kernel, stride, before, after, dilation, spread in layers:
            image = lax.conv_general_dilated(
                image,
                jnp.ones((kernel, kernel, 1, 1)),
                (stride, stride),
                ((before, after), (before, after)),
                lhs_dilation=(spread, spread),
                rhs_dilation=(dilation, dilation),
                dimension_numbers=LAYOUT,
            )
        return image

    (traced,) = from_model(fn, (1, size, size, 1))
    *_, listed = receptive_field(map_layers(layers), image_shape=(size, size))
    assert traced == listed._replace(name="output")


def map_layers(layers):
    return [as_layer(layer) for layer in layers]


# Networks whose weights are all above 0, without biases, show what an output sees: those images of
# one pixel that change it.


def measured_spans(fn, size):
    """Return the box of pixels that change each output, [H', W'] of ((rows), (columns)) or None."""
    height, width = size
    images = jnp.eye(height * width).reshape(-1, height, width, 1)
    changed = np.asarray(jax.jit(lambda x: fn(x))(images) != 0).any(-1)
    changed = changed.reshape(height, width, *changed.shape[1:])
    boxes = np.empty(changed.shape[2:], object)
    for place in np.ndindex(boxes.shape):
        rows, columns = np.nonzero(changed[(..., *place)])
        boxes[place] = (hull(rows), hull(columns)) if len(rows) else None
    return boxes


def claimed_spans(field):
    boxes = np.empty(field.shape, object)
    for place in np.ndindex(boxes.shape):
        boxes[place] = field.pixels(place)
    return boxes


def positive(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).uniform(0.5, 1, shape), jnp.float32)


def conv_of(kernel, *, channels=(1, 1), by=lax.conv_general_dilated, **options):
    """Return a convolution with weights above 0."""
    strides = (options.pop("stride", 1),) * 2
    padding = options.pop("padding", "VALID")
    kernel = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    weights = positive((*kernel, *channels))
    return lambda x: by(x, weights, strides, padding, dimension_numbers=LAYOUT, **options)


def chain(*functions):
    return lambda x: functools.reduce(lambda y, function: function(y), functions, x)


def transposed_of(kernel, stride, padding):
    weights = positive((kernel, kernel, 1, 1))
    return lambda x: lax.conv_transpose(x, weights, (stride, stride), padding)


def mean_pool(window, stride, padding="VALID"):
    return lambda x: nn.avg_pool(x, (window, window), (stride, stride), padding)


def most_pool(window, stride, padding="VALID"):
    return lambda x: nn.max_pool(x, (window, window), (stride, stride), padding)


def our_pools(x):
    return cj.avg_pool(cj.max_pool(x, (2, 2), (2, 2)), (3, 3), (1, 1))


def residual(x):
    inner = chain(conv_of(3, stride=2, padding="SAME"), conv_of(3, padding="SAME"))
    return inner(x) + conv_of(1, stride=2)(x)


def inception(x):
    paths = (
        conv_of(1),
        conv_of(3, padding="SAME"),
        chain(conv_of(1), conv_of(5, padding="SAME")),
        most_pool(3, 1, "SAME"),
    )
    return jnp.concatenate([path(x) for path in paths], -1)


def above_zero(shapes):
    """Return weights above 0 for a tree of shapes."""
    return jax.tree.map(lambda leaf: positive(leaf.shape), shapes)


class ResNet(nnx.Module):
    """A stem, a pool, a block with and one without a stride."""

    def __init__(self, conv_general_dilated, rngs):
        conv = functools.partial(
            nnx.Conv, use_bias=False, conv_general_dilated=conv_general_dilated, rngs=rngs
        )
        self.stem = conv(1, 2, (3, 3), strides=2, padding=1)
        self.first = nnx.List([conv(2, 2, (3, 3), padding=1) for _ in range(2)])
        self.second = nnx.List(
            [conv(2, 2, (3, 3), strides=2, padding=1), conv(2, 2, (3, 3), padding=1)]
        )
        self.short = conv(2, 2, (1, 1), strides=2)

    def __call__(self, images):
        x = nnx.relu(self.stem(images))
        x = nnx.relu(x + self.first[1](nnx.relu(self.first[0](x))))
        return self.short(x) + self.second[1](nnx.relu(self.second[0](x)))


def resnet(by):
    shapes = nnx.eval_shape(lambda: ResNet(by, nnx.Rngs(0)))
    graphdef, params = nnx.split(shapes, nnx.Param)
    return nnx.merge(graphdef, above_zero(params))


RESNET = [
    conv(3, stride=2, padding=1),
    branches([], [conv(3, padding=1), conv(3, padding=1)]),
    branches([conv(1, stride=2)], [conv(3, stride=2, padding=1), conv(3, padding=1)]),
]


class UNet(nn.Module):
    """One level down, one up, and the two concatenated."""

    conv_general_dilated: object

    @nn.compact
    def __call__(self, images):
        conv = functools.partial(
            nn.Conv, use_bias=False, conv_general_dilated=self.conv_general_dilated
        )
        left = nn.relu(conv(2, (3, 3))(images))
        down = nn.max_pool(left, (2, 2), (2, 2))
        down = nn.relu(conv(2, (3, 3))(down))
        up = nn.ConvTranspose(2, (2, 2), strides=(2, 2), use_bias=False)(down)
        return conv(1, (3, 3))(jnp.concatenate([left, up], -1))


def unet(by):
    module = UNet(by)
    shapes = jax.eval_shape(module.init, KEY, jnp.zeros((1, 16, 16, 1)))
    return module.bind(above_zero(shapes))


UNET = [
    conv(3, padding="same"),
    branches([], [pool(2), conv(3, padding="same"), transposed_conv(2, stride=2)]),
    conv(3, padding="same"),
]


# name: (how to build the function, its layers, the size of the image)
NETWORKS = {
    "the chapter's 2x2 twice": (lambda: chain(conv_of(2), conv_of(2)), [(2,), (2,)], (3, 3)),
    "dilations 1, 2, 4": (
        lambda: chain(*(conv_of(3, padding=((d, d),) * 2, rhs_dilation=(d, d)) for d in (1, 2, 4))),
        [{"kernel": 3, "padding": "same", "dilation": d} for d in (1, 2, 4)],
        (17, 16),
    ),
    "stride 2 and SAME, even size": (
        lambda: chain(*[conv_of(3, stride=2, padding="SAME")] * 2),
        [conv(3, stride=2, padding="SAME")] * 2,
        (12, 10),
    ),
    "stride 2 and SAME, odd size": (
        lambda: chain(*[conv_of((2, 5), stride=2, padding="SAME")] * 2),
        [conv((2, 5), stride=2, padding="SAME")] * 2,
        (11, 13),
    ),
    "SAME_LOWER": (
        lambda: chain(conv_of(4, padding="SAME_LOWER"), conv_of(4, stride=3, padding="SAME_LOWER")),
        [conv(4, padding="same_lower"), conv(4, stride=3, padding="SAME_LOWER")],
        (10, 9),
    ),
    "pools": (
        lambda: chain(most_pool(3, 2, ((1, 1), (1, 1))), mean_pool(2, 2)),
        [pool(3, stride=2, padding=1), pool(2)],
        (13, 12),
    ),
    "our pools": (lambda: our_pools, [pool(2), pool(3, stride=1)], (11, 10)),
    "dilated window": (
        lambda: (
            lambda x: lax.reduce_window(
                x, 0.0, lax.add, (1, 2, 3, 1), (1, 1, 2, 1), "VALID", window_dilation=(1, 3, 2, 1)
            )
        ),
        [pool((2, 3), stride=(1, 2), dilation=(3, 2))],
        (8, 11),
    ),
    "a pad longer than the kernel": (
        lambda: conv_of(2, padding=((4, 3), (0, 5))),
        [conv(2, padding=((4, 3), (0, 5)))],
        (4, 5),
    ),
    "transposed, valid": (
        lambda: chain(conv_of(3, stride=2), transposed_of(3, 2, "VALID")),
        [conv(3, stride=2), transposed_conv(3, stride=2)],
        (9, 8),
    ),
    "transposed, same": (
        lambda: chain(transposed_of(4, 2, "SAME"), conv_of(3)),
        [transposed_conv(4, stride=2, padding="same"), conv(3)],
        (5, 4),
    ),
    "transposed with gaps": (
        lambda: transposed_of(2, 3, "VALID"),
        [transposed_conv(2, stride=3)],
        (3, 4),
    ),
    "residual block": (
        lambda: residual,
        [
            branches(
                [conv(3, stride=2, padding="SAME"), conv(3, padding="SAME")], [conv(1, stride=2)]
            )
        ],
        (9, 9),
    ),
    "inception block": (
        lambda: inception,
        [
            branches(
                [conv(1)],
                [conv(3, padding="same")],
                [conv(1), conv(5, padding="same")],
                [pool(3, stride=1, padding="same")],
            )
        ],
        (7, 8),
    ),
    "ResNet of NNX": (
        lambda: resnet(lax.conv_general_dilated),
        RESNET,
        (19, 18),
    ),
    "ResNet of NNX, our convolution": (
        lambda: resnet(cj.conv_general_dilated),
        RESNET,
        (19, 18),
    ),
    "UNet of Linen": (lambda: unet(lax.conv_general_dilated), UNET, (12, 14)),
    "UNet of Linen, our convolution": (
        lambda: unet(cj.conv_general_dilated),
        UNET,
        (12, 14),
    ),
    "corr2d": (
        lambda: (
            lambda x: cj.corr2d(
                cj.corr2d(x[..., 0], positive((3, 2)), padding="same_lower"),
                positive((2, 4)),
                stride=(2, 1),
                dilation=2,
            )[..., None]
        ),
        [conv((3, 2), padding="same_lower"), conv((2, 4), stride=(2, 1), dilation=2)],
        (9, 10),
    ),
}


@functools.cache
def network(name):
    build, layers, size = NETWORKS[name]
    return build(), layers, size


every_network = pytest.mark.parametrize("name", NETWORKS)


@every_network
def test_a_network_has_the_field_of_its_layers(name):
    fn, layers, size = network(name)

    (traced,) = from_model(fn, (1, *size, 1))

    *_, listed = receptive_field(layers, image_shape=size)
    assert traced == listed._replace(name="output")


@every_network
def test_every_output_of_a_network_sees_its_field_and_nothing_else(name):
    fn, layers, size = network(name)
    *_, field = receptive_field(layers, image_shape=size)

    np.testing.assert_array_equal(claimed_spans(field), measured_spans(fn, size))


def test_the_measured_support_tells_a_wrong_field():
    fn, _, size = network("pools")
    *_, other = receptive_field([pool(3, stride=2), pool(2)], image_shape=(14, 13))

    measured = measured_spans(fn, size)
    assert other.shape == measured.shape
    assert not (claimed_spans(other) == measured).all()


def test_ten_5x5_layers_see_41_pixels_of_240():
    fn = chain(*[conv_of(5)] * 10)

    *_, listed = receptive_field([(5,)] * 10, image_shape=(240, 240))
    (traced,) = from_model(fn, (1, 240, 240, 1))

    assert listed.size == (41, 41)
    assert listed.shape == (200, 200)
    assert traced == listed._replace(name="output")


@pytest.mark.parametrize("position", [(0, 0), (7, 0), (3, 11)], ids=str)
def test_ten_5x5_layers_have_a_gradient_on_all_of_their_field_alone(position):
    size = (48, 52)
    fn = chain(*[conv_of(5)] * 10)
    *_, field = receptive_field([(5,)] * 10, image_shape=size)

    gradient = jax.jit(jax.grad(lambda x: fn(x)[(0, *position, 0)]))(jnp.ones((1, *size, 1)))

    (top, bottom), (left, right) = field.pixels(position)
    expected = np.zeros(size, bool)
    expected[top : bottom + 1, left : right + 1] = True
    np.testing.assert_array_equal(np.asarray(gradient)[0, :, :, 0] != 0, expected)


LENET5 = {
    "conv1": ((28, 28), (5, 5), 1),
    "pool1": ((14, 14), (6, 6), 2),
    "conv2": ((10, 10), (14, 14), 2),
    "pool2": ((5, 5), (16, 16), 4),
}


def lenet5(method, **options):
    model = models.build(models.LeNet5, method=method, **options)
    return functools.partial(model.apply, above_zero(jax.eval_shape(model.init, KEY)))


@pytest.mark.parametrize("preset", models.PRESETS)
def test_lenet5_by_hand(preset):
    fields = from_model(lenet5("feature_maps", **models.PRESETS[preset]), (2, 32, 32, 1))

    by_name = {field.name: field for field in fields}
    for name, (shape, size, jump) in LENET5.items():
        assert by_name[name][1:-1] == (size, (jump, jump), (0, 0), ((0, 0), (0, 0)), shape)


def test_lenet5_as_layers_and_as_a_program():
    layers = [conv(5), pool(2), conv(5), pool(2), dense(name="output")]

    traced = from_model(lenet5("__call__"), (1, 32, 32, 1), layers=True)

    assert traced == receptive_field(layers, image_shape=(32, 32))
    assert traced[-1].pixels((0, 0)) == ((0, 31), (0, 31))


def test_a_field_may_be_larger_than_the_image():
    *_, field = receptive_field([conv(3, padding="same")] * 10, image_shape=(8, 8))

    assert field.size == (21, 21)
    assert field.padding == ((10, 10), (10, 10))
    assert field.pixels((4, 0)) == ((0, 7), (0, 7))


VGG16 = [
    layer for convs in (2, 2, 3, 3, 3) for layer in [*[conv(3, padding="same")] * convs, pool(2)]
]


def bottleneck(*, widening=False, stride=1):
    inner = [conv(1), conv(3, stride=stride, padding="same"), conv(1)]
    return branches([conv(1, stride=stride)] if widening or stride > 1 else [], inner)


def stage(num_blocks, *, stride):
    """Return blocks of which the last one has the stride, as in the network that was measured."""
    return [*[bottleneck()] * (num_blocks - 1), bottleneck(stride=stride)]


RESNET50 = [
    conv(7, stride=2, padding="same"),
    pool(3, stride=2, padding=((0, 1), (0, 1))),  # as SAME pads an even size
    *stage(3, stride=2),
    *stage(4, stride=2),
    *stage(6, stride=2),
    *stage(3, stride=1),
]


@pytest.mark.parametrize(
    ("layers", "size", "jump", "padding"),
    [(VGG16, 212, 32, 90), (RESNET50, 483, 32, 239)],
    ids=["VGG16", "ResNet-50"],
)
def test_published_fields(layers, size, jump, padding):
    """The table of Araujo, Norris and Sim (2019)."""
    *_, field = receptive_field(layers)
    assert (field.size[0], field.jump[0], field.padding[0][0]) == (size, jump, padding)


def test_stride_2_leaves_the_padding_behind_that_it_does_not_reach():
    (with_image,) = receptive_field([conv(3, stride=2, padding=1)], image_shape=(6, 7))
    (without,) = receptive_field([conv(3, stride=2, padding=1)])

    assert with_image.padding == ((1, 0), (1, 1))
    assert without.padding == ((1, 1), (1, 1))


@pytest.mark.parametrize(
    ("layer", "same"),
    [
        ((3,), conv(3)),
        ((3, 2), conv(3, stride=2)),
        ([(3, 2), 1, "same", (1, 2)], conv((3, 2), padding="same", dilation=(1, 2))),
        ({"kernel": 3, "padding": 1, "name": "a"}, conv(3, padding=1, name="a")),
        (conv(3, padding="VALID"), conv(3)),
        (conv(4, padding="SAME"), conv(4, padding="same")),
    ],
    ids=["kernel", "kernel and stride", "list", "dict", "VALID", "SAME with stride 1"],
)
def test_a_layer_may_be_written(layer, same):
    assert receptive_field([layer]) == receptive_field([same])


def test_a_transposed_convolution_divides_the_jump():
    fields = receptive_field([conv(4, stride=4), transposed_conv(2, stride=2), conv(3)])

    assert [field.jump[0] for field in fields] == [4, 2, 2]
    *_, half = receptive_field([transposed_conv(2, stride=2)])
    assert half.jump == (Fraction(1, 2), Fraction(1, 2))


def test_layers_are_numbered_by_kind():
    layers = [conv(3), pool(2), conv(3, name="last"), conv(1), branches([], [])]
    names = [field.name for field in receptive_field(layers)]
    assert names == ["conv1", "pool1", "last", "conv3", "branches1"]


def test_the_table_says_rows_and_columns_apart_where_they_differ():
    lines = table(receptive_field([conv((3, 5), stride=(1, 2))], image_shape=(9, 9))).splitlines()
    assert lines[1].split() == ["conv1", "7x3", "3x5", "1,", "2", "0", "0+0"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: conv(3, stride=0), "stride: expected two integers, or one, of at least 1, got 0"),
        (lambda: pool(0), "window: expected two integers, or one, of at least 1, got 0"),
        (lambda: conv(3, padding="sane"), "padding: expected one of .*'same'"),
        (lambda: transposed_conv(3, padding="full"), "padding: expected 'valid', 'same' or"),
        (
            lambda: receptive_field([(3,), (3, 0)]),
            r"layers\[1\].stride: expected two integers, or one, of at least 1, got 0",
        ),
        (
            lambda: receptive_field([branches([(3, 1, "same")], [{"kernal": 3}])]),
            r"layers\[0\].paths\[1\]\[0\]: expected conv.*got {'kernal': 3}",
        ),
        (lambda: receptive_field([3]), r"layers\[0\]: expected conv.*got 3"),
        (
            lambda: receptive_field([(3,), (5,)], image_shape=(6, 9)),
            r"layers\[1\]: expected a window within the padded map of 0 \+ 4 \+ 0 elements, got 5",
        ),
        (
            lambda: receptive_field([branches([], [conv(3, stride=2, padding=1)])]),
            r"layers\[0\]: expected paths of one jump, got 1, 2",
        ),
        (
            lambda: receptive_field([branches([], [conv(3)], name="a")], image_shape=(9, 9)),
            r"layers\[0\] \('a'\): expected paths of as many outputs, got 9, 7",
        ),
        (
            lambda: receptive_field([conv(3, stride=2, padding="SAME")]),
            r"layers\[0\]: expected image_shape, as padding 'SAME' with a stride depends on it",
        ),
        (lambda: receptive_field([dense()]), r"layers\[0\]: expected image_shape, as dense"),
        (
            lambda: receptive_field([(3,)])[0].pixels((0, 0)),
            "image_shape: expected the image's size for 'conv1', got None",
        ),
        (
            lambda: receptive_field([(3,)], image_shape=(9, 8))[0].pixels((7, 0)),
            r"position: expected numbers within \(0..6, 0..5\), got \(7, 0\)",
        ),
        (
            lambda: receptive_field([(3,)], image_shape=(0, 8)),
            r"image: expected two sizes of at least 1, got \(0, 8\)",
        ),
        (
            lambda: from_model(jnp.sin, (4, 4, 1), spatial_axes=(0, 3)),
            r"spatial_axes: expected axes of an image \(4, 4, 1\), got \(0, 3\)",
        ),
        (
            lambda: from_model(jnp.sin, (4, 4, 1), spatial_axes=(1, -2)),
            r"spatial_axes: expected different axes, got \(1, -2\)",
        ),
        (lambda: from_model(jnp.sin, (4,)), r"image_shape: expected \(H, W\) or .* got \(4,\)"),
    ],
    ids=lambda value: None if callable(value) else "",
)
def test_a_mistake_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
