import numpy as np
import pytest
from scipy import stats

from experiments.statistics import difference, noticeable, percent, summarize


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


FEW, MANY = [0.91, 0.93, 0.95, 0.9], [0.92, 0.97, 0.96, 0.99, 0.94, 0.95]


def test_a_difference_of_unequal_samples_is_welchs():
    told = difference(MANY, FEW)
    expected = stats.ttest_ind(MANY, FEW, equal_var=False).confidence_interval(0.95)
    assert told.interval == pytest.approx(expected)
    assert told.mean == pytest.approx(np.mean(MANY) - np.mean(FEW))
    assert told.method == "Welch, 6 against 4 seeds"


def test_a_paired_difference_is_that_of_the_pairs():
    told = difference(MANY[:4], FEW, paired=True)
    expected = stats.ttest_rel(MANY[:4], FEW).confidence_interval(0.95)
    assert told.interval == pytest.approx(expected)
    assert told.method == "paired over 4 seeds"


def test_pairing_tells_more_where_seeds_go_together():
    values = [value + 0.01 + noise for value, noise in zip(FEW, [0, 1e-4, -1e-4, 0], strict=True)]
    low, _ = difference(values, FEW, paired=True).interval
    assert low > 0 > difference(values, FEW).interval[0]


def test_one_seed_tells_no_interval():
    told = difference([0.9], FEW)
    assert (told.interval, told.method) == (None, "one seed tells no interval")


def test_samples_without_deviation_have_an_interval_of_one_point():
    assert difference([0.5, 0.5], [0.25, 0.25]).interval == (0.25, 0.25)


def test_pairs_without_a_partner_are_refused():
    with pytest.raises(ValueError, match="values: expected 4, as many as of the reference, got 6"):
        difference(MANY, FEW, paired=True)
