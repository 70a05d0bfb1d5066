import math
from fractions import Fraction

import findiff
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conv_jax import corr2d, kernels


def exact(order, accuracy=2, **options):
    return list(kernels.finite_difference(order, accuracy, axis=1, exact=True, **options)[0])


def fractions(coefficients):
    return [Fraction(int(c.p), int(c.q)) for c in coefficients]


def spread(coefficients, offsets):
    """Put coefficients at their offsets, with 0 between."""
    return [
        dict(zip(offsets, coefficients, strict=True)).get(o, Fraction(0))
        for o in range(min(offsets), max(offsets) + 1)
    ]


@pytest.mark.parametrize("where", ["central", "forward", "backward"])
@pytest.mark.parametrize("accuracy", [2, 4, 6])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_finite_difference_equals_findiffs_table(order, accuracy, where):
    table = findiff.coefficients(order, accuracy, symbolic=True)
    expected = table["center" if where == "central" else where]["coefficients"]

    assert exact(order, accuracy, offsets=where) == fractions(expected)


@pytest.mark.parametrize("offsets", [(0, 1), (-2, 0, 1, 5), (3, -1, 2)], ids=str)
def test_any_offsets_equal_findiffs(offsets):
    expected = findiff.coefficients(1, offsets=sorted(offsets), symbolic=True)["coefficients"]

    assert exact(1, offsets=offsets) == spread(fractions(expected), sorted(offsets))


@pytest.mark.parametrize("order", [1, 2, 5])
@pytest.mark.parametrize("offsets", ["central", "forward", (-3, -2, 0, 1, 4, 6)], ids=str)
def test_moments_are_those_of_the_derivative(order, offsets):
    taps = exact(order, 3, offsets=offsets)
    least = {"central": -(len(taps) // 2), "forward": 0}.get(str(offsets), -3)
    count = sum(tap != 0 for tap in taps)

    moments = [
        sum(tap * (least + j) ** m for j, tap in enumerate(taps)) for m in range(max(order + 1, 3))
    ]

    assert count > order
    assert moments == [math.factorial(order) * (m == order) for m in range(len(moments))]


def test_the_chapters_kernel_is_minus_the_forward_difference():
    forward = kernels.finite_difference(1, 1, axis=1, offsets="forward")

    np.testing.assert_array_equal(-forward, [[1, -1]])


def test_second_derivative_takes_three_taps():
    np.testing.assert_array_equal(kernels.finite_difference(2, axis=1), [[1, -2, 1]])


def test_axis_0_is_a_column():
    row, column = (kernels.finite_difference(3, 4, axis=axis) for axis in (1, 0))

    np.testing.assert_array_equal(column, row.T)


def test_an_odd_central_accuracy_becomes_the_next():
    assert exact(1, 3) == exact(1, 4)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_polynomial_of_degree_4_is_differentiated_at_the_centre(order, axis):
    y, x = np.mgrid[-4:5, -4:5]
    values = (y + 2 * x + 1.0) ** 4
    kernel = kernels.finite_difference(order, 4, axis=axis)

    actual = corr2d(values, kernel, padding="same")[4, 4]

    expected = math.perm(4, order) * (2**order if axis else 1)
    assert abs(actual - expected) <= 10 * 2**-23 * abs(kernel).sum() * values.max()
    assert expected > 100 * 2**-23 * abs(kernel).sum() * values.max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": 0}, "order: expected a whole number of at least 1, got 0"),
        ({"order": 1.5}, "order: expected a whole number of at least 1, got 1.5"),
        ({"order": 1, "accuracy": 0}, "accuracy: expected a whole number of at least 1, got 0"),
        ({"order": 1, "axis": 2}, r"axis: expected 0 \(down\) or 1 \(right\), got 2"),
        ({"order": 2, "offsets": (0, 1)}, "offsets: expected at least 3 different whole numbers"),
        ({"order": 1, "offsets": (1, 1, 2)}, r"different whole numbers .* got \(1, 1, 2\)"),
        ({"order": 1, "offsets": (0.5, 1)}, r"different whole numbers .* got \(0.5, 1\)"),
        ({"order": 1, "offsets": (0, 10**9)}, "offsets: expected a span of fewer than 10000"),
        ({"order": 1, "offsets": "centred"}, "offsets: expected 'central', .* got 'centred'"),
    ],
)
def test_a_mistake_in_a_finite_difference_is_named(unchecked, options, message):
    with pytest.raises(ValueError, match=message):
        kernels.finite_difference(**({"axis": 1} | options))


@pytest.mark.parametrize("isotropic", [False, True])
@pytest.mark.parametrize("vector", [(0, 1), (1, 0), (3, 4), (-1, 2)], ids=str)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_directional_derivative_differentiates_along_the_vector(vector, order, isotropic):
    kernel = kernels.directional_derivative(vector, order, isotropic=isotropic)
    analysis = kernels.analyze(kernel)
    length = math.hypot(*vector)
    sign = -1 if order % 2 == 0 and vector[0] < 0 else 1  # given as downwards

    assert analysis.derivative_order == order
    assert analysis.gain == pytest.approx(length**order, rel=1e-5)
    np.testing.assert_allclose(analysis.direction, sign * np.array(vector) / length, atol=1e-5)


def leading_error(kernel, angle, frequency=0.05):
    """Return 1 - answer / (i |w|) for a wave along the angle, over |w|^2."""
    w = 2 * math.pi * frequency * np.array([math.sin(angle), math.cos(angle)])
    half = len(kernel) // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    answer = np.sum(np.float64(kernel) * np.exp(1j * (w[0] * y + w[1] * x)))
    return (1 - answer / (1j * np.linalg.norm(w))).real / (w @ w)


@pytest.mark.parametrize("angle", [0, 0.3, math.pi / 4, 1.2])
def test_leading_error_of_the_isotropic_derivative_is_the_same_in_all_directions(angle):
    kernel = kernels.directional_derivative((math.sin(angle), math.cos(angle)), isotropic=True)

    assert leading_error(kernel, angle) == pytest.approx(1 / 6, abs=2e-3)


def test_without_smoothing_the_error_depends_on_the_direction():
    errors = [
        leading_error(kernels.directional_derivative((math.sin(a), math.cos(a))), a)
        for a in (0, math.pi / 4)
    ]

    np.testing.assert_allclose(errors, [1 / 6, 1 / 12], atol=2e-3)


@pytest.mark.parametrize("vector", [(0, 1), (1, 0), (1, 1), (2, -1)], ids=str)
def test_edge_answers_to_edges_orthogonal_to_the_vector_alone(vector):
    y, x = np.mgrid[:9, :9]
    along, across = vector[0] * y + vector[1] * x, vector[1] * y - vector[0] * x
    kernel = kernels.edge(vector)

    orthogonal = corr2d(np.float32(along), kernel)
    parallel = corr2d(np.float32(across), kernel)

    np.testing.assert_allclose(orthogonal, math.hypot(*vector), rtol=1e-5)
    np.testing.assert_allclose(parallel, 0, atol=1e-5)


def test_edge_does_not_depend_on_the_length_of_the_vector():
    np.testing.assert_allclose(kernels.edge((3, 4)), kernels.edge((0.6, 0.8)), rtol=1e-6)


@pytest.mark.parametrize("function", [kernels.directional_derivative, kernels.edge])
@pytest.mark.parametrize(
    "vector", [(0, 0), (0.0, math.nan), (1, 2, 3), [1], 5], ids=["zero", "nan", "three", "one", "5"]
)
def test_a_mistake_in_a_vector_is_named(unchecked, function, vector):
    with pytest.raises(ValueError, match=r"vector: expected two .*\(down, right\).* got "):
        function(vector)


def test_edge_is_differentiable_in_the_vector():
    def answer(angle):
        kernel = kernels.edge(jnp.stack([jnp.sin(angle), jnp.cos(angle)]))
        return (kernel * jnp.arange(9.0).reshape(3, 3)).sum()  # a ramp of slopes 3 and 1

    value, slope = jax.jit(jax.value_and_grad(answer))(0.7)

    assert value == pytest.approx(3 * math.sin(0.7) + math.cos(0.7), rel=1e-5)
    assert slope == pytest.approx(3 * math.cos(0.7) - math.sin(0.7), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
        ({"neighbours": 8}, [[1, 1, 1], [1, -8, 1], [1, 1, 1]]),
        ({"neighbours": 8, "normalized": True}, np.array([[1, 1, 1], [1, -8, 1], [1, 1, 1]]) / 3),
    ],
    ids=["4", "8", "8_normalized"],
)
def test_laplacian(options, expected):
    np.testing.assert_array_equal(kernels.laplacian(**options), np.float32(expected))


def test_laplacian_is_the_sum_of_second_differences():
    row, column = (kernels.finite_difference(2, 4, axis=axis) for axis in (1, 0))
    expected = np.zeros((5, 5), np.float32)
    expected[2] += row[0]
    expected[:, 2] += column[:, 0]

    np.testing.assert_array_equal(kernels.laplacian(accuracy=4), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neighbours": 6}, "neighbours: expected 4 or 8, got 6"),
        ({"neighbours": 8, "accuracy": 4}, "accuracy: expected 2 with 8 neighbours, got 4"),
    ],
)
def test_a_mistake_in_a_laplacian_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        kernels.laplacian(**options)
