"""A run of some milliseconds an epoch, with checkpoints, for `test_resume.py` to end."""

import functools
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from conv_jax import losses, training
from conv_jax.training import Batch
from experiments import config
from experiments.record import Record
from experiments.running import interrupts
from experiments.running.resumable import make_part
from experiments.running.run_folder import holds_run
from experiments.tables.checkpoints import Checkpointing

CONFIG = Path("configs/lenet5_smoke.toml")
EPOCH = 5  # steps, in intervals of 3 and 2
PARTS = (0, 1)  # a part of the run for each seed


def linear(params, images):
    return images @ params["w"] + params["b"][None]


def noisy(key, images):
    return images + 0.1 * jax.random.normal(key, images.shape)


@functools.cache
def recipe():
    """Return the optimizer and the step, with a moving average, momentum and random noise."""
    schedule = optax.cosine_decay_schedule(0.1, 50)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(schedule, momentum=0.9))
    step = training.make_train_step(
        linear, optimizer, loss=losses.cross_entropy(), augment=noisy, average_decay=0.9
    )
    return optimizer, step


def examples():
    """Return 20 images of 4 numbers, of 3 classes."""
    images = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    return Batch(jnp.asarray(images), jnp.asarray(np.arange(20, dtype=np.int32) % 3))


def train_part(seed, record, interrupt, *, num_epochs, every, pause):
    """Train one part of the run and return its last state."""
    optimizer, step = recipe()
    params = {"w": jnp.zeros((4, 3)), "b": jnp.zeros(3)}
    state = training.init_state(jax.random.key(seed), params, optimizer, average=True)
    options = Checkpointing(every=every)
    belongs = functools.partial(_is_of, seed)
    part = make_part(record, f"{seed}", belongs=belongs, options=options, interrupt=interrupt)
    if restored := part.restore(state):
        state = restored.state
        if restored.damage:
            print(restored.damage)
    trained = training.train(
        state, examples(), train_step=step, batch_size=4, num_epochs=num_epochs, interval=3
    )
    for state, interval in trained:
        loss = float(interval.metrics["loss"].mean(dtype=np.float64))
        part.log({"seed": seed, "step": interval.step, "loss": loss, "seconds": interval.seconds})
        time.sleep(pause)
        part.after(interval, state, num_epochs=num_epochs)
    return state


def _is_of(seed, row):
    return row["seed"] == seed


def run(folder, *, num_epochs=4, every=1, pause=0.0):
    """Begin the run, or go on with it."""
    loaded = config.dump(config.load(CONFIG))
    record = Record(folder, loaded, resume=holds_run(folder))
    with record.running(), interrupts.deferred() as interrupt:
        options = {"num_epochs": num_epochs, "every": every, "pause": pause}
        states = [train_part(seed, record, interrupt, **options) for seed in PARTS]
        record.report({"bits": [leaf_bits(state) for state in states]})


def leaf_bits(state):
    """Return the bytes of all that a step reads, in hexadecimals."""
    leaves = jax.tree.leaves(state._replace(key=jax.random.key_data(state.key)))
    return [np.asarray(leaf).tobytes().hex() for leaf in leaves]
