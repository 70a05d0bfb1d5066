"""A network of fewer than 10,000 parameters for images of digits."""

import itertools
from collections import OrderedDict

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from conv_jax.layers import conv_general_dilated
from conv_jax.pooling import max_pool


class SmallNet(nnx.Module):
    """Stages of 3x3 convolutions with pooling between them, a mean over all places, a dense layer.

    conv -> relu, once for each number of a stage, and 2x2 max pooling between stages; mean over
    height and width; dense -> logits. Nothing is padded, so that 32x32 pixels end in one place;
    it sees the first 30x30 of them, among these all 28x28 of MNIST, with 2 around. The first
    stage is one convolution, because a second at full resolution doubles the time of a step.
    Nothing is normalised: the parameters are the only state, and an `nnx.LayerNorm` after each
    convolution makes a step 2.3 times as long (two cores of an AMD EPYC). He's initial weights
    keep the size of the signal (He, Zhang, Ren and Sun 2015, section 2.2).

    Args:
      stages: output channels of the convolutions, stage by stage.
      num_classes: number of logits.
      image_shape: (H, W, C) of the images, without the batch.
      rngs: the source of the initial weights.

    Raises:
      ValueError: if a number is below 1 or the image too small for the network.
    """

    def __init__(
        self,
        *,
        stages: tuple[tuple[int, ...], ...] = ((8,), (16, 16), (16, 16)),
        num_classes: int = 10,
        image_shape: tuple[int, int, int] = (32, 32, 1),
        rngs: nnx.Rngs,
    ) -> None:
        self.image_shape = tuple(image_shape)
        self.stages = [len(stage) for stage in stages]
        if min(self.stages, default=0) < 1 or min(*itertools.chain(*stages), num_classes) < 1:
            raise ValueError(
                "stages, num_classes: expected stages of numbers of at least 1, "
                f"got {stages}, {num_classes}"
            )
        smallest = _smallest_side(self.stages)
        if min(self.image_shape[:2]) < smallest:
            raise ValueError(
                f"image_shape: expected at least {smallest}x{smallest} pixels for stages of "
                f"{self.stages} convolutions, got {image_shape}"
            )
        widths = (self.image_shape[2], *itertools.chain(*stages))
        for index in range(sum(self.stages)):
            layer = nnx.Conv(
                widths[index],
                widths[index + 1],
                kernel_size=(3, 3),
                padding="VALID",
                kernel_init=nnx.initializers.he_normal(),
                conv_general_dilated=conv_general_dilated,
                rngs=rngs,
            )
            setattr(self, f"conv{index + 1}", layer)
        self.fc = nnx.Linear(widths[-1], num_classes, rngs=rngs)

    def __call__(self, images: Float[Array, "*batch H W C"]) -> Float[Array, "*batch classes"]:
        """Return the logits."""
        return self.feature_maps(images)["logits"]

    def predict(self, images: Float[Array, "*batch H W C"]) -> Int[Array, "*batch"]:
        """Return the most probable class."""
        return jnp.argmax(self(images), axis=-1)

    def feature_maps(self, images: Float[Array, "*batch H W C"]) -> OrderedDict[str, jax.Array]:
        """Return every intermediate by name, from "input" to "logits", in order.

        Those of convolutions are before the activation, as LeNet5's are.
        """
        if images.shape[-3:] != self.image_shape:
            raise ValueError(
                f"images: expected a shape (..., {', '.join(map(str, self.image_shape))}), "
                f"got {images.shape}"
            )
        maps = OrderedDict(input=images)
        x, index = images, 0
        for stage, num_convs in enumerate(self.stages):
            if stage:
                x = maps[f"pool{stage}"] = max_pool(x, (2, 2), (2, 2))
            for _ in range(num_convs):
                index += 1
                maps[f"conv{index}"] = getattr(self, f"conv{index}")(x)
                x = nnx.relu(maps[f"conv{index}"])
        maps["mean"] = x.mean(axis=(-3, -2))
        maps["logits"] = self.fc(maps["mean"])
        return maps


def _smallest_side(stages: list[int]) -> int:
    """Return the least height or width that leaves one place after all stages."""
    side = 1
    for num_convs in reversed(stages):
        side = 2 * (side + 2 * num_convs)
    return side // 2
