import numpy as np
import pytest
from skimage.filters import edges

from conv_jax import kernels

CLASSIC = {
    # scikit-image convolves, so its weights are turned; and the scale of ours to its.
    "sobel": (kernels.sobel, edges.HSOBEL_WEIGHTS, 4),
    "prewitt": (kernels.prewitt, edges.HPREWITT_WEIGHTS, 3),
    "scharr": (kernels.scharr, edges.HSCHARR_WEIGHTS, 16),
    "farid": (kernels.farid, edges.HFARID_WEIGHTS, 1),
}
every_classic = pytest.mark.parametrize("name", CLASSIC)


@every_classic
def test_weights_are_scikit_images(name):
    design, weights, scale = CLASSIC[name]

    np.testing.assert_allclose(design(axis=0), scale * weights[::-1, ::-1], rtol=1e-6)


@every_classic
def test_axis_1_is_the_transpose(name):
    design = CLASSIC[name][0]

    np.testing.assert_array_equal(design(axis=1), design(axis=0).T)


def test_roberts_is_scikit_images():
    np.testing.assert_array_equal(kernels.roberts(axis=0), edges.ROBERTS_PD_WEIGHTS[::-1, ::-1])
    np.testing.assert_array_equal(kernels.roberts(axis=1), edges.ROBERTS_ND_WEIGHTS[::-1, ::-1])


@pytest.mark.parametrize("design", [*(entry[0] for entry in CLASSIC.values()), kernels.roberts])
def test_normalized_answers_the_slope(design):
    analysis = kernels.analyze(design(axis=0, normalized=True))

    assert analysis.derivative_order == 1
    assert analysis.gain == pytest.approx(1, rel=1e-6)


@every_classic
@pytest.mark.parametrize("axis", [0, 1])
def test_direction_is_along_the_axis(name, axis):
    analysis = kernels.analyze(CLASSIC[name][0](axis=axis))

    assert analysis.direction == (1 - axis, axis)
    assert analysis.rank == 1
    assert analysis.is_antisymmetric


def test_farids_ramp_is_as_documented():
    assert kernels.analyze(kernels.farid(axis=1)).gain == pytest.approx(0.9918, abs=5e-5)


def test_another_axis_is_refused(unchecked):
    with pytest.raises(ValueError, match=r"axis: expected 0 \(down\) or 1 \(right\), got -1"):
        kernels.sobel(axis=-1)
