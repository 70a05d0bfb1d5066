"""Learn a kernel from an image and its correlation with that kernel, as the chapter does."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key
from rich.console import Console

from conv_jax import corr2d, kernels, losses, models, optimizers, plots, training
from conv_jax.training import Batch
from experiments.record import Record
from experiments.tables import LearnKernelConfig

TARGETS: dict[str, Callable[[], Array]] = {
    "derivative": lambda: jnp.array([[1.0, -1.0]]),  # the chapter's
    "sobel": lambda: kernels.sobel(axis=1),
    "laplacian": kernels.laplacian,
    "box": lambda: kernels.box(3),
    "gaussian": lambda: kernels.binomial(3),
}

# How each source prints the loss, which it computes before the update of that epoch.
WORDINGS = {"notes": "Epoch {epoch}, loss {loss:.3f}", "chapter": "epoch {epoch} loss {loss!r}"}
KERNEL_DIGITS = {"notes": 4, "chapter": 6}


class Task(NamedTuple):
    """Inputs, outputs and the layer that is to explain them."""

    config: LearnKernelConfig
    data: Batch  # images [N, H, W] and their correlations with the target [N, H', W']
    target: Array  # [kH, kW]
    initial: Array  # [kH, kW]
    model: models.Model
    optimizer: Any
    num_batches: int  # an epoch
    key: Array


def prepare(config: LearnKernelConfig) -> Task:
    """Make the images and what the target kernel turns them into.

    Raises:
      ValueError: for shapes that do not fit.
    """
    chosen = config.model.target
    target = TARGETS[chosen]() if isinstance(chosen, str) else jnp.array(chosen)
    image_key, init_key, run_key = jax.random.split(jax.random.key(config.seed), 3)
    images = _images(config, image_key)
    if any(k > n for k, n in zip(target.shape, images.shape[1:], strict=True)):
        raise ValueError(
            f"model.target: expected a kernel within the image {images.shape[1:]}, "
            f"got {target.shape}"
        )
    outputs = corr2d(images, target)
    if config.data.batch_size > len(images):
        raise ValueError(
            f"data.batch_size: expected at most {len(images)}, got {config.data.batch_size}"
        )
    model = models.build(
        models.Conv2D,
        kernel_size=target.shape,
        use_bias=False,
        strict_convolution=config.model.strict_convolution,
    )
    initial = model.init(init_key)["weight"]
    if config.model.initial is not None:
        initial = jnp.array(config.model.initial)
    if initial.shape != target.shape:
        raise ValueError(f"model.initial: expected shape {target.shape}, got {initial.shape}")
    num_batches = len(images) // config.data.batch_size
    optimizer = optimizers.from_config(
        config.optimizer.model_dump(), num_steps=config.train.epochs * num_batches
    )
    data = Batch(images, outputs)
    return Task(config, data, target, initial, model, optimizer, num_batches, run_key)


def run(task: Task, record: Record, console: Console) -> None:
    """Learn the kernel, print the loss as the sources do, report the numbers, draw."""
    config = task.config
    step_losses, path = _learn(task, record, console)
    learned, target = path[-1], np.asarray(task.target)
    digits = KERNEL_DIGITS[config.train.wording]
    console.print(f"kernel {np.round(learned.astype(float), digits).tolist()}")
    reached = learned[::-1, ::-1] if config.model.strict_convolution else learned
    record.report(
        {
            "experiment": config.experiment,
            "kernel": learned.tolist(),
            "target": target.tolist(),
            "largest_error": float(np.abs(reached - target).max()),  # after the flip, if strict
            "first_loss": float(step_losses[0]),
            "last_loss": float(step_losses[-1]),
            "steps": len(step_losses),
        }
    )
    _draw(task, step_losses, path, record)


def power_law_image(
    key: Key[Array, ""], *, size: int, exponent: float = 1.0
) -> Float[Array, "{size} {size}"]:
    """Return a random image whose amplitude falls as 1 / frequency^exponent, like a photograph's.

    Field, "Relations between the statistics of natural images and the response properties of
    cortical cells" (1987), measured an exponent near 1.

    Args:
      key: consumed.
      size: height and width in pixels.
      exponent: 0 gives white noise.

    Returns:
      [size, size], of mean 0 and standard deviation 1.
    """
    noise = jax.random.normal(key, (size, size))
    vertical, horizontal = jnp.fft.fftfreq(size)[:, None], jnp.fft.rfftfreq(size)[None]
    frequency = jnp.maximum(jnp.hypot(vertical, horizontal), 1 / size)
    image = jnp.fft.irfft2(jnp.fft.rfft2(noise) / frequency**exponent, (size, size))
    return (image - image.mean()) / image.std()


def stripe_image() -> Float[Array, "6 8"]:
    """Return the chapter's image: white, with four black columns in the middle."""
    return jnp.ones((6, 8)).at[:, 2:6].set(0)


def _images(config: LearnKernelConfig, key: Array) -> Float[Array, "N H W"]:
    if config.data.image == "stripe":
        return stripe_image()[None]
    size, crop = config.data.size, config.data.crop
    if crop > size:
        raise ValueError(f"data.crop: expected at most data.size {size}, got {crop}")
    image_key, crop_key = jax.random.split(key)
    image = power_law_image(image_key, size=size)
    corners = jax.random.randint(crop_key, (config.data.num_crops, 2), 0, size - crop + 1)
    return jax.vmap(lambda corner: lax.dynamic_slice(image, corner, (crop, crop)))(corners)


def _learn(
    task: Task, record: Record, console: Console
) -> tuple[Float[np.ndarray, "S"], Float[np.ndarray, "intervals kH kW"]]:
    """Return the loss before every step, and the kernel at the start and after every interval."""
    config = task.config
    train_step = training.make_train_step(
        task.model.apply, task.optimizer, loss=losses.squared_error
    )
    state = training.init_state(task.key, {"weight": task.initial}, task.optimizer)
    step_losses, path = [], [np.array(task.initial)]
    trained = training.train(
        state,
        task.data,
        train_step=train_step,
        batch_size=config.data.batch_size,
        num_epochs=config.train.epochs,
        interval=task.num_batches,
    )
    for state, interval in trained:
        step_losses.append(interval.metrics["loss"])
        loss = float(step_losses[-1].mean(dtype=np.float64))
        row = {"kind": "train", "epoch": interval.epoch, "step": interval.step, "loss": loss}
        if interval.ends_epoch:
            path.append(np.array(state.params["weight"]))
            row["kernel"] = path[-1].tolist()
        record.log(row)
        if interval.ends_epoch and interval.epoch % config.train.log_every == 0:
            line = WORDINGS[config.train.wording].format(epoch=interval.epoch, loss=loss)
            console.print(line)
    return np.concatenate(step_losses), np.stack(path)


def _draw(task: Task, step_losses: np.ndarray, path: np.ndarray, record: Record) -> None:
    """Draw the loss, the kernel, and its path over the loss where it has two elements."""
    name = f"{task.config.data.image} image, {task.config.optimizer.name}"
    strict = task.config.model.strict_convolution
    record.save_figure("loss", plots.loss_curve(step_losses, title=f"Learning a kernel: {name}"))
    target = np.asarray(task.target)[::-1, ::-1] if strict else np.asarray(task.target)
    title = "Kernel of a strict convolution" if strict else "Kernel of a cross-correlation"
    record.save_figure("kernel", plots.learned_kernel(path[-1], target, title=title))
    if target.size == 2:
        record.save_figure("path", _draw_path(task, path.reshape(-1, 2), target.ravel(), name))


def _draw_path(task: Task, path: np.ndarray, least: np.ndarray, name: str) -> Any:
    points = np.concatenate([path, least[None]])
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    reach = 0.6 * max(np.ptp(points, axis=0).max(), 0.5)
    first, second = (np.linspace(c - reach, c + reach, 81) for c in centre)

    def loss_at(a: Array, b: Array) -> Array:
        weight = jnp.stack([a, b]).reshape(task.target.shape)
        outputs = task.model.apply({"weight": weight}, task.data.images)
        return losses.squared_error(outputs, task.data.labels)[0]

    over_first = jax.vmap(loss_at, in_axes=(0, None))
    over_both = jax.vmap(over_first, in_axes=(None, 0))
    grid = jax.jit(over_both)(jnp.asarray(first, jnp.float32), jnp.asarray(second, jnp.float32))
    return plots.kernel_path(
        path,
        losses=np.asarray(grid),
        extent=(float(first[0]), float(first[-1]), float(second[0]), float(second[-1])),
        target=(float(least[0]), float(least[1])),
        title=f"Path of the kernel over the loss: {name}",
    )
