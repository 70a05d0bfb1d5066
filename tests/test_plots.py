import io

import numpy as np
import pytest

from conv_jax import plots
from conv_jax.plots.benchmarks import three_digits

CLASSES = tuple("abc")


def text_of(figure):
    """Draw the figure and return what is written in its axes."""
    figure.savefig(io.BytesIO())
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def probabilities(predicted, confidence):
    rows = np.full((len(predicted), 3), 0.0)
    rows[np.arange(len(predicted)), predicted] = confidence
    return rows


def test_confusion_matrix_writes_every_count_but_zeros():
    counts = np.array([[5, 2, 0], [0, 7, 0], [0, 0, 1]])
    figure = plots.confusion_matrix(counts, class_names=CLASSES, title="t")
    assert text_of(figure) == ["5", "2", "7", "1"]


def test_mistakes_puts_the_most_confident_first():
    figure = plots.mistakes(
        np.zeros((4, 5, 5, 1)),
        np.array([0, 1, 2, 0]),
        probabilities([1, 1, 0, 2], [0.6, 0.9, 0.8, 0.7]),
        class_names=CLASSES,
        title="t",
    )
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["c → a\n80.0%", "a → c\n70.0%", "a → b\n60.0%"]
    assert "3 of 4 wrong" in figure.get_suptitle()


def test_mistakes_says_that_there_are_none():
    figure = plots.mistakes(
        np.zeros((1, 5, 5, 1)),
        np.array([1]),
        probabilities([1], [0.9]),
        class_names=CLASSES,
        title="t",
    )
    assert text_of(figure) == ["no image was misclassified"]


def test_error_of_zero_can_be_drawn():
    curve = plots.Curve(np.array([1.0, 2.0]), np.array([0.5, 0.1]), np.array([0.9, 1.0]))
    figure = plots.training_curves([curve], title="t", evaluated_on="test")
    figure.savefig(io.BytesIO())
    assert figure.axes[1].get_yscale() == "symlog"


@pytest.mark.parametrize(
    "weights", [np.zeros((3, 3, 1, 2)), np.ones((5, 5, 2, 13))], ids=["zeros", "13"]
)
def test_any_kernels_can_be_drawn(weights):
    plots.kernels(weights, title="t").savefig(io.BytesIO())


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012345, "0.0123"), (1.5, "1.5"), (999.4, "999"), (999.6, "1,000"), (12345.0, "12,300")],
    ids=str,
)
def test_three_digits(value, text):
    assert three_digits(value) == text
