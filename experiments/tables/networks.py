"""The tables of the experiments that train networks."""

from typing import Annotated, Any, Literal, get_args

from pydantic import Discriminator, Field, Tag

from experiments.tables.checkpoints import Checkpointing
from experiments.tables.distributed import Distributed
from experiments.tables.log import Log
from experiments.tables.optimizers import Optimizer
from experiments.tables.section import Count, Deterministic, Fraction, Section, Seed, Width


class ImageData(Section):
    """Which images."""

    name: Literal["digits", "digits_halves", "mnist", "fashion_mnist", "kmnist", "idx"]
    root: str | None = Field(default=None, description="Folder of IDX files; else CONV_JAX_DATA.")
    download: bool = Field(default=True, description="Fetch what no folder has.")
    batch_size: Count = 128
    train_size: Count | None = Field(default=None, description="Use only the first so many images.")
    holdout: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="Evaluate on so many of the last training images, not on the test set.",
    )


class LeNet5Layers(Section):
    """A preset, and what differs from it."""

    preset: Literal["notes", "lecun1998", "d2l"] = "notes"
    channels: tuple[Width, Width] | None = None
    hidden: tuple[Width, ...] | None = None
    activation: Literal["relu", "tanh", "sigmoid"] | None = None
    pooling: Literal["max", "avg"] | None = None


class LeNet5Model(LeNet5Layers):
    """A preset, what differs from it, and what its convolutions compute."""

    operator: Literal["correlation", "convolution"] = Field(
        default="correlation", description="'convolution' flips the kernels, so learns the flip."
    )


class SmallNetModel(Section):
    """The network of fewer than 10,000 parameters, and what differs from it."""

    preset: Literal["small"]
    stages: tuple[tuple[Width, ...], ...] | None = Field(
        default=None, description="Channels of the 3x3 convolutions between poolings."
    )


def _kind(model: Any) -> Any:
    """Return the tag of the table that has a model's preset, or a preset that none has."""
    given = model.get("preset") if isinstance(model, dict) else getattr(model, "preset", None)
    return "notes" if given is None or given in _LENET5_PRESETS else given


_LENET5_PRESETS = get_args(LeNet5Layers.model_fields["preset"].annotation)
_PRESETS = ", ".join(map(repr, (*_LENET5_PRESETS, "small")))
NetworkModel = Annotated[
    Annotated[LeNet5Model, Tag("notes")] | Annotated[SmallNetModel, Tag("small")],
    Discriminator(
        _kind,
        custom_error_type="unknown_preset",
        custom_error_message="unknown preset",
        custom_error_context={"discriminator": "preset", "expected_tags": _PRESETS},
    ),
]


class Augmentation(Section):
    """Random changes of the training images; a strength of 0 is none."""

    shift: Annotated[int, Field(ge=0, le=16)] = Field(
        default=0, description="Largest shift in whole pixels."
    )
    rotation: Annotated[float, Field(ge=0, le=180)] = Field(
        default=0.0, description="Largest rotation in degrees."
    )
    scale: Annotated[float, Field(ge=0, le=3)] = Field(
        default=0.0, description="Largest magnification less 1; down to 1 / (1 + scale)."
    )
    shear: Annotated[float, Field(ge=0, le=75)] = Field(
        default=0.0, description="Largest slant in degrees."
    )
    translation: Annotated[float, Field(ge=0, le=16)] = Field(
        default=0.0, description="Largest shift by fractions of pixels, in pixels."
    )
    elastic: Annotated[float, Field(ge=0, le=1000)] = Field(
        default=0.0, description="Strength of elastic distortion in pixels, Simard's alpha."
    )
    elastic_sigma: Annotated[float, Field(ge=0.5, le=64)] = Field(
        default=4.0, description="Smoothness of elastic distortion in pixels, Simard's sigma."
    )
    erasing: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="Probability that a rectangle of an image is erased."
    )
    erasing_area: Annotated[float, Field(ge=0.02, le=1)] = Field(
        default=0.4, description="Largest part of an image that is erased; the smallest is 0.02."
    )


class Training(Section):
    """How long, and with what."""

    epochs: Count
    label_smoothing: Fraction = 0.0
    average_decay: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Decay of a moving average of the weights, then the one evaluated.",
    )
    log_every: Count = Field(default=100, description="Steps between two lines of metrics.")


class TrainsNetworks(Section):
    """What every experiment that trains networks on images is told."""

    deterministic: Deterministic = False
    seed: Seed = Field(default=0, description="The first seed.")
    seeds: Count = Field(default=1, description="Number of seeds, trained together.")
    at_once: Count | None = Field(
        default=None,
        description="Most networks that a device trains at once; else what its memory allows.",
    )
    devices: Literal["all"] | Count = Field(
        default="all", description="Devices that share the networks, or each batch."
    )
    distributed: Distributed | None = Field(
        default=None, description="Processes, of several machines too, that share the run."
    )
    data: ImageData
    optimizer: Optimizer
    augment: Augmentation = Augmentation()
    train: Training
    checkpoint: Checkpointing = Checkpointing()
    log: Log = Log()


class LeNet5Config(TrainsNetworks):
    """Train LeNet5, or the small network, to tell images apart."""

    experiment: Literal["lenet5"]
    model: NetworkModel = LeNet5Model()
    sweep: dict[str, Any] | None = Field(
        default=None, description="Tables like the others, with lists of values: for `sweep`."
    )


def lenet5_config(config: TrainsNetworks, *, model: LeNet5Model) -> LeNet5Config:
    """Return a config of `lenet5` with the training of another experiment.

    Args:
      config: of that experiment.
      model: the network.
    """
    shared = {name: getattr(config, name) for name in TrainsNetworks.model_fields}
    return LeNet5Config(**{**shared, "experiment": "lenet5", "model": model})
