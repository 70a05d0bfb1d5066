from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from experiments import config, edges
from experiments.filters import edge_exercises
from experiments.record import Record

PATH = Path("configs/edges.toml")

# Every matrix of the source's section on edges and of its answers, and those of a real edge.
MATRICES = {
    "corr2d(X, K)": [[0, 1, 0, 0, 0, -1, 0]] * 6,
    "corr2d(X', K)": [[0] * 5] * 8,
    "corr2d(M, K)": [
        [1, 0, 0, 0, -1],
        [-1, 1, 0, -1, 1],
        [0, -1, 0, 1, 0],
        [0, -1, 0, 1, 0],
        [-1, 1, 0, -1, 1],
        [1, 0, 0, 0, -1],
    ],
    "corr2d(M', K)": [
        [1, 0, 0, 0, -1],
        [-1, 1, 0, -1, 1],
        [0, -1, 0, 1, 0],
        [0, -1, 0, 1, 0],
        [-1, 1, 0, -1, 1],
        [1, 0, 0, 0, -1],
    ],
    "corr2d(M, K')": [
        [1, -1, 0, 0, -1, 1],
        [0, 1, -1, -1, 1, 0],
        [0, 0, 0, 0, 0, 0],
        [0, -1, 1, 1, -1, 0],
        [-1, 1, 0, 0, 1, -1],
    ],
    "corr2d(R, K')": [[1] * 8, [0] * 8, [0] * 8, [0] * 8, [-1] * 8],
    "corr2d(S, D)": [[1, 0, 0, 1, -1, 0]] * 6,
    "corr2d(T, K)": [
        [1, 0, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0],
    ],
    "corr2d(T', K)": [
        [0, 0, 0, 0, 0],
        [-1, 0, 0, 0, 0],
        [0, -1, 0, 0, 0],
        [0, 0, -1, 0, 0],
        [0, 0, 0, -1, 0],
        [0, 0, 0, 0, -1],
    ],
    "corr2d(T, K')": [
        [0, -1, 0, 0, 0, 0],
        [0, 0, -1, 0, 0, 0],
        [0, 0, 0, -1, 0, 0],
        [0, 0, 0, 0, -1, 0],
        [0, 0, 0, 0, 0, -1],
    ],
    "corr2d(L, D)": [[0, 1, -2, 1, 0, 0]] * 6,
}


@pytest.fixture(scope="module")
def responses():
    return edge_exercises.responses()


@pytest.mark.parametrize("name", MATRICES)
def test_response_is_the_matrix(responses, name):
    np.testing.assert_array_equal(responses[name].output, MATRICES[name])


def test_source_image_of_exercise_1_is_symmetric_and_the_edge_is_not():
    images = edge_exercises.images()
    np.testing.assert_array_equal(images["M"], images["M'"])
    assert (images["T"] != images["T'"]).any()
    assert images["M"].tolist()[:2] == [[1, 0, 0, 0, 0, 1], [0, 1, 0, 0, 1, 0]]


def test_all_claims_hold(responses):
    assert [claim.text for claim in edge_exercises.claims(responses) if not claim.holds] == []


@pytest.mark.parametrize("name", MATRICES)
def test_a_wrong_matrix_breaks_a_claim(responses, name):
    wrong = responses[name]._replace(output=responses[name].output + 1)
    claims = edge_exercises.claims({**responses, name: wrong})
    assert not all(claim.holds for claim in claims)


def test_every_response_is_drawn(responses):
    drawn = {panel for _, _, panels in edge_exercises.FIGURES.values() for panel in panels}
    assert set(responses) <= drawn


def vectors(*angles):
    task = edges.prepare(config.load(PATH, [f"data.angles={list(angles)}"]))
    return task.vectors


def test_vectors_turn_from_right_towards_down():
    named = vectors(0, 45, 90, -90)
    assert list(named) == ["0° →", "45° ↘", "90° ↓", "-90° ↑"]
    expected = [[0, 1], [np.sqrt(0.5), np.sqrt(0.5)], [1, 0], [-1, 0]]
    np.testing.assert_allclose(list(named.values()), expected, atol=1e-15)


def test_edge_claims_hold_for_any_angle():
    assert all(claim.holds for claim in edge_exercises.edge_claims(vectors(0, 17, 100, 250)))


def test_edge_claims_fail_for_a_vector_of_another_length(monkeypatch):
    monkeypatch.setattr(
        edge_exercises.kernels, "edge", edge_exercises.kernels.directional_derivative
    )
    along, across = edge_exercises.edge_claims({"v": np.array([0.0, 1.1])})
    assert not along.holds
    assert across.holds


@pytest.fixture(scope="module")
def disk():
    """The disk, seen along two axes and between them."""
    return edges.edge_maps(edges.disk_image(), vectors(0, 45, 90))


def test_gradient_of_a_disk_points_inwards(disk):
    assert edges.direction_error(disk) < 0.1


@pytest.mark.parametrize(
    ("change", "degrees"),
    [(lambda g: g[::-1], 100), (lambda g: -g, 180), (lambda g: g * [[[1]], [[-1]]], 100)],
    ids=["swapped", "outwards", "mirrored"],
)
def test_a_wrong_direction_is_noticed(disk, change, degrees):
    changed = disk._replace(gradient=change(disk.gradient))
    assert edges.direction_error(changed) > 0.9 * degrees


def test_responses_are_steered_from_the_gradient(disk):
    rows = edges.direction_rows(disk, vectors(0, 45, 90))
    assert all(row["steering_gap"] < 10 * np.finfo(np.float32).eps for row in rows)
    np.testing.assert_array_equal(disk.responses["0° →"], disk.gradient[1])
    np.testing.assert_array_equal(disk.responses["90° ↓"], disk.gradient[0])


def test_a_disk_has_edges_in_all_directions_alike():
    """Four directions, each the nearest to a quarter of the rim."""
    four = vectors(0, 45, 90, 135)
    maps = edges.edge_maps(edges.disk_image(), four)
    shares = [row["share"] for row in edges.direction_rows(maps, four)]
    np.testing.assert_allclose(shares, 0.25, atol=0.02)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """Run on a small picture of a bright square; return what it printed, its record."""
    folder = tmp_path_factory.mktemp("edges")
    pixels = np.zeros((40, 50), np.uint8)
    pixels[10:30, 10:30] = 255
    Image.fromarray(pixels).save(folder / "square.png")
    loaded = config.load(PATH, [f"data.image='{folder / 'square.png'}'"])
    record = Record(folder / "run", config.dump(loaded))
    console = Console(width=80, markup=False, highlight=False, soft_wrap=True)
    with console.capture() as capture:
        edges.run(edges.prepare(loaded), record, console)
    return capture.get().splitlines(), record


def test_square_has_horizontal_and_vertical_edges(outcome):
    right, right_down, down, left_down = (row["rms"] for row in outcome[1].results["directions"])
    assert right == pytest.approx(down, rel=1e-4)
    assert right_down == pytest.approx(left_down, rel=1e-4)


def test_run_says_what_holds(outcome):
    printed, record = outcome
    assert "14 of 14 hold." in printed
    assert [claim["exercise"] for claim in record.results["claims"]] == [
        *("chapter",) * 3,
        *("1.1", "1.1", "1.2", "1.2", "1.3", "1.3"),
        *("2.1", "2.1", "2.1", "2.2", "2.2"),
    ]


def test_tables_fit_80_columns(outcome):
    assert max(map(len, outcome[0])) <= 80
    assert not any("…" in line for line in outcome[0])


def test_result_holds_the_matrices(outcome):
    written = outcome[1].results["responses"]["corr2d(T, K')"]
    assert written["kernel"] == [[1], [-1]]
    assert written["output"] == MATRICES["corr2d(T, K')"]


@pytest.mark.parametrize("name", ["chapter", "exercise_1", "exercise_2", "photograph"])
def test_figures_are_written(outcome, name):
    assert (outcome[1].figures / f"{name}.png").stat().st_size > 5000


def test_a_missing_photograph_is_named():
    with pytest.raises(FileNotFoundError, match=r"data\.image: expected an image file, got /n"):
        edges.prepare(config.load(PATH, ["data.image='/nowhere.png'"]))


def test_a_photograph_of_one_grey_is_refused(tmp_path):
    Image.new("L", (40, 40), 7).save(tmp_path / "grey.png")
    loaded = config.load(PATH, [f"data.image='{tmp_path / 'grey.png'}'"])
    with pytest.raises(ValueError, match=r"data\.image: expected more than one grey level"):
        edges.prepare(loaded)
