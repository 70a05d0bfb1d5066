import numpy as np
import pytest
from scipy import stats

from experiments.statistics import (
    difference,
    noticeable,
    percent,
    percent_difference,
    summarize,
)


def test_summary_of_three():
    # Student's quantile with 2 degrees of freedom is 4.302653 (any table).
    summary = summarize([1.0, 2.0, 3.0])
    assert (summary.mean, summary.std, summary.n) == (2.0, 1.0, 3)
    assert summary.interval == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))


def test_the_interval_holds_the_mean_19_times_in_20():
    samples = np.random.default_rng(0).normal(5, 2, (4000, 6))
    held = [low < 5 < high for low, high in (summarize(row).interval for row in samples)]
    assert abs(np.mean(held) - 0.95) < 4 * (0.95 * 0.05 / 4000) ** 0.5


def test_one_value_has_no_deviation():
    assert summarize([0.5]) == (0.5, None, None, 1)
    assert percent(summarize([0.5])) == "50.00 % (n = 1)"


def test_in_words():
    assert percent(summarize([0.99, 0.98])) == "98.50 +- 0.71 % (95 %: 92.15 to 104.85, n = 2)"


def test_nothing_is_refused():
    with pytest.raises(ValueError, match="values: expected at least one number, got none"):
        summarize([])


@pytest.mark.parametrize("count", [5, 16, 100])
def test_a_noticeable_mean_is_noticed_four_times_in_five(count):
    values = np.random.default_rng(count).normal(size=count)
    summary = summarize(values)
    away = noticeable(summary) / summary.std * np.sqrt(count)
    # The exact power, of the noncentral distribution, which the formula approximates.
    limit = stats.t.ppf(0.975, count - 1)
    power = stats.nct.sf(limit, count - 1, away) + stats.nct.cdf(-limit, count - 1, away)
    assert power == pytest.approx(0.8, abs=0.03)


def test_one_measurement_notices_nothing():
    assert noticeable(summarize([1.0])) is None


def of_scipy(values, others, *, paired):
    """Return the interval by SciPy's own tests."""
    if paired:
        return stats.ttest_rel(values, others).confidence_interval()
    return stats.ttest_ind(values, others, equal_var=False).confidence_interval()


SIZES = {"pair": (2, 2), "five": (5, 5), "unequal": (4, 9), "many": (60, 50)}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_welchs_interval_is_scipys(sizes):
    generator = np.random.default_rng(sizes)
    values, others = generator.normal(0.9, 0.1, sizes[0]), generator.normal(0.8, 0.3, sizes[1])
    found = difference(values, others, paired=False)
    assert found.mean == pytest.approx(values.mean() - others.mean(), rel=1e-12)
    assert found.interval == pytest.approx(of_scipy(values, others, paired=False), rel=1e-9)


@pytest.mark.parametrize("count", [4, 5, 30])
def test_the_interval_of_pairs_is_scipys(count):
    generator = np.random.default_rng(count)
    values = generator.normal(0.9, 0.1, count)
    others = values - generator.normal(0.05, 0.01, count)
    found = difference(values, others, paired=True)
    expected = of_scipy(values, others, paired=True)
    assert found.interval == pytest.approx(expected, rel=1e-9)
    low, high = difference(values, others, paired=False).interval
    assert high - low > 2 * (expected.high - expected.low)  # what the pairs are good for


@pytest.mark.parametrize("paired", [True, False], ids=["paired", "Welch"])
def test_equal_numbers_differ_by_exactly_nothing(paired):
    assert difference([0.5, 0.5], [0.25, 0.25], paired=paired).interval == (0.25, 0.25)


@pytest.mark.parametrize("paired", [True, False], ids=["paired", "Welch"])
def test_a_single_number_gives_no_interval(paired):
    assert difference([0.75], [0.5], paired=paired) == (0.25, None, paired, (1, 1))


def test_pairs_of_which_a_half_is_missing_are_refused():
    with pytest.raises(ValueError, match="others: expected the 2 partners of values, got 1"):
        difference([1.0, 2.0], [1.0], paired=True)


def test_a_difference_from_nothing_is_refused():
    with pytest.raises(ValueError, match=r"expected at least one number each, got \(1, 0\)"):
        difference([1.0], [], paired=False)


@pytest.mark.parametrize(
    ("values", "others", "paired", "expected"),
    [
        ([0.9], [0.95], False, "-5.00 % (n = 1 and 1)"),
        ([0.9], [0.95], True, "-5.00 % (n = 1 pair)"),
        ([0.9, 0.9], [0.8, 0.8], True, "+10.00 % (95 %: +10.00 to +10.00, n = 2 pairs)"),
        ([0.9, 0.9], [0.8] * 3, False, "+10.00 % (95 %: +10.00 to +10.00, n = 2 and 3)"),
    ],
    ids=["alone", "one_pair", "paired", "Welch"],
)
def test_a_difference_in_words(values, others, paired, expected):
    assert percent_difference(difference(values, others, paired=paired)) == expected
