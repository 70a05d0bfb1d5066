import numpy as np
import pytest

from conv_jax.data import load


@pytest.fixture(scope="module")
def mnist():
    try:
        return load("mnist", download=False)
    except FileNotFoundError as error:
        pytest.skip(f"needs the MNIST files in $CONV_JAX_DATA/mnist: {error}")


def test_mnist_has_60000_and_10000_images(mnist):
    assert mnist.train.images.shape == (60000, 28, 28, 1)
    assert mnist.test.images.shape == (10000, 28, 28, 1)


def test_mnist_has_the_known_test_labels(mnist):
    histogram = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    np.testing.assert_array_equal(np.bincount(mnist.test.labels), histogram)


def test_mnist_begins_with_the_known_training_labels(mnist):
    np.testing.assert_array_equal(mnist.train.labels[:10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4])


def test_mnist_has_the_known_mean(mnist):
    # 0.1307 of 1, the constant in every MNIST example.
    assert round(mnist.train.images.mean() / 255, 4) == 0.1307


def test_mnist_padded_to_32_keeps_the_pixel_sum(mnist):
    padded = load("mnist", image_size=32, download=False)
    assert padded.test.images.shape == (10000, 32, 32, 1)
    assert padded.test.images.sum() == mnist.test.images.sum()
