"""The fit of the cost model of "auto": costs that made it are found again."""

import numpy as np
import pytest

from conv_jax.algorithms.costs import Cost
from experiments.benchmarks.fit_costs import Sample, errors, fit

COUNTS = [(1, 2e4, 3e5), (2, 4e5, 1e6), (1, 1e6, 9e6), (2, 8e6, 2e7), (1, 2e5, 7e7)]


def _samples(cost, counts):
    return [Sample(*count, 1e-9 * float(np.dot(cost, count))) for count in counts]


@pytest.mark.parametrize(
    ("cost", "counts"),
    [
        pytest.param(Cost(7e4, 0.1, 0.03), COUNTS, id="all"),
        pytest.param(
            Cost(3e5, 0, 0.2), [(calls, 0, work) for calls, _, work in COUNTS], id="no_pixels"
        ),
    ],
)
def test_costs_that_made_the_samples_are_found(cost, counts):
    samples = _samples(cost, counts)

    assert fit(samples) == pytest.approx(cost, rel=1e-6)
    assert errors(cost, samples).max() < 1e-9


def test_errors_are_factors():
    (sample,) = _samples(Cost(1e5, 0, 0), [(1, 0, 0)])

    assert errors(Cost(2e5, 0, 0), [sample]) == pytest.approx(np.log(2))
    assert errors(Cost(5e4, 0, 0), [sample]) == pytest.approx(np.log(2))
