import math

import numpy as np
import pytest
from skimage.filters import gabor_kernel

from conv_jax import corr2d, kernels


@pytest.mark.parametrize("frequency", [0.1, 0.25, 0.4])
@pytest.mark.parametrize("angle", [0.0, 0.5, math.pi / 2, 2.4])
@pytest.mark.parametrize("bandwidth", [1, 1.7])
def test_gabor_is_scikit_images(frequency, angle, bandwidth):
    expected = gabor_kernel(frequency, theta=angle, bandwidth=bandwidth)
    options = {"angle": angle, "bandwidth": bandwidth, "size": expected.shape}

    even = kernels.gabor(frequency, **options)
    odd = kernels.gabor(frequency, phase=-math.pi / 2, **options)

    np.testing.assert_allclose(even, expected.real, atol=1e-7 * expected.real.max())
    np.testing.assert_allclose(odd, expected.imag, atol=1e-6 * expected.real.max())


def test_gabor_reaches_as_far_as_it_is_told():
    kernel = kernels.gabor(0.2, sigma=(2.0, 4.0), truncate=2.0)

    assert kernel.shape == (9, 17)  # across the wave, along it


@pytest.mark.parametrize("sigma", [4.0, (6.0, 2.0)], ids=["circle", "ellipse"])
@pytest.mark.parametrize("angle", [0.0, math.pi / 4, 1.9])
def test_gabor_reaches_as_far_at_every_angle(angle, sigma):
    kernel = np.float64(kernels.gabor(0.1, angle=angle, sigma=sigma, truncate=2.5))
    peak = kernel[kernel.shape[0] // 2, kernel.shape[1] // 2]
    cut = [abs(side).max() for side in (kernel[0], kernel[-1], kernel[:, 0], kernel[:, -1])]

    # A border lies at most half a pixel within 2.5 standard deviations, and 2 is the least of them.
    assert max(cut) <= math.exp(-((2.5 - 0.5 / 2) ** 2) / 2) * peak


def test_the_channels_of_a_frequency_have_one_norm(bank):
    norms = np.linalg.norm(bank, axis=(1, 2)).reshape(2, 3)

    np.testing.assert_allclose(norms[:, 1:], norms[:, :1].repeat(2, axis=1), rtol=2e-3)


@pytest.mark.parametrize("frequency", [0.05, 0.2, 0.3])
def test_an_even_gabor_answers_little_to_a_constant(frequency):
    assert 1e-4 < abs(kernels.analyze(kernels.gabor(frequency)).sum) < 2e-3


def test_an_odd_gabor_answers_nothing_to_a_constant():
    odd = kernels.gabor(0.2, angle=0.7, phase=-math.pi / 2)

    assert kernels.analyze(odd).is_antisymmetric
    assert kernels.analyze(odd).derivative_order == 1


@pytest.fixture(scope="module")
def bank():
    return kernels.field_1987_bank()


def test_field_has_six_even_channels_that_ignore_brightness(bank):
    assert bank.shape[0] == 6
    for kernel in bank:
        analysis = kernels.analyze(kernel)
        assert analysis.is_symmetric
        assert analysis.derivative_order == 2


@pytest.mark.parametrize("channel", range(6))
def test_a_wave_excites_its_own_channel_by_one_and_no_other_so_much(bank, channel):
    frequency, angle = (1 / 12, 1 / 6)[channel // 3], channel % 3 * math.pi / 3
    y, x = np.mgrid[-40:41, -40:41]
    wave = np.cos(2 * math.pi * frequency * (math.sin(angle) * y + math.cos(angle) * x))

    crests = np.array([corr2d(np.float32(wave), kernel, padding="same")[40, 40] for kernel in bank])

    assert crests[channel] == pytest.approx(1, abs=1e-5)
    assert abs(np.delete(crests, channel)).max() < 0.5


def test_channels_are_as_many_as_asked_for():
    assert kernels.field_1987_bank(frequencies=(0.25,), num_angles=4).shape[0] == 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernels.gabor(0), "frequency: expected a finite number above 0, got 0"),
        (lambda: kernels.gabor(0.1, bandwidth=-1), "bandwidth: expected a finite number above 0"),
        (lambda: kernels.gabor(0.1, sigma=(1, 0)), "sigma: expected a finite number above 0"),
        (lambda: kernels.field_1987_bank(frequencies=()), "frequencies: expected numbers above 0"),
        (lambda: kernels.field_1987_bank(frequencies=(0.6,)), r"up to 0.5, got \(0.6,\)"),
        (lambda: kernels.field_1987_bank(num_angles=0), "num_angles: expected a whole number"),
    ],
)
def test_a_mistake_is_named(unchecked, call, message):
    with pytest.raises(ValueError, match=message):
        call()
