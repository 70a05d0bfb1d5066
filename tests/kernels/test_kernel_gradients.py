"""Kernels and filters by their own numbers: derivatives in both modes, against differences."""

import jax
import jax.numpy as jnp
import pytest
from cases import random_numbers
from jax.test_util import check_grads

import conv_jax as cj
from conv_jax import kernels

GIVEN = {
    "gabor_frequency": (lambda f: kernels.gabor(f, size=7), 0.2),
    "gabor_angle": (lambda a: kernels.gabor(0.2, angle=a, sigma=(1.5, 2.0), size=7), 0.4),
    "gabor_phase": (lambda p: kernels.gabor(0.2, phase=p, size=7), 0.3),
    "gabor_sigma": (lambda s: kernels.gabor(0.2, sigma=s, size=7), 1.7),
    "gaussian_angle": (lambda a: kernels.gaussian((1.0, 2.0), 7, angle=a), 0.4),
    "dog_ratio": (lambda r: kernels.dog(1.0, r, size=7), 1.5),
    "second_derivative": (lambda v: kernels.directional_derivative(v, 2), (0.6, -0.7)),
    "isotropic": (lambda v: kernels.directional_derivative(v, 3, isotropic=True), (0.6, -0.7)),
    "gradient": (lambda s: cj.gradient(image(), sigma=s, size=7), 1.2),
    "structure_tensor": (lambda s: cj.structure_tensor(image(), s, size=7), 1.2),
    "difference_of_gaussians": (lambda s: cj.difference_of_gaussians(image(), s, size=7), 1.2),
}


def image():
    return jnp.asarray(random_numbers(0, (9, 8), "float64"))


@pytest.mark.parametrize("name", GIVEN)
def test_numbers_of_a_kernel_have_derivatives(x64, name):
    function, number = GIVEN[name]
    given = jnp.asarray(number, jnp.float64)
    check_grads(
        jax.jit(function), (given,), order=1, modes=("fwd", "rev"), eps=1e-5, atol=1e-6, rtol=1e-5
    )
