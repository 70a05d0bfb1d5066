"""The embedded data: 1,797 handwritten digits of 8x8 pixels, 45 KB, there without a network.

They are the test part of "Optical Recognition of Handwritten Digits", E. Alpaydin and C. Kaynak,
1998, UCI Machine Learning Repository, https://doi.org/10.24432/C50P49, licensed CC BY 4.0
(https://creativecommons.org/licenses/by/4.0/), in the order in which scikit-learn's `load_digits`
gives them. Changed here: pixels 0..16 are scaled to 0..255.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Bool

from conv_jax.data.dataset import Split


def load_digits(*, halves: bool = False) -> tuple[Split, Split]:
    """Return the training set and the test set.

    Args:
      halves: whether to train on the first 898 images and test on the last 899, unshuffled, as
        scikit-learn's example does ("Recognizing hand-written digits"); most writers are in one
        half only, so it is harder. Otherwise a fixed random choice of 360 is the test set.
    """
    with np.load(Path(__file__).with_name("digits.npz")) as arrays:
        images, labels, is_test = arrays["images"], arrays["labels"], arrays["is_test"]
    if halves:
        is_test = np.arange(len(labels)) >= len(labels) // 2
    pixels = np.rint(images[..., None] * (255 / 16)).astype(np.uint8)
    digits = Split(pixels, labels.astype(np.int32))
    return _select(digits, ~is_test), _select(digits, is_test)


def _select(split: Split, chosen: Bool[np.ndarray, "N"]) -> Split:
    return Split(split.images[chosen], split.labels[chosen])
