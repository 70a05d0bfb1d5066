"""The tables of the experiment that trains LeNet5 by correlation and by strict convolution."""

from typing import Annotated, Literal

from pydantic import Field

from experiments.tables.networks import LeNet5Layers, TrainsNetworks


class CorrelationVsConvolutionConfig(TrainsNetworks):
    """Train LeNet5 by correlation and by strict convolution, and compare what they learn."""

    experiment: Literal["correlation_vs_convolution"]
    seeds: Annotated[int, Field(ge=2, le=1_000_000)] = Field(
        description="Number of pairs; the networks of one operator are trained together."
    )
    model: LeNet5Layers = LeNet5Layers()
