"""The tables of the experiments on designed kernels."""

from typing import Annotated, Literal

from pydantic import Field

from experiments.tables.section import Count, Positive, Section, Seed

InputName = Literal["photograph", "power_law", "white_noise", "stripe", "ramp", "constant"]
KernelName = Literal["derivative", "sobel", "laplacian", "gaussian", "motion", "random"]
ImagePath = Annotated[
    str | None,
    Field(description="Path of a photograph, any image file; else the one that matplotlib ships."),
]


class Observations(Section):
    """What the kernels see, and how many of their outputs are observed, with what noise."""

    inputs: tuple[InputName, ...] = Field(
        default=("photograph", "power_law", "white_noise", "stripe", "ramp", "constant"),
        min_length=1,
        description="'stripe' is the chapter's 6x8 image; 'power_law' has amplitude 1/frequency.",
    )
    image: ImagePath = None
    size: Annotated[int, Field(ge=16, le=4096)] = Field(
        default=256, description="Side of the images that are made, in pixels, but of 'stripe'."
    )
    samples: tuple[Annotated[int, Field(ge=1, le=100_000)], ...] = Field(
        min_length=1, description="Numbers of outputs, each at a random place."
    )
    noises: tuple[Positive, ...] = Field(
        min_length=1,
        description="Standard deviations of the noise in the most samples; the images' is 1.",
    )
    noise: Positive = Field(description="The one where the number of samples varies.")


class Descent(Section):
    """Gradient descent towards the same kernels."""

    target: KernelName = Field(default="sobel", description="The kernel whose descent is drawn.")
    size: Annotated[int, Field(ge=8, le=1024)] = Field(
        default=64, description="Side of the crop that is learned from, in pixels."
    )
    steps: Count = 10_000
    strict_steps: Count = Field(
        default=200, description="Steps of the comparison with strict convolution."
    )


class FiltersLearnedVsDesignedConfig(Section):
    """Learn designed kernels from their outputs, and tell when that is possible."""

    experiment: Literal["filters_learned_vs_designed"]
    seed: Seed = Field(default=0, description="Gives images, places, noise and the random kernel.")
    seeds: Annotated[int, Field(ge=2, le=1000)] = Field(
        default=20, description="Draws of places and noise, all in one program."
    )
    targets: tuple[KernelName, ...] = Field(
        default=("derivative", "sobel", "laplacian", "gaussian", "motion", "random"), min_length=1
    )
    data: Observations
    descent: Descent = Descent()


class EdgeData(Section):
    """The photograph, and the directions whose edges are looked for."""

    image: ImagePath = None
    sigma: Positive = Field(default=1.5, description="Of the Gaussian that blurs it, in pixels.")
    angles: tuple[float, ...] = Field(
        default=(0.0, 45.0, 90.0, 135.0),
        min_length=1,
        description="Of v, in degrees from right towards down; the edges are orthogonal to it.",
    )


class EdgesConfig(Section):
    """Detect edges by designed kernels: the chapter's, those of its exercises, a photograph's."""

    experiment: Literal["edges"]
    data: EdgeData = EdgeData()
