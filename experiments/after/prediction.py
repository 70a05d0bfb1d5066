"""Pictures made into what a network was trained on, and what the network says of them."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from PIL import Image

from conv_jax import data, plots
from experiments.after.frames import FRAMES, Frame
from experiments.after.pictures import LEAST_CONTRAST, PictureError
from experiments.after.weights import Weights
from experiments.printed_table import plain

Grey = Float[np.ndarray, "H W"]

DARK, LIGHT = "dark-on-light", "light-on-dark"
_LONGEST_NAME = 40  # letters of a file's name above its figure
_INK = 0.15  # of the darkest ink: what is more is within its box


class Prediction(NamedTuple):
    """What a network says of a picture."""

    probabilities: Float[np.ndarray, "classes"]
    feature_maps: dict[str, np.ndarray]  # layer -> [H, W, C]
    polarity: str
    class_names: tuple[str, ...]


class Predictor:
    """A network that is compiled once, for pictures one at a time."""

    def __init__(self, network: Weights) -> None:
        """Take the network, whose data say how pictures are to be prepared."""
        self.network = network
        self._feature_maps = jax.jit(network.feature_maps)

    def __call__(self, picture: Image.Image, *, polarity: str = "auto") -> Prediction:
        """Return what the network says of a picture in RGB.

        Raises:
          PictureError: if nothing of that polarity is to be seen on it.
        """
        image, polarity = prepare(picture, self.network, polarity=polarity)
        maps = {name: np.asarray(layer[0]) for name, layer in self._feature_maps(image).items()}
        probabilities = np.asarray(jax.nn.softmax(maps["logits"]))
        pictures = {name: layer for name, layer in maps.items() if layer.ndim == 3}
        return Prediction(probabilities, pictures, polarity, self.network.class_names)


def prepare(
    picture: Image.Image, network: Weights, *, polarity: str = "auto"
) -> tuple[UInt8[np.ndarray, "1 H W C"], str]:
    """Make a picture into an image like those of the training.

    For the data sets by name, which are light on dark: what is drawn is found, made light from 0
    to 255, scaled into the box of `Frame`, centred, and enlarged as the training images were.
    For your own data set, "idx", the picture is scaled whole to the size of its images, without a
    change of grey values, and then enlarged as they were.

    Args:
      picture: in RGB.
      network: of `experiments.after.weights`.
      polarity: of the picture; "auto" takes a border lighter than the middle of its grey values
        for a light ground.

    Returns:
      The image, and the polarity.

    Raises:
      PictureError: if nothing of that polarity is to be seen.
    """
    frame = FRAMES.get(network.data)
    if frame is None:
        return _whole(picture, network, polarity), "it is" if polarity == "auto" else polarity
    grey = np.asarray(picture.convert("L"), np.float32) / 255
    if polarity == "auto":
        is_light = np.median(_border(grey)) > (grey.min() + grey.max()) / 2
        polarity = DARK if is_light else LIGHT
    ink = _ink(1 - grey if polarity == DARK else grey, polarity)
    image = np.rint(255 * _framed(ink, frame)).astype(np.uint8)
    return data.resize(image[None, :, :, None], image_size=network.image_shape[0]), polarity


def in_words(prediction: Prediction) -> str:
    """Say the class, its probability, the next two and the polarity."""
    order = np.argsort(-prediction.probabilities, kind="stable")[:3]
    names, probabilities = prediction.class_names, prediction.probabilities
    told = ", ".join(f"{names[index]} ({100 * probabilities[index]:.1f} %)" for index in order)
    return f"{told}; taken as {prediction.polarity.replace('-', ' ')}"


def draw(prediction: Prediction, *, title: str) -> Figure:
    """Draw the image that the network saw, and its feature maps."""
    title = _shortened(plain(title)).replace(
        "$", r"\$"
    )  # a file's name; matplotlib would read a formula
    title = f"Feature maps of {title}, each on its own grey scale\n{in_words(prediction)}"
    return plots.feature_maps(prediction.feature_maps, title=title)


def _shortened(name: str) -> str:
    """Return a name without its middle if it is long."""
    half = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[:half]}...{name[3 - half :]}"


def _whole(picture: Image.Image, network: Weights, polarity: str) -> UInt8[np.ndarray, "1 H W C"]:
    """Return the picture as an image of the data set, enlarged if those were."""
    *size, channels = network.image_shape
    height, width = network.stored_size or size
    scaled = picture.convert("RGB" if channels == 3 else "L").resize(
        (width, height), Image.Resampling.BOX
    )
    pixels = np.asarray(scaled).reshape(1, height, width, channels)
    pixels = 255 - pixels if polarity == DARK else pixels
    return pixels if [height, width] == size else data.resize(pixels, image_size=size[0])


def _ink(light: Grey, polarity: str) -> Grey:
    """Return what is drawn, from 0, the grey of the border, to 1."""
    ground = np.median(_border(light))
    contrast = light.max() - ground
    if contrast < LEAST_CONTRAST / 255:
        raise PictureError(f"blank: nothing is {polarity.replace('-', ' ')}")
    return np.clip((light - ground) / contrast, 0, 1)


def _border(grey: Grey) -> Float[np.ndarray, "N"]:
    return np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])


def _framed(ink: Grey, frame: Frame) -> Grey:
    """Scale what is drawn into the box, and put it into the middle."""
    rows, columns = (np.flatnonzero((ink > _INK).any(axis)) for axis in (1, 0))
    left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    sides = np.array([bottom - top, right - left])
    height, width = np.maximum(np.rint(sides * frame.box / sides.max()).astype(int), 1)
    scaled = np.asarray(
        Image.fromarray(ink).resize(
            (width, height), Image.Resampling.BOX, box=(left, top, right, bottom)
        )
    )
    room = frame.size - np.array(scaled.shape)
    corner = room / 2 if frame.centre is None else frame.centre - _centre_of_mass(scaled)
    row, column = np.clip(np.rint(corner).astype(int), 0, room)
    image = np.zeros((frame.size, frame.size), np.float32)
    image[row : row + height, column : column + width] = scaled
    return image


def _centre_of_mass(grey: Grey) -> Float[np.ndarray, "2"]:
    """Return the row and the column, counted from 0 in the middle of the first pixels."""
    return (np.indices(grey.shape) * grey).sum(axis=(1, 2)) / grey.sum()
