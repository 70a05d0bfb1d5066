import itertools

import numpy as np
import pytest

from conv_jax.multichannel.placement import (
    Placement,
    of_image_gradient,
    of_kernel_gradient,
    output_size,
)

PLACES = [
    Placement(*numbers)
    for numbers in itertools.product((1, 2, 3), (-1, 0, 2), (0, 3), (1, 2), (1, 2))
]


def matrix(image, kernel, place):
    """Return the trilinear form [output, image, kernel] of one axis, from its definition."""
    form = np.zeros((output_size(image, kernel, place), image, kernel))
    for y, k in itertools.product(range(form.shape[0]), range(kernel)):
        position, rest = divmod(
            y * place.stride + k * place.kernel_dilation - place.before, place.image_dilation
        )
        if rest == 0 and 0 <= position < image:
            form[y, position, k] = 1
    return form


@pytest.mark.parametrize("place", PLACES, ids=lambda p: "-".join(map(str, p)))
def test_gradients_are_correlations(place):
    image, kernel = 6, 3
    form = matrix(image, kernel, place)

    by_image = matrix(len(form), kernel, of_image_gradient(image, kernel, place))
    by_kernel = matrix(image, len(form), of_kernel_gradient(image, kernel, place))

    np.testing.assert_array_equal(by_image[:, :, ::-1].transpose(1, 0, 2), form)
    np.testing.assert_array_equal(by_kernel.transpose(2, 1, 0), form)


@pytest.mark.parametrize(("image", "kernel"), [(2, 3), (0, 2), (3, 3)])
def test_a_kernel_longer_than_the_image_has_no_output(image, kernel):
    assert output_size(image, kernel, Placement()) == int(image >= kernel)
