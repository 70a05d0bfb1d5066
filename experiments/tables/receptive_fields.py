"""The tables of the experiment on receptive fields."""

from typing import Literal

from pydantic import Field

from experiments.tables.networks import Augmentation, ImageData, LeNet5Model, Training
from experiments.tables.optimizers import Optimizer
from experiments.tables.section import Count, Deterministic, Section, Seed


class ReceptiveFieldsConfig(Section):
    """Measure what LeNet5's layers see, before and after training."""

    experiment: Literal["receptive_fields"]
    deterministic: Deterministic = False
    seed: Seed = Field(default=0, description="The first seed.")
    seeds: Count = Field(default=1, description="Number of seeds, trained one after the other.")
    num_images: Count = Field(default=64, description="Evaluated images to average gradients over.")
    data: ImageData
    model: LeNet5Model = LeNet5Model()
    optimizer: Optimizer
    augment: Augmentation = Augmentation()
    train: Training
