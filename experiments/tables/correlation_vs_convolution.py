"""The tables of the experiment that trains LeNet5 by correlation and by strict convolution."""

from typing import Annotated, Literal

from pydantic import Field

from experiments.tables.networks import Augmentation, ImageData, LeNet5Layers, Training
from experiments.tables.optimizers import Optimizer
from experiments.tables.section import Deterministic, Section, Seed


class CorrelationVsConvolutionConfig(Section):
    """Train LeNet5 by correlation and by strict convolution, and compare what they learn."""

    experiment: Literal["correlation_vs_convolution"]
    deterministic: Deterministic = False
    seed: Seed = Field(default=0, description="The first seed.")
    seeds: Annotated[int, Field(ge=2, le=1_000_000)] = Field(
        description="Number of pairs; the networks of one operator are trained together."
    )
    data: ImageData
    model: LeNet5Layers = LeNet5Layers()
    optimizer: Optimizer
    augment: Augmentation = Augmentation()
    train: Training
