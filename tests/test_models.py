import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from conv_jax import conv2d, corr2d, models


@pytest.fixture(scope="module")
def notes():
    """The notes' LeNet5, both functions jitted, with parameters and two images."""
    model = models.build(models.LeNet5)
    init, apply = jax.jit(model.init), jax.jit(model.apply)
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 1))
    return models.Model(init, apply), init(jax.random.key(3)), jnp.asarray(images, "float32")


@pytest.fixture(scope="module")
def maps(notes):
    """What the layers give for the first image, under jit."""
    _, params, images = notes
    return jax.jit(models.build(models.LeNet5, method="feature_maps").apply)(params, images[:1])


@pytest.mark.parametrize(
    ("preset", "size"), [("notes", 266_050), ("d2l", 61_706), ("lecun1998", 61_706)]
)
def test_lenet5_has_the_sources_number_of_parameters(preset, size):
    model = models.build(models.LeNet5, **models.PRESETS[preset])
    assert models.num_params(jax.eval_shape(model.init, jax.random.key(0))) == size


def test_lenet5_intermediates_have_the_notes_shapes(maps):
    assert {name: layer.shape for name, layer in maps.items()} == {
        "input": (1, 32, 32, 1),
        "conv1": (1, 28, 28, 20),
        "pool1": (1, 14, 14, 20),
        "conv2": (1, 10, 10, 20),
        "pool2": (1, 5, 5, 20),
        "flatten": (1, 500),
        "fc1": (1, 500),
        "logits": (1, 10),
    }


def test_feature_maps_keep_their_order_under_jit(maps):
    names = list(maps)
    assert names[:3] == ["input", "conv1", "pool1"]
    assert names[-1] == "logits"


def test_first_feature_map_is_corr2d_of_the_image(notes, maps):
    _, params, images = notes
    kernel, bias = params["conv1"]["kernel"], params["conv1"]["bias"]
    expected = corr2d(images[:1, :, :, 0], kernel[:, :, 0, 7]) + bias[7]
    np.testing.assert_allclose(maps["conv1"][..., 7], expected, atol=1e-5)


def test_predict_is_the_class_of_the_largest_logit(notes):
    model, params, images = notes
    predicted = jax.jit(models.build(models.LeNet5, method="predict").apply)(params, images)
    np.testing.assert_array_equal(predicted, model.apply(params, images).argmax(axis=-1))


def test_each_image_of_a_batch_is_flattened_by_itself(notes):
    model, params, images = notes
    alone = jnp.concatenate([model.apply(params, images[:1]), model.apply(params, images[1:])])
    np.testing.assert_allclose(model.apply(params, images), alone, atol=1e-5)


def test_lenet5_refuses_an_image_of_another_size(notes):
    model, params, _ = notes
    with pytest.raises(ValueError, match=r"images: .*32, 32, 1\), got \(25, 28, 28, 1\)"):
        model.apply(params, jnp.zeros((25, 28, 28, 1)))


def test_lenet5_refuses_an_image_too_small_for_it():
    with pytest.raises(ValueError, match=r"image_shape: expected at least 16x16.*\(15, 15, 1\)"):
        models.build(models.LeNet5, image_shape=(15, 15, 1))


def test_lenet5_takes_the_smallest_image_it_names():
    model = models.build(models.LeNet5, image_shape=(16, 16, 1))
    params = jax.eval_shape(model.init, jax.random.key(0))
    logits = jax.eval_shape(model.apply, params, jnp.zeros((1, 16, 16, 1)))
    assert logits.shape == (1, 10)


def test_strict_convolution_is_correlation_with_the_kernels_flipped(notes):
    model, params, images = notes
    strict = jax.jit(models.build(models.LeNet5, operator="convolution").apply)
    flipped = jax.tree.map(lambda leaf: leaf[::-1, ::-1] if leaf.ndim == 4 else leaf, params)
    np.testing.assert_array_equal(strict(flipped, images), model.apply(params, images))
    assert (strict(params, images) != model.apply(params, images)).any()


def test_first_map_of_strict_convolution_is_conv2d_of_the_image(notes):
    _, params, images = notes
    model = models.build(models.LeNet5, method="feature_maps", operator="convolution")
    kernel, bias = params["conv1"]["kernel"], params["conv1"]["bias"]
    expected = conv2d(images[:1, :, :, 0], kernel[:, :, 0, 7]) + bias[7]
    maps = jax.jit(model.apply)(params, images[:1])
    np.testing.assert_allclose(maps["conv1"][..., 7], expected, atol=1e-5)


@pytest.mark.parametrize("option", ["activation", "pooling", "operator"])
def test_lenet5_refuses_an_unknown_word(option):
    with pytest.raises(ValueError, match=rf"{option}: expected one of .*, got 'none'"):
        models.build(models.LeNet5, **{option: "none"})


def test_summary_prints_the_notes_table():
    assert models.summary().splitlines() == [
        "layer     output shape        parameters",
        "input     (1, 32, 32, 1)               0",
        "conv1     (1, 28, 28, 20)            520",
        "pool1     (1, 14, 14, 20)              0",
        "conv2     (1, 10, 10, 20)         10,020",
        "pool2     (1, 5, 5, 20)                0",
        "flatten   (1, 500)                     0",
        "fc1       (1, 500)               250,500",
        "logits    (1, 10)                  5,010",
        "total                            266,050",
    ]


def test_summary_counts_every_parameter_of_a_deeper_network():
    lines = models.summary(**models.PRESETS["d2l"]).splitlines()
    counts = [int(line.split()[-1].replace(",", "")) for line in lines[1:]]
    assert sum(counts[:-1]) == counts[-1] == 61_706


def test_summary_counts_the_logits_of_a_network_of_many_layers():
    lines = models.summary(hidden=tuple(range(20, 31))).splitlines()
    assert lines[-2].split() == ["logits", "(1,", "10)", "310"]


@pytest.mark.parametrize(
    ("strict", "operator"), [(False, corr2d), (True, conv2d)], ids=["correlation", "convolution"]
)
def test_conv2d_layer_is_operator_plus_bias(strict, operator):
    model = models.build(models.Conv2D, kernel_size=(2, 3), strict_convolution=strict)
    params = {**model.init(jax.random.key(0)), "bias": jnp.array([0.5])}
    image = jax.random.normal(jax.random.key(1), (5, 6))
    expected = operator(image, params["weight"]) + 0.5
    np.testing.assert_array_equal(model.apply(params, image), expected)


def test_conv2d_layer_starts_uniform_with_no_bias():
    params = models.build(models.Conv2D, kernel_size=(40, 50)).init(jax.random.key(0))
    assert params["bias"].tolist() == [0.0]
    assert params["weight"].shape == (40, 50)
    assert 0 <= params["weight"].min() < 0.01 < 0.99 < params["weight"].max() < 1


def test_build_refuses_state_that_apply_would_lose():
    class Normalized(nnx.Module):
        def __init__(self, *, rngs):
            self.norm = nnx.BatchNorm(3, rngs=rngs)

    with pytest.raises(ValueError, match=r"model_cls: .*got BatchStat in Normalized"):
        models.build(Normalized)


def test_build_refuses_a_bare_array():
    class Noisy(nnx.Module):
        def __init__(self, *, rngs):
            self.weight = nnx.Param(jnp.ones(3))
            self.noise = jax.random.normal(rngs.params(), (3,))

    with pytest.raises(ValueError, match=r"model_cls: .*got a bare array in Noisy"):
        models.build(Noisy)


def test_build_refuses_a_method_that_is_not_there():
    with pytest.raises(ValueError, match="method: LeNet5 has no method 'feature_map'"):
        models.build(models.LeNet5, method="feature_map")


@pytest.mark.parametrize(
    "options", [{"kernel_size": 0}, {"channels": (2, 3, 4)}, {"hidden": (0,)}], ids=str
)
def test_lenet5_refuses_sizes_that_make_no_network(unchecked, options):
    with pytest.raises(ValueError, match="kernel_size, channels, hidden, num_classes: expected"):
        models.build(models.LeNet5, **options)


def test_params_are_a_plain_nested_dict(notes):
    _, params, _ = notes
    assert type(params) is dict
    assert type(params["conv1"]) is dict
    assert params["conv1"]["kernel"].shape == (5, 5, 1, 20)


def test_init_depends_on_the_key_alone(notes):
    model, first, _ = notes
    again, other = (model.init(jax.random.key(seed)) for seed in (3, 4))
    np.testing.assert_array_equal(first["fc1"]["kernel"], again["fc1"]["kernel"])
    assert (first["fc1"]["kernel"] != other["fc1"]["kernel"]).any()
