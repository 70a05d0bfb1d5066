import numpy as np
import pytest
import written_runs
from scipy import stats
from test_report import Page

from experiments.__main__ import main
from experiments.after import past_runs
from experiments.after.past_runs import accuracy_difference

FIRST, SECOND = [0.90, 0.93, 0.91], [0.94, 0.95, 0.96]
HELD_OUT = "held-out training"
MORE = [0.97, 0.94, 0.99, 0.95]


def run(folder, accuracies, *overrides, **more):
    """Write a finished run, and read it."""
    results = written_runs.result(accuracies, **more)
    lines = written_runs.rows(accuracies)
    written_runs.write(folder, lines=lines, results=results, overrides=overrides)
    return past_runs.read(folder)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [
        run(folder / "first", FIRST, "seeds=3"),
        run(folder / "second", SECOND, "seeds=3", "optimizer.learning_rate=0.02"),
        run(folder / "more", MORE, "seeds=4"),
    ]


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "comparison.html"
    assert main(["report", *(str(each.folder) for each in runs), "--out", str(out)]) == 0
    return Page(out.read_text(encoding="utf-8"))


def test_the_same_seeds_are_compared_pairwise(runs):
    told = accuracy_difference(runs[1], runs[0])
    assert (told.paired, told.n) == (True, (3, 3))
    expected = stats.ttest_rel(SECOND, FIRST).confidence_interval(0.95)
    assert told.interval == pytest.approx(expected)


def test_other_seeds_are_compared_by_welch(runs):
    told = accuracy_difference(runs[2], runs[0])
    assert (told.paired, told.n) == (False, (4, 3))
    expected = stats.ttest_ind(MORE, FIRST, equal_var=False).confidence_interval(0.95)
    assert told.interval == pytest.approx(expected)


def test_as_many_seeds_of_other_numbers_are_no_pairs(runs, tmp_path):
    shifted = run(tmp_path / "run", SECOND, seeds=[7, 8, 9])
    assert not accuracy_difference(shifted, runs[0]).paired


def test_a_difference_is_to_the_first_run(page):
    mean = 100 * (np.mean(SECOND) - np.mean(FIRST))
    assert f"second paired over 3 seeds +{mean:.2f} " in page.text


@pytest.mark.parametrize(
    "expected",
    [
        "Differences to first",
        "first finished 3 91.33 1.53 87.54 to 95.13 0.3 1.00 s 10.0 s",
        "key first second more seeds 3 3 4 optimizer.learning_rate 0.002 0.02 0.002",
        "Code, versions and machine are the same.",
        "Each line is the mean over up to 4 seeds",
    ],
)
def test_the_page_says(page, expected):
    assert expected in page.text


def test_the_curves_of_all_stand_together(page):
    (loss, error) = [each for each in page.all("div") if each.get("role") == "img"]
    assert "first: " in loss["aria-label"]
    assert "more: " in loss["aria-label"]
    assert (
        f"second: 52.5 at first, {100 * (1 - np.mean(SECOND)):.3g} at last" in error["aria-label"]
    )


def written(tmp_path, *each):
    out = tmp_path / "comparison.html"
    assert main(["report", *(str(one.folder) for one in each), "--out", str(out)]) == 0
    return Page(out.read_text(encoding="utf-8"))


def test_runs_of_one_name_are_told_apart(runs, tmp_path):
    same = run(tmp_path / "first", SECOND)
    assert f"Differences to {runs[0].folder}" in written(tmp_path, runs[0], same, same).text


def test_configs_may_differ_in_the_last_digit(tmp_path):
    rates = ("0.1", "0.10000001")
    runs = [run(tmp_path / rate, FIRST, f"optimizer.learning_rate={rate}") for rate in rates]
    assert "optimizer.learning_rate 0.1 0.10000001" in written(tmp_path, *runs).text


def test_a_default_that_one_config_says_is_no_difference(tmp_path):
    first, second = (run(tmp_path / name, FIRST) for name in ("first", "second"))
    said = (second.folder / "config.toml").read_text()
    (second.folder / "config.toml").write_text(said.replace("keep = 2\n", ""))
    page = written(tmp_path, first, past_runs.read(second.folder))
    assert "keep = 2" in said
    assert "checkpoint.keep" not in page.text


def test_other_images_are_a_caution(runs, tmp_path):
    held_out = run(tmp_path / "run", SECOND, "seeds=3", "data.holdout=9", evaluated_on=HELD_OUT)
    text = written(tmp_path, runs[0], held_out).text
    told = "first on test images of digits; run on 9 held-out training images of digits"
    assert f"The runs were evaluated on different images: {told}." in text
    assert "run Welch, 3 against 3 seeds" in text


def test_images_of_other_data_are_not_paired(runs, tmp_path):
    other = run(tmp_path / "run", SECOND, "data.name=mnist")
    assert not accuracy_difference(other, runs[0]).paired


def test_unknown_images_are_no_caution(runs, tmp_path):
    unknown = run(tmp_path / "run", SECOND, evaluated_on=None)
    (unknown.folder / "config.toml").write_bytes(b"")
    assert "different images" not in written(tmp_path, runs[0], unknown).text


def test_runs_are_compared_with_the_first_that_has_an_accuracy(runs, tmp_path):
    without = past_runs.read(written_runs.write(tmp_path / "none"))
    text = written(tmp_path, without, *runs[:2]).text
    assert "Differences to first Accuracy less that of first, in points of percent" in text
    assert "second paired over 3 seeds" in text


def test_a_run_without_numbers_stands_beside_the_others(runs, tmp_path):
    stopped = past_runs.read(written_runs.write(tmp_path / "run"))
    text = written(tmp_path, runs[0], stopped).text
    assert "run stopped" + " \N{EN DASH}" * 7 in text
    assert "Not finished: run." in text
    assert "There are no two accuracies to compare." in text
