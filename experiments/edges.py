"""Detect edges with designed kernels: the chapter's, those of its exercises, a photograph's."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from rich.console import Console
from rich.table import Table

from conv_jax import corr2d, data, filters, kernels, plots
from experiments.filters import edge_exercises
from experiments.filters.edge_exercises import Claim
from experiments.printed_table import printed_table
from experiments.record import Record
from experiments.tables import EdgesConfig as Config

ARROWS = "→↘↓↙←↖↑↗"  # every 45 degrees
STRONG = 0.1  # the part of the pixels, those of the longest gradients, that counts as edges
DISK_SIZE, DISK_RADIUS = 129, 44.0

Vectors = Mapping[str, Float[np.ndarray, "2"]]  # (down, right) of length 1, by the angle's name


class Task(NamedTuple):
    """The photograph, blurred, and in which directions to look."""

    config: Config
    photograph: Float[np.ndarray, "H W"]
    vectors: Vectors


def prepare(config: Config) -> Task:
    """Read the photograph and blur it.

    Raises:
      FileNotFoundError: if there is no such photograph.
      ValueError: if it is no image, or of one grey.
    """
    asked = config.data
    try:
        photograph = data.photograph(path=asked.image)
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(str(error).replace("path:", "data.image:", 1)) from None
    if not np.ptp(photograph):
        raise ValueError(f"data.image: expected more than one grey level, got {asked.image}")
    blurred = np.asarray(filters.gaussian_blur(photograph, asked.sigma))
    vectors = {
        f"{angle:g}° {ARROWS[round(angle / 45) % 8]}": np.array(
            [math.sin(math.radians(angle)), math.cos(math.radians(angle))]
        )
        for angle in asked.angles
    }
    return Task(config, blurred, vectors)


def run(task: Task, record: Record, console: Console) -> None:
    """Answer the chapter's exercises, then detect the edges of a photograph; report and draw."""
    responses = edge_exercises.responses()
    claims = sorted(
        (*edge_exercises.claims(responses), *edge_exercises.edge_claims(task.vectors)),
        key=lambda claim: (claim.exercise != "chapter", claim.exercise),
    )
    maps = {"disk": disk_image(), "photograph": task.photograph}
    maps = {name: edge_maps(image, task.vectors) for name, image in maps.items()}
    directions = direction_rows(maps["photograph"], task.vectors)
    error = direction_error(maps["disk"])
    record.report(
        {
            "experiment": task.config.experiment,
            "responses": {
                name: {field: matrix.tolist() for field, matrix in response._asdict().items()}
                for name, response in responses.items()
            },
            "claims": [claim._asdict() for claim in claims],
            "directions": directions,
            "disk_direction_error_degrees": error,
        }
    )
    console.print(_claim_table(claims))
    console.print(f"{sum(claim.holds for claim in claims)} of {len(claims)} hold.\n")
    console.print(_direction_table(directions, task))
    console.print(f"On a disk, the gradient points along the radius to {error:.1g}° (rms).")
    for name, figure in edge_exercises.figures(responses).items():
        record.save_figure(name, figure)
    title = "edge(v): red where the image grows along v, blue where it falls"
    record.save_figure("photograph", plots.edge_maps(maps, title=title))


def disk_image() -> Float[np.ndarray, "H W"]:
    """Return a white disk whose soft rim faces every direction alike."""
    down, right = np.indices((DISK_SIZE, DISK_SIZE)) - DISK_SIZE // 2
    inside = DISK_RADIUS - np.hypot(down, right)
    return (0.5 + 0.5 * np.tanh(inside / 2)).astype(np.float32)


def edge_maps(image: Float[np.ndarray, "H W"], vectors: Vectors) -> plots.EdgeMaps:
    """Return the responses of `kernels.edge` to an image: for the vectors, and down and right."""
    stacked = np.stack([*vectors.values(), *np.eye(2)])
    responses = np.asarray(_responses(jnp.asarray(image), jnp.asarray(stacked)))
    return plots.EdgeMaps(image, dict(zip(vectors, responses[:-2], strict=True)), responses[-2:])


@jax.jit
def _responses(image: Float[Array, "H W"], vectors: Float[Array, "V 2"]) -> Float[Array, "V H W"]:
    def response(vector: Array) -> Array:
        return corr2d(image, kernels.edge(vector), padding="same", boundary="symmetric")

    return jax.vmap(response)(vectors)


def direction_rows(maps: plots.EdgeMaps, vectors: Vectors) -> list[dict[str, Any]]:
    """Return for each vector how strong the response is, and on how many edges the strongest."""
    length = np.hypot(*maps.gradient)
    edges = length >= np.quantile(length, 1 - STRONG)
    strongest = np.argmax(np.abs(np.stack(list(maps.responses.values()))), axis=0)
    rows = []
    for index, (name, response) in enumerate(maps.responses.items()):
        steered = np.tensordot(vectors[name], maps.gradient, axes=1)
        rows.append(
            {
                "angle": name,
                "vector": vectors[name].tolist(),
                "rms": float(np.sqrt(np.mean(response**2))),
                "share": float(np.mean(strongest[edges] == index)),
                "steering_gap": float(np.abs(response - steered).max() / length.max()),
            }
        )
    return rows


def direction_error(disk: plots.EdgeMaps) -> float:
    """Return the angle between gradient and radius on the rim, root mean square, in degrees."""
    down, right = np.indices(disk.image.shape) - DISK_SIZE // 2
    length = np.hypot(*disk.gradient)
    turns = np.arctan2(*disk.gradient) - np.arctan2(-down, -right)  # white grows inwards
    nearest = np.angle(np.exp(1j * turns))[length > length.max() / 2]
    return float(np.degrees(np.sqrt(np.mean(nearest**2))))


def _claim_table(claims: Sequence[Claim]) -> Table:
    columns = ("exercise", "answer", "holds")
    table = printed_table("The chapter and its exercises", columns, num_texts=3)
    for claim in claims:
        table.add_row(claim.exercise, claim.text, "yes" if claim.holds else "NO")
    return table


def _direction_table(rows: Sequence[Mapping[str, Any]], task: Task) -> Table:
    height, width = task.photograph.shape
    sigma = task.config.data.sigma
    table = printed_table(
        f"edge(v) on the photograph ({height}x{width}, blurred by sigma = {sigma:g})",
        ("v", "down, right", "edges along", "rms", "strongest", "off steering"),
        caption=f"strongest: share of the {STRONG:.0%} longest gradients that v responds to most\n"
        "off steering: from v1 edge(down) + v2 edge(right), over the longest",
    )
    for row in rows:
        down, right = row["vector"]
        table.add_row(
            row["angle"],
            _pair(down, right),
            _pair(right, -down),
            f"{row['rms']:.4f}",
            f"{row['share']:.1%}",
            f"{row['steering_gap']:.0e}",
        )
    return table


def _pair(down: float, right: float) -> str:
    return ", ".join(f"{round(part, 2) + 0.0:.2f}" for part in (down, right))
