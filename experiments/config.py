"""Typed configs: what a TOML file may say, and one line for each mistake in it."""

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
)

from experiments import config_errors

Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Width = Annotated[int, Field(ge=1, le=65_536)]
Side = Annotated[int, Field(ge=1, le=32_768)]
NumBytes = Annotated[int, Field(ge=1)]
KernelSize = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}x[1-9][0-9]{0,3}$")]


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


class Section(BaseModel):
    """A table of a config: frozen, strict, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class _Optimizer(Section):
    learning_rate: Positive = Field(description="Peak learning rate.")
    schedule: Literal["constant", "cosine", "one_cycle"] = "constant"
    warmup: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.3, description="Part of the run that one_cycle spends rising."
    )
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip_norm: Positive | None = Field(
        default=None, description="Largest global norm of the gradient."
    )


class Sgd(_Optimizer):
    """Stochastic gradient descent."""

    name: Literal["sgd"]
    momentum: Fraction = 0.0
    nesterov: bool = False


class Adam(_Optimizer):
    """Adam, or AdamW with decoupled weight decay."""

    name: Literal["adam", "adamw"]
    b1: Fraction = 0.9
    b2: Fraction = 0.999


class Muon(_Optimizer):
    """Muon for matrices, Adam for the rest."""

    name: Literal["muon"]
    beta: Fraction = 0.95


Optimizer = Annotated[Sgd | Adam | Muon, Field(discriminator="name")]


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


class LeNet5Model(Section):
    """A preset, and what differs from it."""

    preset: Literal["notes", "lecun1998", "d2l"] = "notes"
    channels: tuple[Width, Width] | None = None
    hidden: tuple[Width, ...] | None = None
    activation: Literal["relu", "tanh", "sigmoid"] | None = None
    pooling: Literal["max", "avg"] | None = None


class Augmentation(Section):
    """Random changes of the training images."""

    shift: Annotated[int, Field(ge=0, le=16)] = Field(
        default=0, description="Largest shift in pixels."
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


class LeNet5Config(Section):
    """Train LeNet5 to tell images apart."""

    experiment: Literal["lenet5"]
    seed: Seed = Field(default=0, description="The first seed.")
    seeds: Count = Field(default=1, description="Number of seeds, trained one after the other.")
    data: ImageData
    model: LeNet5Model = LeNet5Model()
    optimizer: Optimizer
    augment: Augmentation = Augmentation()
    train: Training


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
    seed: Seed = Field(default=0, description="Gives the initial kernel and the crops.")
    data: PatternData = PatternData()
    model: KernelModel = KernelModel()
    optimizer: Optimizer
    train: KernelTraining


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


Config = LeNet5Config | LearnKernelConfig | BenchCorr2DConfig | BenchTrainingConfig
_TAGGED: dict[str, type[Section]] = {
    "bench_corr2d": BenchCorr2DConfig,
    "bench_training": BenchTrainingConfig,
    "learn_kernel": LearnKernelConfig,
    "lenet5": LeNet5Config,
    "sgd": Sgd,
    "adam": Adam,
    "adamw": Adam,
    "muon": Muon,
}
_ADAPTER = TypeAdapter(Annotated[Config, Field(discriminator="experiment")])


class ConfigError(ValueError):
    """Every mistake of a config, one line each."""


def load(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a config and apply overrides such as "optimizer.learning_rate=0.05".

    Args:
      path: a TOML file.
      overrides: dotted key = value in TOML's grammar; a bare word is a string, and the word
        none takes the key out of the file.

    Returns:
      The config, frozen.

    Raises:
      ConfigError: all mistakes at once, each with its source, key, what was expected and came.
    """
    raw = _read(path)
    sources = {}
    for override in overrides:
        sources[_apply(raw, override)] = f"override {override!r}"
    try:
        return _ADAPTER.validate_json(json.dumps(raw, default=str))
    except ValidationError as error:

        def source(key: str) -> str:
            return next((sources[k] for k in sources if f"{key}.".startswith(f"{k}.")), str(path))

        lines = config_errors.explain(error, raw, source=source, known_keys=_known_keys)
        raise ConfigError("\n".join(lines)) from None


def dump(config: Config) -> dict[str, Any]:
    """Return a config as a table for TOML, which has no null; it loads back equal."""
    return config.model_dump(mode="json", exclude_none=True)


def schema() -> str:
    """Return the JSON schema of all configs, for editors that complete and check TOML."""
    return json.dumps(_ADAPTER.json_schema(), indent=2) + "\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        known = sorted(str(other) for other in path.parent.glob("*.toml"))
        raise ConfigError(
            f"{path}: no such file{config_errors.did_you_mean(str(path), known)}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:  # tomllib passes some of Python's own on
        raise ConfigError(f"{path}: not TOML: {error}") from None


def _apply(raw: dict[str, Any], override: str) -> str:
    """Set one override in the raw table and return its key."""
    key, equals, value = override.partition("=")
    key, value = key.strip(), value.strip()
    if not equals or not re.fullmatch(r"\w+(\.\w+)*", key):
        raise ConfigError(f"override {override!r}: expected KEY=VALUE, as in train.epochs=3")
    table = raw
    *parents, last = key.split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise ConfigError(f"override {override!r}: {parent} is a value, not a table")
    if value == "none":  # TOML has no null: leave the key out, for its default
        table.pop(last, None)
    else:
        table[last] = _value(override, value)
    return key


def _value(override: str, text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
        if len(parsed) == 1:
            return parsed["value"]
        raise ConfigError(f"override {override!r}: expected one value")
    except (tomllib.TOMLDecodeError, RecursionError):
        if re.fullmatch(r"[^\s\"'\[\]{}=,#]+", text):
            return text
        raise ConfigError(f"override {override!r}: {text!r} is not a TOML value") from None


def _known_keys(loc: config_errors.Location) -> list[str]:
    """Return the keys of the section that a location's last key stands in."""
    section: type[Section] = LeNet5Config
    for part in map(str, loc[:-1]):
        if part in _TAGGED:
            section = _TAGGED[part]
        elif part in section.model_fields:
            annotation = section.model_fields[part].annotation
            if isinstance(annotation, type) and issubclass(annotation, Section):
                section = annotation
    return list(section.model_fields)
