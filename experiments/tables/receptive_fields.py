"""The tables of the experiment on receptive fields."""

from typing import Literal

from pydantic import Field

from experiments.tables.networks import LeNet5Model, TrainsNetworks
from experiments.tables.section import Count


class ReceptiveFieldsConfig(TrainsNetworks):
    """Measure what LeNet5's layers see, before and after training."""

    experiment: Literal["receptive_fields"]
    num_images: Count = Field(default=64, description="Evaluated images to average gradients over.")
    model: LeNet5Model = LeNet5Model()
