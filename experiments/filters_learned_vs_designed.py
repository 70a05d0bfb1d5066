"""Learn designed kernels from their outputs: how exactly, from which images, when not at all."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from rich.console import Console

from conv_jax import conv2d, corr2d, data, im2col, kernels
from experiments.filters import figures, summary
from experiments.filters.least_squares import Draw, Fit, descend, draw, fastest_rate, fit, recover
from experiments.filters.studies import Descended, Flip, Study, descent_row, rows
from experiments.learn_kernel import power_law_image, stripe_image
from experiments.record import Record
from experiments.tables import FiltersLearnedVsDesignedConfig as Config
from experiments.tables.filters import Observations

# Of a key, [kH, kW].
TARGETS: dict[str, Callable[[Array], Array]] = {
    "derivative": lambda key: jnp.array([[1.0, -1.0]]),  # the chapter's
    "sobel": lambda key: kernels.sobel(axis=1),
    "laplacian": lambda key: kernels.laplacian(),
    "gaussian": lambda key: kernels.gaussian(1.0, 5),
    "motion": lambda key: kernels.motion(5, angle=np.pi / 6),
    "random": lambda key: jax.random.normal(key, (7, 7)) / 7,
}

# Of a key and the config's table, [H, W].
INPUTS: dict[str, Callable[[Array, Observations], Array]] = {
    "photograph": lambda key, asked: _photograph(asked.image),
    "power_law": lambda key, asked: power_law_image(key, size=asked.size),
    "white_noise": lambda key, asked: power_law_image(key, size=asked.size, exponent=0.0),
    "stripe": lambda key, asked: stripe_image(),
    "ramp": lambda key, asked: _ramp(asked.size),
    "constant": lambda key, asked: jnp.ones((asked.size, asked.size)),
}


class Task(NamedTuple):
    """The kernels to learn and what they see, in 64 bits."""

    config: Config
    targets: dict[str, np.ndarray]  # [kH, kW]
    images: dict[str, np.ndarray]  # [H, W]
    study_key: Key[Array, ""]
    descent_key: Key[Array, ""]
    flip_key: Key[Array, ""]


def prepare(config: Config) -> Task:
    """Make the kernels and the images.

    Raises:
      FileNotFoundError: if there is no such photograph.
      ValueError: for a photograph of one grey, and a descent to a kernel that is not among the
        targets or larger than all images.
    """
    target_key, image_key, *run_keys = jax.random.split(jax.random.key(config.seed), 5)
    with jax.enable_x64(True):
        targets = {name: np.asarray(TARGETS[name](target_key)) for name in config.targets}
        keys = dict(zip(INPUTS, jax.random.split(image_key, len(INPUTS)), strict=True))
        images = {
            kind: np.asarray(INPUTS[kind](keys[kind], config.data)) for kind in config.data.inputs
        }
    asked = config.descent.target
    if not any(_has_room(image, targets.get(asked)) for image in images.values()):
        raise ValueError(
            "descent.target: expected one of the targets with room in an input, "
            f"{', '.join(targets)}, got {asked!r}"
        )
    return Task(config, targets, images, *run_keys)


def run(task: Task, record: Record, console: Console) -> None:
    """Learn every kernel from every kind of image, in 64 bits; report, print, draw."""
    pairs = [
        (name, kind, _has_room(image, target))
        for name, target in task.targets.items()
        for kind, image in task.images.items()
    ]
    asked, first = task.config.descent.target, next(iter(task.images))
    with jax.enable_x64(True):
        studies = [_study(task, name, kind) for name, kind, fits in pairs if fits]
        descents = [_descend(task, kind) for name, kind, fits in pairs if fits and name == asked]
        flips = [_flip(task, name, kind) for name, kind, fits in pairs if fits and kind == first]
    record.report(
        {
            "experiment": task.config.experiment,
            "seeds": task.config.seeds,
            "rows": [row for study in studies for row in rows(study)],
            "descents": [descent_row(descent) for descent in descents],
            "flips": [flip._asdict() for flip in flips],
        }
    )
    left_out = [(name, kind) for name, kind, fits in pairs if not fits]
    summary.show(console, studies, descents, flips, left_out=left_out)
    for name, figure in figures.figures(studies, descents, task.images).items():
        record.save_figure(name, figure)


def _has_room(image: Float[np.ndarray, "H W"], target: Float[np.ndarray, "kH kW"] | None) -> bool:
    return target is not None and all(
        k <= n for k, n in zip(target.shape, image.shape, strict=True)
    )


def _photograph(path: str | None) -> Float[Array, "H W"]:
    try:
        photograph = data.photograph(path=path)
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(str(error).replace("path:", "data.image:", 1)) from None
    if not np.ptp(photograph):
        raise ValueError(f"data.image: expected more than one grey level, got {path}")
    return _standardized(jnp.asarray(photograph, float))


def _ramp(size: int) -> Float[Array, "{size} {size}"]:
    return _standardized(jnp.tile(jnp.arange(size, dtype=float), (size, 1)))


def _standardized(image: Float[Array, "H W"]) -> Float[Array, "H W"]:
    """Scale to mean 0 and standard deviation 1."""
    return (image - image.mean()) / image.std()


def _study(task: Task, name: str, kind: str) -> Study:
    """Learn one kernel from one kind of image, for every seed, number of samples and noise."""
    asked, target, image = task.config.data, task.targets[name], task.images[kind]
    noises = np.array(sorted({0.0, asked.noise, *asked.noises}))
    counts = tuple(sorted(set(asked.samples)))
    place = list(TARGETS).index(name) * len(INPUTS) + list(INPUTS).index(kind)
    keys = jax.random.split(jax.random.fold_in(task.study_key, place), task.config.seeds)
    room = np.array(image.shape) - target.shape + 1
    draws = _draw_seeds(keys, room, noises, counts[-1])
    fits = jax.device_get(_recover_seeds(image, target, draws, counts))
    return Study(name, kind, target, noises, asked.noise, np.array(counts), fits)


# Apart from the fits: random numbers take longest to compile, and these serve all kernels.
@functools.partial(jax.jit, static_argnums=3)
def _draw_seeds(
    keys: Key[Array, "seeds"],
    room: Int[Array, "2"],
    noises: Float[Array, "noises"],
    num_samples: int,
) -> Draw:
    """Draw once for every seed."""
    return jax.vmap(lambda key: draw(key, room, noises, num_samples=num_samples))(keys)


@functools.partial(jax.jit, static_argnums=3)
def _recover_seeds(
    image: Float[Array, "H W"], target: Float[Array, "kH kW"], draws: Draw, counts: tuple[int, ...]
) -> Fit:
    """Learn a kernel once for every seed; every field has leading axes [seeds, counts]."""
    return jax.vmap(lambda draw: recover(image, target, draw, counts=counts))(draws)


def _descend(task: Task, kind: str) -> Descended:
    """Follow gradient descent from 0 on all outputs of one crop, with noise."""
    asked = task.config.descent
    target, image = task.targets[asked.target], _middle(task.images[kind], asked.size)
    key = jax.random.fold_in(task.descent_key, list(INPUTS).index(kind))
    outputs = corr2d(image, target)
    outputs += task.config.data.noise * _normal(key, image, outputs.shape)
    whole = jax.device_get(_fit(image, outputs, target))
    rate, initial = fastest_rate(whole), np.zeros_like(target)
    path = np.asarray(
        _path(image, outputs, initial, correlate=corr2d, learning_rate=rate, num_steps=asked.steps)
    )
    distances = np.linalg.norm(path.reshape(len(path), -1) - whole.kernel, axis=1)
    return Descended(asked.target, kind, target, whole, rate, distances)


def _flip(task: Task, name: str, kind: str) -> Flip:
    """Learn by correlation, and by strict convolution from the flipped start; compare the bits."""
    asked = task.config.descent
    target, image = task.targets[name], _middle(task.images[kind], asked.size)
    key = jax.random.fold_in(task.flip_key, list(TARGETS).index(name))
    initial = _normal(key, image, target.shape)
    outputs = corr2d(image, target)
    rate = fastest_rate(jax.device_get(_fit(image, outputs, target)))
    options = {"learning_rate": rate, "num_steps": asked.strict_steps}
    ours = _path(image, outputs, initial, correlate=corr2d, **options)
    flipped = _path(image, outputs, initial[::-1, ::-1], correlate=conv2d, **options)
    ours, flipped = np.asarray(ours), np.asarray(flipped)[:, ::-1, ::-1]
    equal_bits = ours.tobytes() == flipped.tobytes()
    return Flip(name, kind, asked.strict_steps, equal_bits, float(np.abs(ours - flipped).max()))


@jax.jit
def _fit(
    image: Float[Array, "H W"],
    outputs: Float[Array, "H_out W_out"],
    target: Float[Array, "kH kW"],
) -> Fit:
    """Return the kernel of least squares of all windows of an image."""
    windows = im2col(image, target.shape)
    return fit(windows.reshape(outputs.size, target.size), outputs.ravel(), target)


_path = jax.jit(descend, static_argnames=("correlate", "num_steps"))


def _normal(
    key: Key[Array, ""], image: Float[np.ndarray, "H W"], shape: tuple[int, ...]
) -> Float[Array, "h w"]:
    """Return normal numbers, drawn for the whole image, so that one program serves all shapes."""
    return jax.random.normal(key, image.shape)[: shape[0], : shape[1]]


def _middle(image: Float[np.ndarray, "H W"], size: int) -> Float[np.ndarray, "h w"]:
    """Return the crop in the middle, or the whole of a smaller image."""
    top, left = (max(0, side - size) // 2 for side in image.shape)
    return image[top : top + size, left : left + size]
