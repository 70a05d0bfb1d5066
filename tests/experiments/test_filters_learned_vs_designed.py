import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from experiments import config
from experiments import filters_learned_vs_designed as experiment
from experiments.filters import figures, summary
from experiments.filters.least_squares import Fit
from experiments.filters.studies import Descended, Flip, Study, descent_row, rows
from experiments.record import Record

PATH = Path("configs/filters_learned_vs_designed.toml")
SMALL = (
    "seeds=12",
    'targets=["derivative", "sobel"]',
    'data.inputs=["white_noise", "stripe"]',
    "data.size=32",
    "data.samples=[4, 100, 400]",
    "data.noises=[0.1, 1.0]",
    "descent={target='sobel', size=16, steps=60, strict_steps=20}",
)


def run(folder, *overrides):
    """Run the committed config on small images; return what it printed, and its record."""
    loaded = config.load(PATH, [*SMALL, *overrides])
    record = Record(folder, config.dump(loaded))
    console = Console(width=80, markup=False, highlight=False, soft_wrap=True)
    with console.capture() as capture:
        experiment.run(experiment.prepare(loaded), record, console)
    return capture.get().splitlines(), record


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """A run on white noise, which identifies every kernel, and on a stripe."""
    return run(tmp_path_factory.mktemp("filters") / "run")


@pytest.fixture(scope="module")
def table(outcome):
    """The rows of result.json."""
    return outcome[1].results["rows"]


def of(table, **wanted):
    return [row for row in table if wanted.items() <= row.items()]


IDENTIFIED = "3 of 4 pairs are identifiable: rank = number of elements."
IDENTIFIABLE = {
    ("derivative", "white_noise"),
    ("derivative", "stripe"),
    ("sobel", "white_noise"),
}


def test_rank_tells_which_kernels_are_identifiable(table):
    most = of(table, samples=400, noise=0.0)
    assert {(r["target"], r["image"]) for r in most if r["rank"] == r["elements"]} == IDENTIFIABLE


def test_fewer_samples_than_elements_identify_nothing(table):
    assert all(row["rank"] <= 4 < row["elements"] for row in of(table, target="sobel", samples=4))


def test_only_identifiable_kernels_are_learned_without_noise(table):
    errors = {(r["target"], r["image"]): r["error_rms"] for r in of(table, samples=400, noise=0.0)}
    assert {pair for pair, error in errors.items() if error < 1e-10} == IDENTIFIABLE
    # The stripe shows the mean of each column only: [-4, 0, 4] / 3 thrice, 2 of 12 less.
    assert errors["sobel", "stripe"] == pytest.approx(1 / 3, rel=1e-10)


def test_errors_are_the_predicted_ones(table):
    """Of 12 draws; |e|^2 has a standard deviation of at most sqrt(2) times its mean."""
    ratios = [row["error_rms"] / row["expected_rms"] for row in table if row["expected_rms"] > 0]
    chance = np.sqrt(2 / 12)
    assert all(abs(ratio**2 - 1) < 5 * chance for ratio in ratios)
    assert np.mean(ratios) == pytest.approx(1, abs=0.1)


def test_every_count_and_noise_has_a_row(table):
    cells = [(row["samples"], row["noise"]) for row in of(table, target="sobel", image="stripe")]
    assert cells == [(4, 0.1), (100, 0.1), (400, 0.0), (400, 0.1), (400, 1.0)]


def test_result_holds_descents_and_flips(outcome):
    results = outcome[1].results
    assert [row["image"] for row in results["descents"]] == ["white_noise", "stripe"]
    assert all(row["largest_gap"] < 1e-12 for row in results["descents"])
    assert [flip["target"] for flip in results["flips"]] == ["derivative", "sobel"]
    assert all(flip["equal_bits"] for flip in results["flips"])


def test_sentences_are_printed(outcome):
    printed, _ = outcome
    assert IDENTIFIED in printed
    assert "Where many kernels fit, it reaches the one of least norm: 1 of 1 images." in printed
    assert printed[-1].endswith("after each of 20 steps: 2 of 2 kernels.")


def test_tables_fit_80_columns(outcome):
    printed, _ = outcome
    assert max(map(len, printed[: printed.index(IDENTIFIED)])) <= 80
    assert not any("…" in line for line in printed)


def test_a_kernel_larger_than_an_image_is_left_out(tmp_path):
    printed, record = run(
        tmp_path / "run",
        *('targets=["derivative", "random"]', 'data.inputs=["stripe"]'),
        "descent.target=derivative",
    )
    assert "Left out: random does not fit into the image stripe." in printed
    assert {row["target"] for row in record.results["rows"]} == {"derivative"}


@pytest.mark.parametrize("name", ["samples", "noise", "kernels", "descent"])
def test_figures_are_written(outcome, name):
    assert (outcome[1].figures / f"{name}.png").stat().st_size > 5000


def test_images_do_not_depend_on_the_others_asked_for():
    both, one = (
        experiment.prepare(config.load(PATH, ["data.size=16", f"data.inputs={inputs}"])).images
        for inputs in ('["power_law", "white_noise"]', '["white_noise"]')
    )
    np.testing.assert_array_equal(both["white_noise"], one["white_noise"])
    assert abs(both["power_law"] - both["white_noise"]).max() > 1


@pytest.mark.parametrize("kind", ["photograph", "power_law", "white_noise", "ramp"])
def test_images_have_mean_0_and_standard_deviation_1(kind):
    image = experiment.prepare(config.load(PATH, [f'data.inputs=["{kind}"]'])).images[kind]
    assert image.dtype == np.float64
    assert image.mean() == pytest.approx(0, abs=1e-12)
    assert image.std() == pytest.approx(1, rel=1e-12)


def fit_of(kernel, eigenvalues):
    """Return a fit with axes [seeds, counts] whose eigenvectors are the axes."""
    kept = np.asarray(eigenvalues) > 0
    shape = kernel.shape[:2]
    return Fit(
        kernel=kernel,
        eigenvalues=np.broadcast_to(eigenvalues, (*shape, kept.size)),
        vectors=np.broadcast_to(np.eye(kept.size), (*shape, kept.size, kept.size)),
        rank=np.full(shape, kept.sum()),
        condition=np.full(shape, 2.0),
        variance=np.full(shape, 0.5),
        bias=np.full(shape, float(not kept.all())),
    )


def study(image, scales, eigenvalues=(1.0, 2.0)):
    """Return a study whose errors are the scales, [counts, noises], for both of two seeds."""
    target = np.array([[3.0, 4.0]])
    kernel = target[0] + 5 * np.asarray(scales)[None, ..., None] * [[[[0.6, 0.8]]], [[[0.0, 1.0]]]]
    noises, counts = np.array([0.0, 0.1, 1.0]), np.array([32, 3200])
    return Study("derivative", image, target, noises, 0.1, counts, fit_of(kernel, eigenvalues))


SCALES = [[0.0, 0.2, 2.0], [0.0, 0.02, 0.2]]


def test_study_counts_errors_in_norms_of_the_kernel():
    made = study("white_noise", SCALES)
    np.testing.assert_allclose(made.errors, [SCALES, SCALES], atol=1e-15)
    np.testing.assert_allclose(made.rms, SCALES, atol=1e-15)
    np.testing.assert_allclose(made.expected, [np.sqrt(0.5) * made.noises / 5] * 2)
    assert [row["error_mean"] for row in rows(made)] == pytest.approx([0.2, 0, 0.02, 0.2])


def test_study_lines_tell_the_powers():
    lines = summary.study_lines([study("white_noise", SCALES)])
    assert lines[0].startswith("1 of 1 pairs")
    assert "Errors grow as noise^1.00." in lines
    assert "Errors fall as samples^-0.50 from 16 samples an element on." in lines


def test_study_lines_tell_what_is_not_identifiable():
    unknown = study("stripe", [[0.7] * 3, [0.75] * 3], eigenvalues=(0.0, 2.0))
    assert summary.study_lines([unknown]) == [
        "0 of 1 pairs are identifiable: rank = number of elements.",
        "Not identifiable: 1, off by 0.75 or more even without noise.",
    ]


def test_study_lines_tell_the_price_of_a_photograph():
    photograph, noise = (study(image, SCALES) for image in ("photograph", "white_noise"))
    dear = photograph._replace(fits=photograph.fits._replace(variance=np.full((2, 2), 20.0)))
    assert summary.study_lines([dear, noise])[-1] == "derivative 40."


def test_flip_lines_tell_of_kernels_that_differ():
    flips = [Flip("sobel", "stripe", 9, True, 0.0), Flip("box", "stripe", 9, False, 1e-7)]
    assert summary.flip_lines(flips)[0].endswith(
        "after each of 9 steps: 1 of 2 kernels, the others within 1e-07."
    )


def descended(distances):
    """Return a descent whose parts shrink to 1/2 and 0 a step."""
    fit = Fit(np.array([4.0, 3.0]), np.array([1.0, 2.0]), np.eye(2), *map(np.array, (2, 2.0, 1, 0)))
    return Descended("derivative", "stripe", np.array([[3.0, 4.0]]), fit, 0.5, np.array(distances))


def test_descent_predicts_its_distances():
    made = descended([5.0, 2.0, 1.0])
    np.testing.assert_allclose(made.expected, [1, 0.4, 0.2])
    assert descent_row(made)["largest_gap"] == 0


def test_descent_that_has_not_arrived_has_no_steps():
    row = descent_row(descended([5.0, 2.0, 1.0]))
    assert row["steps"] is None
    assert row["expected_steps"] == int(np.ceil(np.log2(0.8 / 1e-6)))


def test_descent_arrives_at_the_first_step_within_the_limit():
    assert descent_row(descended([5.0, 4e-6, 3e-6]))["steps"] == 1


def test_tiles_show_the_first_seeds_kernel():
    made = study("white_noise", SCALES)
    figure = figures.figures([made], [descended([5.0, 2.0])], {"white_noise": np.eye(4)})
    figure["kernels"].savefig(io.BytesIO())
    captions = [axes.get_xlabel() for axes in figure["kernels"].axes if axes.get_xlabel()]
    assert captions == ["rank 2 of 2\nerror 0.02"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ('targets=["gaussian"]', "descent.target: expected one of the targets with room in an"),
        (
            'data.inputs=["stripe"] descent.target="random"',
            "descent.target: expected one of the targets with room in an",
        ),
        ('data.image="/nowhere.png"', "data.image: expected an image file, got /nowhere"),
    ],
    ids=["no_target", "no_room", "no_photograph"],
)
def test_a_mistake_is_named(override, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        experiment.prepare(config.load(PATH, override.split(" ")))


def test_a_photograph_of_one_grey_is_refused(tmp_path):
    Image.new("L", (40, 40), 7).save(tmp_path / "grey.png")
    loaded = config.load(PATH, [f"data.image='{tmp_path / 'grey.png'}'"])
    with pytest.raises(ValueError, match=r"data\.image: expected more than one grey level"):
        experiment.prepare(loaded)
