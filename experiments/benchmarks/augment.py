"""Time what augmentation adds to a training step: `python -m experiments.benchmarks.augment`.

LeNet5 of the notes on batches of 128 grey-value images of 32 x 32, SGD with momentum, steps
within `lax.scan`; all variants in turns, in one process.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from conv_jax import augment, losses, models, training
from experiments.benchmarks import timing
from experiments.benchmarks.timing import Call, Pace

NUM_STEPS, BATCH_SIZE, IMAGE_SIZE = 8, 128, 32
AFFINE = {"rotation": 10.0, "scale": 0.1, "shear": 10.0, "translation": 2.0}
VARIANTS: dict[str, dict[str, Any]] = {
    "none": {},
    "shift": {"shift": 2},
    "affine": AFFINE,
    "affine and elastic": {**AFFINE, "elastic": 34.0},
    "erasing": {"erasing": 0.5},
    "all": {**AFFINE, "elastic": 34.0, "shift": 2, "erasing": 0.5},
}


def steps(options: dict[str, Any]) -> Call:
    """Return a call that takes some steps with an augmentation.

    Args:
      options: for `augment.from_config`.
    """
    model = models.build(models.LeNet5, **models.PRESETS["notes"])
    optimizer = optax.sgd(0.01, momentum=0.9)

    def apply(params: Any, grey: jax.Array) -> jax.Array:
        return model.apply(params, training.standardize(grey, mean=0.1, std=0.3))

    step = training.make_train_step(
        apply, optimizer, loss=losses.cross_entropy(), augment=augment.from_config(options)
    )
    numbers = np.random.default_rng(0)
    shape = NUM_STEPS, BATCH_SIZE, IMAGE_SIZE, IMAGE_SIZE, 1
    images = jnp.asarray(numbers.integers(0, 256, shape, dtype=np.uint8))
    labels = jnp.asarray(numbers.integers(0, 10, shape[:2], dtype=np.int32))
    state = training.init_state(jax.random.key(1), model.init(jax.random.key(0)), optimizer)
    program = jax.jit(functools.partial(lax.scan, step))
    return lambda: jax.block_until_ready(program(state, training.Batch(images, labels)))


def main() -> None:
    """Print the milliseconds of a step by variant, and what they are of the step without."""
    calls = {name: steps(options) for name, options in VARIANTS.items()}
    for call in calls.values():
        call()
    turns = timing.time_in_turns(calls, pace=Pace(8.0, 0.0, 10, 30), seed=0)
    medians = {name: 1e3 * float(np.median(times)) / NUM_STEPS for name, times in turns.items()}
    for name, median in medians.items():
        added = 100 * (median / medians["none"] - 1)
        print(f"{name:20} {median:7.2f} ms a step  {added:+6.1f} %")


if __name__ == "__main__":
    main()
