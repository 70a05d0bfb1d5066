"""The tables of the experiments that learn kernels."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from experiments.tables.log import Log
from experiments.tables.optimizers import Optimizer
from experiments.tables.section import Count, Deterministic, Section, Seed


def _rectangular(rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    if len({len(row) for row in rows}) != 1 or not rows[0]:
        raise ValueError("input should be rows of one length, at least 1")
    return rows


def _name_or_matrix(value: Any) -> str:
    return "name" if isinstance(value, str) else "matrix"


Matrix = Annotated[tuple[tuple[float, ...], ...], AfterValidator(_rectangular)]
TargetName = Literal["derivative", "sobel", "laplacian", "box", "gaussian"]
Target = Annotated[
    Annotated[TargetName, Tag("name")] | Annotated[Matrix, Tag("matrix")],
    Discriminator(_name_or_matrix),
]


class PatternData(Section):
    """The image whose correlation with the target is to be explained."""

    image: Literal["stripe", "natural"] = Field(
        default="stripe",
        description="The chapter's 6x8 image, or random with amplitude 1/frequency.",
    )
    size: Annotated[int, Field(ge=8, le=4096)] = Field(
        default=128, description="Side of 'natural'."
    )
    crop: Count = Field(default=16, description="Side of the crops of 'natural', in pixels.")
    num_crops: Count = 256
    batch_size: Count = 1


class KernelModel(Section):
    """The kernel to learn, and the layer that learns it."""

    target: Target = "derivative"
    initial: Matrix | None = Field(
        default=None, description="Initial weight; else uniform in [0, 1)."
    )
    strict_convolution: bool = Field(
        default=False, description="Learn by convolution, so the flip."
    )


class KernelTraining(Section):
    """How long, and how the loss is told."""

    epochs: Count
    log_every: Count = Field(default=5, description="Epochs between two printed losses.")
    wording: Literal["notes", "chapter"] = Field(
        default="notes", description="How a loss is printed."
    )


class LearnKernelConfig(Section):
    """Learn a kernel from an image and its correlation with that kernel."""

    experiment: Literal["learn_kernel"]
    deterministic: Deterministic = False
    seed: Seed = Field(default=0, description="Gives the initial kernel and the crops.")
    data: PatternData = PatternData()
    model: KernelModel = KernelModel()
    optimizer: Optimizer
    train: KernelTraining
    log: Log = Log()
