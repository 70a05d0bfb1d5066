import itertools

import pytest

from conv_jax.multichannel import choose
from conv_jax.multichannel.choose import Form
from conv_jax.multichannel.placement import Placement
from experiments.benchmarks.fit_layer_costs import LAYERS, Layer

both_directions = pytest.mark.parametrize("gradient", [False, True], ids=["value", "gradient"])


def problem(layer):
    return choose.describe(*layer.shapes)


@both_directions
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_chosen_is_the_least_of_what_is_predicted_with_doubt(layer, gradient):
    described = problem(layer)
    forms = list(choose.forms(described, gradient=gradient))

    chosen = choose.choose(described, gradient=gradient)

    def least_possible(form):  # no doubt is below 0.9 or above 1.3
        return choose.predict(described, form, gradient=gradient)

    assert len(set(forms)) == len(forms)
    assert least_possible(chosen) <= 1.3 / 0.9 * min(map(least_possible, forms))


@pytest.mark.parametrize(
    ("layer", "gradient", "expected"),
    [
        (Layer(128, (32, 32), (1, 20), (5, 5)), False, Form("banded", 4)),
        (Layer(128, (14, 14), (20, 20), (5, 5)), True, Form("banded", 2, "scattered")),
        (Layer(32, (32, 32), (64, 64), (3, 3)), False, Form("banded", 1, "scattered")),
        (Layer(32, (28, 28), (64, 64), (3, 3), groups=64), False, Form("depthwise")),
        (Layer(32, (28, 28), (64, 64), (1, 1)), True, Form("banded")),
        (Layer(32, (256,), (64, 64), (9,)), False, Form("native")),
    ],
    ids=["few_channels", "gradient", "many_channels", "depthwise", "pointwise", "line"],
)
def test_choices(layer, gradient, expected):
    assert choose.choose(problem(layer), gradient=gradient) == expected


@both_directions
@pytest.mark.parametrize(
    "layer",
    [
        Layer(64, (224, 224), (64, 64), (7, 7)),
        Layer(1, (64, 64), (8, 8), (31, 31), groups=8),
        Layer(1, (512,), (4, 32), (255,), dilation=2),
    ],
    ids=["memory", "depthwise_parts", "parts"],
)
def test_what_would_be_too_large_is_left_to_xla(layer, gradient):
    assert list(choose.forms(problem(layer), gradient=gradient)) == [Form("native")]


@both_directions
def test_more_work_is_predicted_to_take_longer(gradient):
    layers = [Layer(n, (14, 14), (20, 20), (5, 5)) for n in (16, 64, 256)]
    times = [
        choose.predict(problem(layer), Form("banded", 2), gradient=gradient) for layer in layers
    ]

    assert all(low < high for low, high in itertools.pairwise(times))


def test_a_window_is_described_by_what_it_reads():
    window = (Placement(2, 1, 0), Placement(1, 2, 2, 1, 2))

    described = choose.describe((3, 9, 8, 1, 2), (2, 3, 2, 1, 4), window)

    assert described.sizes == (5, 8)
    assert described.padded_sizes == (10, 12)
    assert not described.is_dense
