"""The chapter's edges and those of its exercises: correlations of small matrices, and what of them.

X is the chapter's image of a black stripe. Exercise 1 asks for an image with diagonal edges: M is
the source's own, two lines, which is symmetric; T is a triangle, which has an edge. R has black
rows, S black columns, L one white line. K is the chapter's kernel, D the second difference; a
prime transposes.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from conv_jax import corr2d, kernels, plots
from experiments.learn_kernel import stripe_image

K = np.array([[1.0, -1.0]])
D = np.array([[1.0, -2.0, 1.0]])

PAIRS = (
    *(("X", "K"), ("X'", "K"), ("X'", "K'")),
    *(("M", "K"), ("M'", "K"), ("M", "K'")),
    *(("T", "K"), ("T'", "K"), ("T", "K'")),
    *(("R", "K'"), ("S", "D"), ("L", "D")),
)

FIGURES = {  # title, panels in a row, panels
    "chapter": (
        "K = [1, -1] finds vertical edges, K' horizontal ones",
        5,
        ("X", "corr2d(X, K)", "X'", "corr2d(X', K)", "corr2d(X', K')"),
    ),
    "exercise_1": (
        "Exercise 1, K = [1, -1]: two diagonal lines M, and a diagonal edge T",
        5,
        (
            *("M", "M'", "corr2d(M, K)", "corr2d(M', K)", "corr2d(M, K')"),
            *("T", "T'", "corr2d(T, K)", "corr2d(T', K)", "corr2d(T, K')"),
        ),
    ),
    "exercise_2": (
        "Exercise 2: K = [1, -1], D = [1, -2, 1]",
        2,
        ("R", "corr2d(R, K')", "S", "corr2d(S, D)", "L", "corr2d(L, D)"),
    ),
}


class Response(NamedTuple):
    """An image, a kernel and their correlation."""

    image: Float[np.ndarray, "H W"]
    kernel: Float[np.ndarray, "kH kW"]
    output: Float[np.ndarray, "H_out W_out"]


class Claim(NamedTuple):
    """A sentence about the responses, and whether they bear it out."""

    exercise: str
    text: str
    holds: bool


def images() -> dict[str, Float[np.ndarray, "H W"]]:
    """Return the images and their transposes, by letter."""
    rows, columns, line = np.ones((6, 8)), np.ones((6, 8)), np.zeros((6, 8))
    rows[1:5] = 0
    columns[:, 1:5] = 0
    line[:, 3] = 1
    upright = {
        "X": np.asarray(stripe_image()),
        "M": np.maximum(np.eye(6), np.eye(6)[::-1]),
        "T": np.tril(np.ones((6, 6))),
        "R": rows,
        "S": columns,
        "L": line,
    }
    return upright | {f"{name}'": image.T for name, image in upright.items()}


def responses() -> dict[str, Response]:
    """Return the correlations, by names such as "corr2d(X', K)"."""
    seen, used = images(), {"K": K, "K'": K.T, "D": D}
    return {
        f"corr2d({image}, {kernel})": Response(
            seen[image], used[kernel], np.asarray(corr2d(seen[image], used[kernel]))
        )
        for image, kernel in PAIRS
    }


def claims(responses: Mapping[str, Response]) -> list[Claim]:
    """Return the exercises' answers, each compared with its matrix."""
    out = {name: response.output for name, response in responses.items()}
    seen = images()
    told = (
        (
            "chapter",
            "K = [1, -1] on X: 1 where white ends, -1 where black does",
            (out["corr2d(X, K)"], -np.diff(seen["X"])),
        ),
        (
            "chapter",
            "K on X', whose edges are horizontal: 0",
            (out["corr2d(X', K)"], np.zeros((8, 5))),
        ),
        (
            "chapter",
            "K' on X': as K on X, transposed",
            (out["corr2d(X', K')"], out["corr2d(X, K)"].T),
        ),
        (
            "1.1",
            "diagonal lines M: -1 where each begins, 1 where it ends",
            (out["corr2d(M, K)"], -np.diff(seen["M"])),
        ),
        ("1.1", "a diagonal edge T: 1 along the diagonal", (out["corr2d(T, K)"], np.eye(6, 5))),
        ("1.2", "M' = M: the same", (out["corr2d(M', K)"], out["corr2d(M, K)"])),
        ("1.2", "T': -1 below the diagonal", (out["corr2d(T', K)"], -np.eye(6, 5, -1))),
        ("1.3", "K' on M: as K on M', transposed", (out["corr2d(M, K')"], out["corr2d(M', K)"].T)),
        (
            "1.3",
            "K' on T: as K on T', transposed: -1 above the diagonal",
            (out["corr2d(T, K')"], -np.eye(5, 6, 1)),
        ),
        (
            "2.1",
            "K' on black rows R: 1 where white ends, -1 where black does",
            (out["corr2d(R, K')"], -np.diff(seen["R"], axis=0)),
        ),
        (
            "2.2",
            "D = [1, -2, 1] on S: at an edge 1 on black and -1 on white",
            (out["corr2d(S, D)"], np.tile([1, 0, 0, 1, -1, 0], (6, 1))),
        ),
        (
            "2.2",
            "D on L, a line of one pixel: -2, the strongest",
            (out["corr2d(L, D)"], np.tile([0, 1, -2, 1, 0, 0], (6, 1))),
        ),
    )
    return [Claim(exercise, text, np.array_equal(*pair)) for exercise, text, pair in told]


def edge_claims(vectors: Mapping[str, Float[np.ndarray, "2"]]) -> list[Claim]:
    """Return the answer to exercise 2.1 for any vector, to 1e-5."""
    down, right = np.indices((9, 9)) - 4.0
    along, across = [], []
    for vector in vectors.values():
        kernel = kernels.edge(vector)
        along.append(corr2d(vector[0] * down + vector[1] * right, kernel))
        across.append(corr2d(vector[1] * down - vector[0] * right, kernel))
    is_one, is_zero = (np.allclose(*pair, rtol=0, atol=1e-5) for pair in ((along, 1), (across, 0)))
    return [
        Claim("2.1", "edge(v) on a ramp along v: 1, for every v below", is_one),
        Claim("2.1", "edge(v) on a ramp across v: 0", is_zero),
    ]


def figures(responses: Mapping[str, Response]) -> dict[str, Figure]:
    """Return the matrices drawn side by side, by the figure's name."""
    seen = images()
    matrices = seen | {name: response.output for name, response in responses.items()}
    return {
        name: plots.arrays(
            {panel: matrices[panel] for panel in panels},
            greys=[panel for panel in panels if panel in seen],
            across=across,
            title=title,
        )
        for name, (title, across, panels) in FIGURES.items()
    }
