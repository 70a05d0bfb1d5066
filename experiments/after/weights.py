"""The weights of a run, each network in a file that tells all that is needed to use it."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from pydantic import FiniteFloat, PositiveInt, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors import numpy as safetensors

import conv_jax
from conv_jax import models, training
from experiments.after import past_runs
from experiments.after.past_runs import PastRun

FOLDER = "weights"
FORMAT = 1  # of the metadata; a higher one is refused
_NETWORKS = {network.__name__: network for network in (models.LeNet5, models.SmallNet)}


class WeightsError(ValueError):
    """Weights that are not there or cannot be read."""


class Weights(NamedTuple):
    """A trained network."""

    params: Any  # layer -> name -> array
    network: str  # "LeNet5" or "SmallNet"
    options: dict[str, Any]  # of its constructor
    mean: FiniteFloat  # of the training images, on the scale 0..1
    std: FiniteFloat
    class_names: tuple[str, ...]
    data: str  # the name of the data set
    seed: int
    stored_size: tuple[PositiveInt, PositiveInt] | None = (
        None  # of the images, before they were enlarged
    )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The height, the width and the channels of the images."""
        return self.options["image_shape"]

    def apply(self, images: ArrayLike) -> jax.Array:
        """Return the logits [B, classes] of grey values 0..255 [B, H, W, C]."""
        return self._call("__call__", images)

    def feature_maps(self, images: ArrayLike) -> dict[str, jax.Array]:
        """Return every intermediate of grey values 0..255 [B, H, W, C], by the layer's name."""
        return self._call("feature_maps", images)

    def _call(self, method: str, images: ArrayLike) -> Any:
        model = models.build(_NETWORKS[self.network], method=method, **self.options)
        grey = training.standardize(jnp.asarray(images), mean=self.mean, std=self.std)
        return model.apply(self.params, grey)


_WEIGHTS = TypeAdapter(Weights)


def to_bytes(weights: Weights) -> bytes:
    """Return the file of a network, in the format safetensors.

    The arrays are named as in "conv1.kernel"; all else is JSON in the metadata.
    """
    arrays = {
        f"{layer}.{name}": np.ascontiguousarray(array)  # safetensors writes others wrongly
        for layer, of_layer in weights.params.items()
        for name, array in of_layer.items()
    }
    about = {key: value for key, value in weights._asdict().items() if key != "params"}
    about = {"format": FORMAT, "conv_jax": conv_jax.__version__, **about}
    return safetensors.save(arrays, {key: json.dumps(value) for key, value in about.items()})


def load(path: Path) -> Weights:
    """Read a network back.

    Raises:
      WeightsError: if the file is not there, is damaged, is not ours or is of a later format; if
        its numbers are not finite.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            about = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no dict
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror or 'no such file'}") from None
    except (SafetensorError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: no weights, or damaged ones: {error}") from None
    version = about.get("format")
    if isinstance(version, int) and version > FORMAT:
        newer = f"format {version}, written by conv_jax {about.get('conv_jax')}"
        raise WeightsError(f"{path}: {newer}; this conv_jax reads up to format {FORMAT}")
    try:
        weights = _checked(_weights(about, arrays))
    except ValidationError as error:
        first = error.errors()[0]
        mistake = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise WeightsError(f"{path}: not the weights of a run: {mistake}") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: not the weights of a run: {error}") from None
    broken = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if broken:
        raise WeightsError(f"{path}: NaN or infinity in {broken[0]}: its training diverged")
    return weights


def of_run(folder: Path, *, seed: int | None = None) -> Weights:
    """Read the weights of a run, those of its first seed if none is named.

    Raises:
      WeightsError: if there is no run; if it has no weights, with how to get some; if it has none
        of that seed.
    """
    try:
        run = past_runs.read(folder)
    except past_runs.NoRunError as error:
        raise WeightsError(error) from None
    found = {
        int(match[1]): path
        for path in (folder / FOLDER).glob("seed-*.safetensors")
        if (match := re.fullmatch(r"seed-(\d+)\.safetensors", path.name))
    }
    if not found:
        raise WeightsError(f"{folder}: holds no weights: {_why_none(run)}")
    if seed is not None and seed not in found:
        seeds = ", ".join(map(str, sorted(found)))
        raise WeightsError(f"--seed: expected one of {seeds}, those of {folder}, got {seed}")
    return load(found[min(found) if seed is None else seed])


def file_name(seed: int) -> str:
    """Return the name of a network's file within the folder of its run."""
    return f"{FOLDER}/seed-{seed}.safetensors"


def _weights(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> Weights:
    params: dict[str, dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        layer, name = key.split(".")
        params.setdefault(layer, {})[name] = array
    given = {key: _as_tuples(value) for key, value in about.items()}
    known = {key: given[key] for key in Weights._fields if key in given}
    return _WEIGHTS.validate_python({**known, "params": params})


def _checked(weights: Weights) -> Weights:
    """Compare the arrays with those that the network has."""
    model = models.build(_NETWORKS[weights.network], **weights.options)
    expected = jax.eval_shape(model.init, jax.random.key(0))
    trees = (expected, weights.params)
    kinds = [jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), tree) for tree in trees]
    if kinds[0] != kinds[1]:
        raise ValueError(f"expected arrays of the shapes and types {kinds[0]}, got {kinds[1]}")
    return weights


def _as_tuples(value: Any) -> Any:
    """Return tuples for the lists of JSON."""
    if isinstance(value, dict):
        return {key: _as_tuples(item) for key, item in value.items()}
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


def _why_none(run: PastRun) -> str:
    """Say why a run holds no weights, and how to get some."""
    train = f"python -m experiments run {run.folder / 'config.toml'}"
    if run.config.get("sweep"):
        return f"a sweep keeps none; train one setting with: {train} sweep=none KEY=VALUE"
    if run.experiment != "lenet5":
        return f"runs of lenet5 do, and this is one of {run.experiment}"
    if run.state == "running":
        return "it is running, and writes them at its end"
    if run.state in ("interrupted", "stopped"):
        return f"it ended early; go on with: python -m experiments run --resume {run.folder}"
    if run.state == "failed":
        return f"it failed: {run.result.get('error', 'nothing tells why')}"
    return f"it was made before runs kept them; train again with: {train}"
