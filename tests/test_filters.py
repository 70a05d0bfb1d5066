import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import compiled, random_numbers
from jax.test_util import check_grads
from scipy import ndimage
from skimage import feature
from skimage import filters as skimage_filters

import conv_jax as cj
from conv_jax import data

SCIPY_MODES = {
    "symmetric": "reflect",
    "reflect": "mirror",
    "edge": "nearest",
    "wrap": "wrap",
    "constant": "constant",
}
every_boundary = pytest.mark.parametrize("boundary", SCIPY_MODES)
NOISE = random_numbers(0, (17, 23), "float32")
# Two passes of at most 25 taps that sum to 1: 2 * 25 + 4 roundings of the largest value.
NEAR = {"rtol": 0, "atol": 54 * 2**-23 * float(abs(NOISE).max())}


@pytest.fixture(scope="module")
def photograph():
    return data.photograph()[100:260, 150:330]


@every_boundary
def test_gaussian_blur_is_scipys(boundary):
    actual = compiled(cj.gaussian_blur, sigma=(1.0, 3.0), boundary=boundary)(NOISE)

    expected = ndimage.gaussian_filter(np.float64(NOISE), (1.0, 3.0), mode=SCIPY_MODES[boundary])
    np.testing.assert_allclose(actual, expected, **NEAR)


def test_gaussian_blur_of_constant_surroundings():
    actual = cj.gaussian_blur(NOISE, 2.0, boundary="constant", fill_value=5.0)

    expected = ndimage.gaussian_filter(np.float64(NOISE), 2.0, mode="constant", cval=5.0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("sigma", "truncate"), [(0.6, 4.0), (1.7, 1.0)])
def test_gaussian_blur_is_truncated_as_scipys(sigma, truncate):
    actual = cj.gaussian_blur(NOISE, sigma, truncate=truncate)

    expected = ndimage.gaussian_filter(np.float64(NOISE), sigma, truncate=truncate)
    np.testing.assert_allclose(actual, expected, **NEAR)


@pytest.mark.parametrize("boundary", ["symmetric", "constant"])
def test_sobel_magnitude_is_scikit_images(boundary):
    actual = compiled(cj.sobel_magnitude, boundary=boundary)(NOISE)

    expected = skimage_filters.sobel(np.float64(NOISE), mode=SCIPY_MODES[boundary])
    np.testing.assert_allclose(actual, expected, **NEAR)


@pytest.mark.parametrize("boundary", ["symmetric", "edge"])
def test_difference_of_gaussians_is_scikit_images(boundary):
    actual = compiled(cj.difference_of_gaussians, sigma=1.2, boundary=boundary)(NOISE)

    expected = skimage_filters.difference_of_gaussians(
        np.float64(NOISE), 1.2, mode=SCIPY_MODES[boundary]
    )
    np.testing.assert_allclose(actual, expected, **NEAR)


@pytest.mark.parametrize("boundary", ["symmetric", "wrap"])
def test_structure_tensor_is_a_64th_of_scikit_images(boundary):
    actual = compiled(cj.structure_tensor, sigma=1.5, boundary=boundary)(NOISE)

    down, both, right = feature.structure_tensor(
        np.float64(NOISE), sigma=1.5, mode=SCIPY_MODES[boundary]
    )
    expected = np.stack([np.stack([down, both], -1), np.stack([both, right], -1)], -2) / 64
    np.testing.assert_allclose(actual, expected, **NEAR)


def test_gradient_inside_is_numpys():
    actual = np.asarray(cj.gradient(NOISE))

    expected = np.stack(np.gradient(np.float64(NOISE)))
    np.testing.assert_allclose(actual[0, 1:-1], expected[0, 1:-1], **NEAR)
    np.testing.assert_allclose(actual[1, :, 1:-1], expected[1, :, 1:-1], **NEAR)


@pytest.mark.parametrize("options", [{"kernel": k} for k in ("central", "sobel", "farid")], ids=str)
def test_gradient_of_a_ramp_is_its_slope(options):
    y, x = np.mgrid[:12, :13]
    slopes = np.asarray(cj.gradient(np.float32(3 * y - 2 * x), **options))[:, 2:-2, 2:-2]

    np.testing.assert_allclose(slopes[0], 3, rtol=1e-5)
    np.testing.assert_allclose(slopes[1], -2, rtol=1e-5)


def test_gradient_at_a_scale_is_that_of_the_blurred_image():
    """Both are exact for parabolas, away from the boundary."""
    y, x = np.mgrid[-15:16, -15:16]
    slopes = np.asarray(cj.gradient(np.float32(y * y / 8 - x * y), sigma=1.5))[:, 7:-7, 7:-7]

    np.testing.assert_allclose(slopes[0], (y / 4 - x)[7:-7, 7:-7], atol=1e-4)
    np.testing.assert_allclose(slopes[1], -y[7:-7, 7:-7], atol=1e-4)


@pytest.mark.parametrize("angle", [0.2, 1.0, 2.0])
def test_structure_tensor_points_across_the_stripes(angle):
    y, x = np.mgrid[:40, :40]
    stripes = np.sin(0.5 * (math.sin(angle) * y + math.cos(angle) * x)).astype(np.float32)

    values, vectors = jnp.linalg.eigh(cj.structure_tensor(stripes, 4.0, kernel="farid")[20, 20])

    assert values[0] < 0.01 * values[1]
    across = abs(vectors[:, 1] @ np.float32([math.sin(angle), math.cos(angle)]))
    assert across == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("sigma", "low", "high", "boundary"),
    [(1.0, 0.05, 0.6, "symmetric"), (2.0, 0.1, 0.2, "wrap"), (2.0, 0.1, 0.2, "edge")],
)
def test_canny_is_scikit_images_pixel_for_pixel(photograph, sigma, low, high, boundary):
    options = {"sigma": sigma, "low": low, "high": high, "boundary": boundary}
    actual = compiled(cj.canny, **options)(photograph)

    mode = SCIPY_MODES[boundary]
    expected = feature.canny(photograph, sigma, low_threshold=low, high_threshold=high, mode=mode)
    np.testing.assert_array_equal(actual, expected)
    assert 0.01 < expected.mean() < 0.3


def test_canny_follows_a_faint_edge_from_a_strong_one():
    """A step that is high on the left alone, above which the edge begins."""
    strength = np.linspace(1, 0.06, 60, dtype=np.float32)
    image = np.where(np.arange(30)[:, None] < 15, 0, strength[None])
    detect = compiled(cj.canny, sigma=1.0, low=0.1, high=1.5)

    edges = np.asarray(detect(image))
    faint = np.asarray(detect(np.where(np.arange(60)[None] < 40, image[:, 40:41], image)))

    assert edges[14:16, 2:-2].any(axis=0).all()
    assert not faint.any()


FILTERS = {
    "gaussian_blur": lambda x: cj.gaussian_blur(x, 1.0),
    "difference_of_gaussians": lambda x: cj.difference_of_gaussians(x, 1.0),
    "gradient": cj.gradient,
    "sobel_magnitude": cj.sobel_magnitude,
    "structure_tensor": lambda x: cj.structure_tensor(x, 1.0),
}
COMPILED = {name: jax.jit(function) for name, function in FILTERS.items()}
every_filter = pytest.mark.parametrize("name", FILTERS)


@every_filter
def test_derivatives_are_right(name):
    with jax.enable_x64(True):
        image = jnp.asarray(random_numbers(1, (5, 6), "float64"))
        check_grads(COMPILED[name], (image,), order=1, modes=("fwd", "rev"), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("height", ["largest", "smallest"])
def test_magnitude_neither_overflows_nor_vanishes(dtype, height):
    limits = jnp.finfo(dtype)
    # An eighth of the step is the smallest product, and must not be subnormal: XLA flushes that.
    value = float(limits.max) / 16 if height == "largest" else float(limits.tiny) * 8
    step = jnp.where(jnp.arange(6)[None] < 3, 0, jnp.full((5, 1), value)).astype(dtype)

    answer = cj.sobel_magnitude(step)

    assert answer.dtype == dtype
    np.testing.assert_allclose(answer[2, 2:4] / value, math.sqrt(0.5), rtol=2e-3)


def test_images_of_float32_are_filtered_in_float32_under_x64(x64):
    program = jax.make_jaxpr(FILTERS["structure_tensor"])(jnp.asarray(NOISE))

    assert program.out_avals[0].dtype == np.float32
    assert "f64[17,23]" not in str(program)


def test_slopes_and_edges_are_compiled_for_any_sigma():
    slope = jax.jit(lambda sigma: cj.gradient(NOISE, sigma=sigma, size=9))(1.1)
    edges = jax.jit(lambda sigma: cj.canny(NOISE, sigma, size=9))(1.1)

    np.testing.assert_allclose(slope, cj.gradient(NOISE, sigma=1.1, size=9), atol=1e-5)
    assert edges.any()


def test_difference_of_gaussians_takes_two_sigmas():
    actual = cj.difference_of_gaussians(NOISE, (1.0, 2.0), ratio=2.0)

    narrow, wide = (ndimage.gaussian_filter(np.float64(NOISE), s) for s in ((1, 2), (2, 4)))
    np.testing.assert_allclose(actual, narrow - wide, **NEAR)


def test_derivative_of_the_magnitude_is_0_where_there_is_no_edge():
    slope = jax.grad(lambda x: cj.sobel_magnitude(x).sum())(jnp.ones((4, 5)))

    np.testing.assert_array_equal(slope, 0)


def test_blur_is_differentiable_in_sigma():
    def energy(sigma, image):
        return (cj.gaussian_blur(image, sigma, size=13) ** 2).sum()

    slope = jax.jit(jax.grad(energy))(1.4, NOISE)

    with jax.enable_x64(True):
        ahead, behind = (energy(1.4 + step, np.float64(NOISE)) for step in (1e-5, -1e-5))
    assert slope == pytest.approx(float(ahead - behind) / 2e-5, rel=1e-4)
    assert slope < -1


@every_filter
@pytest.mark.parametrize("dtype", ["bfloat16", "uint8"])
def test_floats_keep_their_type_and_others_become_float(name, dtype):
    image = jnp.asarray(abs(NOISE[:6, :7]) > 0.5, dtype=dtype)

    actual = COMPILED[name](image)

    assert actual.dtype == (dtype if dtype == "bfloat16" else "float32")
    expected = COMPILED[name](image.astype("float32"))
    tolerance = 2**-7 if dtype == "bfloat16" else 1e-6
    np.testing.assert_allclose(np.float32(actual), expected, rtol=tolerance, atol=4 * tolerance)


@every_filter
def test_batches_are_filtered_one_by_one(name):
    images = random_numbers(2, (2, 3, 6, 7), "float32")

    actual = COMPILED[name](images)

    assert actual.shape[:2] == (2, 3)
    np.testing.assert_allclose(actual[1, 2], COMPILED[name](images[1, 2]), atol=1e-5)


def test_booleans_are_filtered():
    image = NOISE > 0

    np.testing.assert_array_equal(cj.gradient(image), cj.gradient(image.astype(np.float32)))


def test_canny_of_a_batch():
    images = random_numbers(2, (2, 12, 13), "float32")

    detect = compiled(cj.canny, sigma=1.0)

    actual = detect(images)

    assert actual.any()
    np.testing.assert_array_equal(actual[1], detect(images[1]))


def test_channels_last_by_vmap():
    images = random_numbers(3, (6, 7, 3), "float32")

    actual = jax.vmap(FILTERS["gaussian_blur"], in_axes=-1, out_axes=-1)(images)

    np.testing.assert_allclose(actual[..., 1], cj.gaussian_blur(images[..., 1], 1.0), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cj.gaussian_blur(NOISE, 0), "sigma: expected a finite number above 0, .* got 0"),
        (lambda: cj.gaussian_blur(NOISE, 1.0, size=4), "size: expected odd sizes, .* got 4"),
        (lambda: cj.gaussian_blur(NOISE[0], 1.0), r"image: expected a shape .* got \(23,\)"),
        (lambda: cj.gaussian_blur(NOISE, 1.0, boundary="mirror"), "boundary: expected one of"),
        (lambda: jax.jit(cj.gaussian_blur)(NOISE, 1.0), "size: expected two integers, .* traced"),
        (lambda: cj.difference_of_gaussians(NOISE, 1.0, ratio=1), "ratio: expected .* above 1"),
        (lambda: cj.gradient(NOISE, kernel="sobol"), "kernel: expected .* did you mean 'sobel'"),
        (lambda: cj.gradient(NOISE, size=3), "size: expected none without a sigma, got 3"),
        (lambda: cj.gradient(NOISE, kernel=np.ones((3, 3))), "kernel: expected one of 'central'"),
        (lambda: cj.structure_tensor(1j * NOISE, 1.0), "image: expected real numbers, got complex"),
        (lambda: cj.gradient(NOISE, kernel="sobel", sigma=1.0), "kernel: expected none beside a"),
        (lambda: cj.canny(NOISE, 1.0, low=0.3, high=0.1), "high: expected .* 0.3, got 0.1"),
        (lambda: cj.difference_of_gaussians(NOISE, 1.0, ratio=math.inf), "ratio: expected .* inf"),
        (lambda: cj.canny(np.uint8([[1]]), 1.0), "image: expected floats, .* got uint8; scale it"),
        (lambda: cj.canny(NOISE, 1.0, low=np.float32(0.5)), "high: expected .* 0.5, got 0.2"),
        (lambda: cj.canny(NOISE, -1.0), "sigma: expected a finite number above 0, .* got -1.0"),
    ],
)
def test_a_mistake_is_named(unchecked, call, message):
    with pytest.raises(ValueError, match=message):
        call()
