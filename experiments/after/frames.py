"""How the data sets by name lay out their images."""

from typing import NamedTuple


class Frame(NamedTuple):
    """Where what is drawn lies in the images of a data set, light on dark."""

    size: int  # pixels along each side
    box: int  # pixels of the longer side of what is drawn
    centre: float | None = None  # row and column of the centre of mass; None centres the box


# MNIST: "size normalized to fit in a 20x20 pixel box while preserving their aspect ratio [...]
# centered in a 28x28 image by computing the center of mass of the pixels" (LeCun, Cortes, Burges,
# The MNIST database of handwritten digits). The UCI digits fill 32x32 bits, counted in blocks of
# 4x4 (Alpaydin and Kaynak 1998). The centres are measured, the means over the training images.
# Fashion-MNIST: the longer side has 28 pixels (Xiao, Rasul and Vollgraf 2017, section 2); KMNIST
# fills its images too.
FRAMES = {
    "mnist": Frame(28, 20, centre=14.0),
    "kmnist": Frame(28, 28),
    "fashion_mnist": Frame(28, 28),
    "digits": Frame(8, 8, centre=3.5),
    "digits_halves": Frame(8, 8, centre=3.5),
}
