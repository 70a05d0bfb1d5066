import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from conv_jax import models
from conv_jax.receptive_field import from_model


@pytest.fixture(scope="module")
def small():
    """The network's parameters, two images and what its layers give for them, under jit."""
    model = models.build(models.SmallNet, method="feature_maps")
    params = model.init(jax.random.key(0))
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 32, 32, 1)), "float32")
    return params, images, jax.jit(model.apply)(params, images)


def test_it_has_fewer_than_10_000_parameters(small):
    params, *_ = small
    assert models.num_params(params) == 8_378


def test_summary_counts_every_parameter():
    assert models.summary(model_cls=models.SmallNet).splitlines() == [
        "layer     output shape        parameters",
        "input     (1, 32, 32, 1)               0",
        "conv1     (1, 30, 30, 8)              80",
        "pool1     (1, 15, 15, 8)               0",
        "conv2     (1, 13, 13, 16)          1,168",
        "conv3     (1, 11, 11, 16)          2,320",
        "pool2     (1, 5, 5, 16)                0",
        "conv4     (1, 3, 3, 16)            2,320",
        "conv5     (1, 1, 1, 16)            2,320",
        "mean      (1, 16)                      0",
        "logits    (1, 10)                    170",
        "total                              8,378",
    ]


def test_logits_are_those_of_the_layers_written_out(small):
    params, images, maps = small
    x = images
    for index in range(1, 6):
        layer = params[f"conv{index}"]
        layout = ("NHWC", "HWIO", "NHWC")
        x = lax.conv_general_dilated(
            x, layer["kernel"], (1, 1), "VALID", dimension_numbers=layout
        ) + layer["bias"].reshape(1, 1, 1, -1)
        x = jnp.maximum(x, 0)
        if index in (1, 3):
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    expected = x.mean(axis=(1, 2)) @ params["fc"]["kernel"] + params["fc"]["bias"][None]
    np.testing.assert_allclose(maps["logits"], expected, atol=1e-4)


def test_it_starts_with_signals_of_the_size_of_the_image(small):
    *_, maps = small
    for name in ("conv1", "conv3", "conv5"):
        assert 0.3 < float(maps[name].std()) < 3


def test_predict_is_the_class_of_the_largest_logit(small):
    params, images, maps = small
    predict = jax.jit(models.build(models.SmallNet, method="predict").apply)
    np.testing.assert_array_equal(predict(params, images), maps["logits"].argmax(axis=-1))


def test_its_last_convolution_sees_the_whole_digit():
    model = models.build(models.SmallNet, method="feature_maps")
    params = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
        jax.eval_shape(model.init, jax.random.key(0)),
    )
    fields = from_model(lambda images: model.apply(params, images), (1, 32, 32, 1))
    # 1, and 2 for each convolution times the distance of its inputs, 1, 2, 2, 4, 4, and 1 + 2 for
    # the pools; so the last two of 32 pixels are seen by no output of the second pooling.
    assert {f.name: f.size for f in fields}["conv5"] == (30, 30)


@pytest.mark.parametrize(
    "options", [{"stages": ()}, {"stages": ((8,), ())}, {"stages": ((8, 0),)}, {"num_classes": 0}]
)
def test_sizes_that_make_no_network_are_refused(options):
    with pytest.raises(ValueError, match="stages, num_classes: expected stages of numbers"):
        models.build(models.SmallNet, **options)


def test_an_image_too_small_is_refused_and_the_smallest_is_not():
    # Backwards: 1, 5, 10, 14, 28, 30.
    with pytest.raises(ValueError, match=r"image_shape: expected at least 30x30 .*\(29, 40, 1\)"):
        models.build(models.SmallNet, image_shape=(29, 40, 1))
    summary = models.summary(model_cls=models.SmallNet, image_shape=(30, 30, 1))
    assert "conv5     (1, 1, 1, 16) " in summary


def test_an_image_of_another_size_is_refused(small):
    params, *_ = small
    with pytest.raises(ValueError, match=r"images: .*32, 32, 1\), got \(25, 28, 28, 1\)"):
        models.build(models.SmallNet).apply(params, jnp.zeros((25, 28, 28, 1)))
