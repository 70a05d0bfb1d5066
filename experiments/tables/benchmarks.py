"""The tables of the benchmarks."""

from typing import Literal

from pydantic import Field

from experiments.tables.section import Count, KernelSize, NumBytes, Positive, Section, Seed, Side


class Grid(Section):
    """The cells of the benchmark: every combination, as far as memory allows."""

    sizes: tuple[Side, ...] = Field(min_length=1, description="Heights and widths of the images.")
    kernels: tuple[KernelSize, ...] = Field(min_length=1, description="As in '3x3': height, width.")
    kinds: tuple[Literal["random", "separable"], ...] = Field(
        default=("random", "separable"),
        min_length=1,
        description="'separable' is an outer product of two vectors.",
    )
    batches: tuple[Count, ...] = Field(default=(1,), min_length=1)
    quantities: tuple[Literal["value", "gradient"], ...] = Field(
        default=("value", "gradient"), min_length=1
    )
    padding: Literal["valid", "same"] = "valid"
    contestants: tuple[str, ...] | None = Field(default=None, description="All, unless given.")
    max_bytes: NumBytes = Field(
        default=1_200_000_000, description="Larger batches of images are left out of values."
    )
    max_gradient_bytes: NumBytes = Field(
        default=300_000_000, description="Larger batches of images are left out of gradients."
    )
    check_up_to: Count = Field(default=512, description="Largest size whose results are checked.")


class Clock(Section):
    """How long to measure, in seconds."""

    seconds: Positive = Field(default=0.1, description="For a contestant in a cell.")
    turn: Positive = Field(default=0.01, description="Of calls in a row; at least one call.")
    min_rounds: Count = 3
    max_rounds: Count = 50
    limit: Positive = Field(
        default=1.0, description="A slower contestant is left out of a cell, but never auto."
    )
    compile_limit: Positive = Field(
        default=5.0,
        description="One of our algorithms that compiled longer for the same kernel is left out, "
        "but never auto.",
    )


class BenchCorr2DConfig(Section):
    """Time 2-D correlation against other libraries."""

    experiment: Literal["bench_corr2d"]
    seed: Seed = Field(default=0, description="Gives images, kernels and the order of the turns.")
    grid: Grid
    clock: Clock = Clock()
    figure_size: Count = Field(
        default=1024, description="The image size whose times are drawn; else the largest."
    )


class StepCell(Section):
    """A training step to time."""

    network: Literal["lenet5", "cnn", "resnet_block"]
    batch_size: Count


class Race(Section):
    """LeNet5 trained by one recipe, ours and torch's."""

    recipe: str = Field(description="Path of a lenet5 config.")
    seeds: Count = 10


class BenchTrainingConfig(Section):
    """Time training steps, pools and single layers against stock Flax and torch."""

    experiment: Literal["bench_training"]
    seed: Seed = Field(default=0, description="Gives images, weights and the order of the turns.")
    steps: tuple[StepCell, ...] = ()
    scan_steps: Count = Field(default=8, description="Steps of one call of lax.scan.")
    layers: tuple[str, ...] | None = Field(default=None, description="All, unless given.")
    layer_batch: Count = Field(default=32, description="Images in a layer's batch.")
    pools: tuple[str, ...] | None = Field(default=None, description="All, unless given.")
    race: Race | None = None
    clock: Clock = Clock()
