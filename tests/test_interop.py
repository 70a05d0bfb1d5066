"""LeNet5 to PyTorch and back, against networks that PyTorch itself ran: tests/goldens/."""

from pathlib import Path

import jax
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from safetensors import numpy as safetensors

from conv_jax import interop, models

GOLDENS = Path(__file__).with_name("goldens")
SHAPE = (20, 24, 2)
OPTIONS = {"channels": (3, 4), "hidden": (6,), "num_classes": 5, "image_shape": SHAPE}
VARIANTS = ("relu_max", "tanh_avg", "sigmoid_avg")
EPS = np.finfo(np.float32).eps

ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}
every_variant = pytest.mark.parametrize("variant", VARIANTS)
every_operator = pytest.mark.parametrize("operator", ["correlation", "convolution"])


@pytest.fixture(scope="module")
def golden():
    """Images and PyTorch's logits of them."""
    with np.load(GOLDENS / "torch_lenet5.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def state_dict():
    return safetensors.load_file(GOLDENS / "torch_lenet5.safetensors")


def logits_of(params, images, variant, operator="correlation"):
    activation, pooling = variant.split("_")
    words = {"activation": activation, "pooling": pooling, "operator": operator}
    model = models.build(models.LeNet5, **OPTIONS, **words)
    return np.asarray(jax.jit(model.apply)(params, images))


def random_params(network, **options):
    """Return parameters of the network's shapes, without the time that its own ones take."""
    shapes = jax.eval_shape(models.build(network, **options).init, jax.random.key(0))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)


def rounding_bound(state_dict, images, variant):
    """Return a bound of |logits - exact logits| in float32, to first order in eps.

    A layer of n terms adds (n + 1) eps (|W| |x| + |b|) to |W| times the error of its inputs
    (Higham, Accuracy and Stability, 3.1). Poolings and activations have slopes of at most 1, and
    add 5 eps of what they give: four terms of a mean, or an activation good to 4 ulp.
    """
    activation, pooling = variant.split("_")
    reduce = {"max": np.max, "avg": np.mean}[pooling]
    x, error = np.float64(images).transpose(0, 3, 1, 2), np.zeros(())

    def layer(x, error, name, contract):
        weight, bias = (np.float64(state_dict[f"{name}.{part}"]) for part in ("weight", "bias"))
        column = bias.reshape(-1, *(1,) * (x.ndim - 2))
        magnitude = contract(abs(x), abs(weight)) + abs(column)
        error = np.broadcast_to(error, x.shape)
        terms = weight[0].size + 1
        error = contract(error, abs(weight)) + (terms + 1) * EPS * magnitude
        return contract(x, weight) + column, error

    def squash(x, error):
        x = ACTIVATIONS[activation](x)
        return x, error + 5 * EPS * abs(x)

    for name in ("conv1", "conv2"):
        x, error = squash(*layer(x, error, name, correlate))
        x, error = pool(x, reduce), pool(error, reduce) + 5 * EPS * pool(abs(x), reduce)
    x, error = (array.reshape(len(array), -1) for array in (x, error))
    x, error = squash(*layer(x, error, "fc1", dense))
    x, error = layer(x, error, "fc2", dense)
    return error


def correlate(x, weight):
    windows = sliding_window_view(x, weight.shape[2:], axis=(2, 3))
    return np.einsum("bcijhw,ochw->boij", windows, weight, optimize=True)


def dense(x, weight):
    return x @ weight.T


def pool(x, reduce):
    height, width = (size // 2 for size in x.shape[2:])
    blocks = x[..., : 2 * height, : 2 * width].reshape(*x.shape[:2], height, 2, width, 2)
    return reduce(blocks, axis=(3, 5))


@every_variant
def test_logits_are_pytorchs(golden, state_dict, variant):
    params = interop.from_torch(state_dict, image_shape=SHAPE)
    actual = logits_of(params, golden["images"], variant)
    bound = rounding_bound(state_dict, golden["images"], variant)
    np.testing.assert_array_less(np.abs(actual - golden[f"{variant}_float64"]), bound)
    np.testing.assert_allclose(actual, golden[variant], rtol=0, atol=1e-5)


@every_variant
def test_pytorchs_own_logits_are_within_the_bound(golden, state_dict, variant):
    bound = rounding_bound(state_dict, golden["images"], variant)
    error = np.abs(golden[variant] - golden[f"{variant}_float64"])
    np.testing.assert_array_less(error, bound)


def test_a_network_that_convolves_has_pytorchs_logits(golden, state_dict):
    params = interop.from_torch(state_dict, image_shape=SHAPE, operator="convolution")
    actual = logits_of(params, golden["images"], "relu_max", operator="convolution")
    bound = rounding_bound(state_dict, golden["images"], "relu_max")
    np.testing.assert_array_less(np.abs(actual - golden["relu_max_float64"]), bound)


def wrong_order(state_dict, params, order):
    """Return the parameters with the inputs of fc1 in another order than theirs."""
    kernel = state_dict["fc1.weight"].reshape(6, 4, 2, 3).transpose(order).reshape(-1, 6)
    return {**params, "fc1": {**params["fc1"], "kernel": kernel}}


@pytest.mark.parametrize(
    "order", [(1, 2, 3, 0), (3, 2, 1, 0), (1, 3, 2, 0)], ids=["channels_first", "WHC", "CWH"]
)
def test_another_order_of_the_flattened_maps_has_other_logits(golden, state_dict, order):
    params = interop.from_torch(state_dict, image_shape=SHAPE)
    actual = logits_of(wrong_order(state_dict, params, order), golden["images"], "relu_max")
    bound = rounding_bound(state_dict, golden["images"], "relu_max")
    assert (np.abs(actual - golden["relu_max_float64"]) > 100 * bound).any()


@every_operator
def test_a_round_trip_changes_no_bit(state_dict, operator):
    options = {"image_shape": SHAPE, "operator": operator}
    back = interop.to_torch(interop.from_torch(state_dict, **options), **options)
    assert set(back) == set(state_dict)
    jax.tree.map(np.testing.assert_array_equal, back, state_dict)
    assert all(array.flags.c_contiguous for array in back.values())


@every_operator
def test_a_round_trip_from_our_side_changes_no_bit(operator):
    options = {"image_shape": (32, 32, 1), "operator": operator}
    hidden = {"hidden": (9, 8, 7), "channels": (2, 3)}
    params = random_params(models.LeNet5, **options, **hidden)
    back = interop.from_torch(interop.to_torch(params, **options), **options)
    jax.tree.map(np.testing.assert_array_equal, back, params)


def without(name):
    return lambda state_dict: {key: value for key, value in state_dict.items() if key != name}


def replaced(name, shape):
    return lambda state_dict: {**state_dict, name: np.zeros(shape, np.float32)}


MISTAKES = {
    "missing": (without("conv2.bias"), "got some without conv2.bias"),
    "no_dense": (without("fc2.weight"), "got some with fc2.bias"),
    "unknown": (replaced("bn1.weight", (3,)), "got some with bn1.weight"),
    "channels": (replaced("conv2.weight", (4, 2, 5, 5)), r"\(4, 3, 5, 5\), .* got \(4, 2, 5, 5\)"),
    "transposed": (replaced("fc2.weight", (6, 5)), r"expected a shape \(5, 6\), .* got \(6, 5\)"),
    "window": (replaced("conv1.weight", (3, 2, 5, 4)), r"got \(3, 2, 5, 4\)"),
    "rank": (replaced("conv1.weight", ()), r"conv1.weight: .* got \(\)"),
}


@pytest.mark.parametrize(("change", "message"), MISTAKES.values(), ids=MISTAKES)
def test_arrays_of_another_network_are_named(state_dict, change, message):
    with pytest.raises(ValueError, match=message) as caught:
        interop.from_torch(change(state_dict), image_shape=SHAPE)
    assert str(caught.value).startswith("state_dict: ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_shape": (28, 28, 2)}, r"image_shape: \(28, 28, 2\) makes 4x4x4 inputs of fc1"),
        ({"image_shape": (9, 24, 2)}, "image_shape: expected at least 16x16 pixels"),
        ({"image_shape": SHAPE, "operator": "conv"}, "operator: expected one of correlation, "),
    ],
    ids=["other", "small", "operator"],
)
def test_parameters_that_do_not_fit_are_named(state_dict, options, message):
    params = interop.from_torch(state_dict, image_shape=SHAPE)
    with pytest.raises(ValueError, match=message):
        interop.to_torch(params, **options)


OURS = {
    "channels": ("conv1", (5, 5, 1, 3), r"conv1.weight: expected a shape \(3, 2, 5, 5\)"),
    "inputs": ("fc2", (7, 5), r"fc2.weight: expected a shape \(5, 6\), .* got \(5, 7\)"),
    "rank": ("conv2", (5, 3, 4), r"conv2.kernel: expected 4 axes, got a shape \(5, 3, 4\)"),
    "rank_of_dense": ("fc1", (24,), r"fc1.kernel: expected 2 axes, got a shape \(24,\)"),
}


@pytest.mark.parametrize(("layer", "shape", "message"), OURS.values(), ids=OURS)
def test_a_kernel_that_does_not_fit_is_named(state_dict, layer, shape, message):
    params = interop.from_torch(state_dict, image_shape=SHAPE)
    params[layer]["kernel"] = np.zeros(shape, np.float32)
    with pytest.raises(ValueError, match=message) as caught:
        interop.to_torch(params, image_shape=SHAPE)
    assert str(caught.value).startswith("params")


def test_parameters_of_another_network_are_named():
    params = random_params(models.SmallNet)
    with pytest.raises(ValueError, match=r"params: expected the arrays of a LeNet5, got some with"):
        interop.to_torch(params, image_shape=(32, 32, 1))
