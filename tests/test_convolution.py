"""conv_general_dilated against its definition and lax: derivatives, batches, loops, Flax.

Whole numbers in 64 bits are exact whatever the order of summing, so results are equal.
"""

import functools
import re

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from cases import small_integers
from flax import linen, nnx
from jax import lax
from layer_oracle import layer

import conv_jax as cj
from conv_jax.multichannel import choose
from conv_jax.multichannel.choose import Form
from experiments.benchmarks.layer_cases import CONVOLUTIONS

LAYOUT = ("NHWC", "HWIO", "NHWC")


def shrunk(case):
    """Return a case of the same kind with fewer places, elements and channels."""
    groups = 1 if case.groups == 1 else 2
    inner, outer = (min(3, c // case.groups) * groups for c in case.channels)
    kernel = tuple(min(k, 5) for k in case.kernel)
    sizes = tuple(
        min(n, max(k * case.kernel_dilation, 5)) for n, k in zip(case.sizes, kernel, strict=True)
    )
    return case._replace(
        name="", sizes=sizes, kernel=kernel, channels=(inner, outer), groups=groups
    )


# Of layers that differ in sizes alone, the first.
SHRUNK = {}
for _name, _case in CONVOLUTIONS.items():
    SHRUNK.setdefault(shrunk(_case), _name)
A_LAYER_OF_EACH_KIND = [
    "1x1 s2 20->20 @14",
    "3x3 s1 1->20 @32",
    "3x3 s2 20->20 @14",
    "3x3 dilation 2 32->32 @28",
    "3x3 s2 2 groups 64->64 @28",
    "3x3 s2 depthwise 64 @28",
    "1-D 9 s2 64->64 @256",
    "3-D 3x3x3 s2 8->16 @12",
    "3x3 transposed 2 64->32 @14",
]


def arrays(case, *, dtype="float64", batch=2):
    """Return lhs, rhs, a tangent of each and a cotangent."""
    shapes = case.shapes(batch)
    out = layer(*shapes, **case.options()).value(*map(np.zeros, shapes))
    shapes = (*shapes, *shapes, out.shape)
    return [jnp.asarray(small_integers(seed, shape, dtype)) for seed, shape in enumerate(shapes)]


def half_of_squares(conv):
    return lambda lhs, rhs: jnp.sum(conv(lhs, rhs) ** 2) / 2


def assert_all_equal(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


def gradients_of_squares(case, lhs, rhs):
    """Return the value and the gradients of `half_of_squares`."""
    out = case.value(lhs, rhs)
    return np.sum(out**2) / 2, (case.by_lhs(rhs, out), case.by_rhs(lhs, out))


def second_derivatives(case, lhs, rhs, lhs_tangent, rhs_tangent):
    """Return how the gradients of `half_of_squares` change along the tangents."""
    out = case.value(lhs, rhs)
    change = case.value(lhs_tangent, rhs) + case.value(lhs, rhs_tangent)
    return (
        case.by_lhs(rhs, change) + case.by_lhs(rhs_tangent, out),
        case.by_rhs(lhs, change) + case.by_rhs(lhs_tangent, out),
    )


@pytest.mark.parametrize("case", SHRUNK, ids=SHRUNK.get)
def test_value_and_derivatives_are_those_of_the_definition(case, x64):
    conv = functools.partial(cj.conv_general_dilated, **case.options())
    lhs, rhs, *tangents, cotangent = arrays(case)

    @jax.jit
    def derivatives(lhs, rhs, tangents, cotangent):
        value, change = jax.jvp(conv, (lhs, rhs), tangents)
        return value, change, jax.vjp(conv, lhs, rhs)[1](cotangent)

    actual = derivatives(lhs, rhs, tuple(tangents), cotangent)

    oracle = layer(*case.shapes(2), **case.options())
    expected = (
        oracle.value(lhs, rhs),
        oracle.value(tangents[0], rhs) + oracle.value(lhs, tangents[1]),
        (oracle.by_lhs(rhs, cotangent), oracle.by_rhs(lhs, cotangent)),
    )
    assert_all_equal(actual, expected)


def forward_over_reverse(gradient, point, tangents):
    return jax.jvp(gradient, point, tangents)[1]


def reverse_over_reverse(gradient, point, tangents):
    return jax.grad(lambda *at: sum(map(jnp.vdot, gradient(*at), tangents)), (0, 1))(*point)


@pytest.mark.parametrize("second", [forward_over_reverse, reverse_over_reverse])
@pytest.mark.parametrize("name", A_LAYER_OF_EACH_KIND)
def test_second_derivatives_are_those_of_the_definition(name, second, x64):
    case = shrunk(CONVOLUTIONS[name])
    conv = functools.partial(cj.conv_general_dilated, **case.options())
    lhs, rhs, *tangents, _ = arrays(case)
    gradient = jax.grad(half_of_squares(conv), (0, 1))

    actual = jax.jit(functools.partial(second, gradient))((lhs, rhs), tuple(tangents))

    oracle = layer(*case.shapes(2), **case.options())
    assert_all_equal(actual, second_derivatives(oracle, lhs, rhs, *tangents))


FORMS = {
    f"tile{tile}_{rows}": Form("banded", tile, rows)
    for tile in (1, 3)
    for rows in ("joined", "scattered")
} | {"native": Form("native")}
ODD = {
    "uneven": ((2, 7, 9, 3), (3, 2, 3, 4), {"padding": ((1, 2), (0, 3))}),
    "strided": ((2, 9, 8, 2), (2, 3, 2, 3), {"window_strides": (2, 3), "padding": "SAME"}),
    "dilated": ((1, 9, 9, 2), (2, 3, 2, 3), {"rhs_dilation": (3, 2), "padding": "SAME_LOWER"}),
    "cut": ((2, 9, 8, 2), (3, 3, 2, 3), {"padding": ((-1, 2), (1, -3))}),
    "grouped": ((2, 6, 7, 6), (3, 3, 2, 9), {"padding": "VALID", "feature_group_count": 3}),
    "transposed": ((2, 4, 5, 3), (3, 4, 3, 2), {"lhs_dilation": (2, 3), "padding": ((2, 1),) * 2}),
    "all": (
        (2, 7, 6, 4),
        (2, 3, 2, 6),
        {
            "window_strides": (2, 1),
            "lhs_dilation": (1, 3),
            "rhs_dilation": (2, 2),
            "padding": ((3, 0), (-1, 4)),
            "feature_group_count": 2,
        },
    ),
    "large_kernel": ((3, 6, 7, 2), (6, 6, 2, 3), {"padding": "VALID"}),
    "kernel_of_one": ((3, 6, 7, 2), (1, 1, 2, 3), {"window_strides": (2, 3), "padding": "SAME"}),
    "one_output": ((3, 6, 2, 2), (3, 2, 2, 3), {"padding": "VALID"}),
    "line": (
        (2, 9, 2),
        (3, 2, 3),
        {
            "window_strides": (2,),
            "padding": ((1, 2),),
            "dimension_numbers": ("NWC", "WIO", "NWC"),
        },
    ),
    "volume": (
        (2, 5, 4, 6, 2),
        (2, 3, 2, 2, 3),
        {
            "window_strides": (1, 1, 1),
            "padding": "SAME",
            "dimension_numbers": ("NDHWC", "DHWIO", "NDHWC"),
        },
    ),
    "padded_kernel_of_one": ((3, 4, 5, 2), (1, 1, 2, 3), {"padding": ((2, 1), (0, 3))}),
}


def odd_call(odd, dtype="float64"):
    """Return lhs, rhs and the other arguments."""
    *shapes, options = odd
    lhs, rhs = (jnp.asarray(small_integers(seed, s, dtype)) for seed, s in enumerate(shapes))
    return lhs, rhs, {"window_strides": (1, 1), "dimension_numbers": LAYOUT} | options


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_the_definition_is_that_of_lax(odd):
    lhs, rhs, options = odd_call(odd, "float32")

    expected = lax.conv_general_dilated(lhs, rhs, **options)

    actual = layer(lhs.shape, rhs.shape, **options).value(lhs, rhs)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_every_form_gives_value_and_gradients(odd, form, x64, monkeypatch):
    lhs, rhs, options = odd_call(odd)

    def pick(problem, *, gradient):
        del gradient
        return form if problem.is_dense else form._replace(rows="joined")

    monkeypatch.setattr(choose, "choose", pick)

    conv = functools.partial(cj.conv_general_dilated, **options)
    actual = jax.jit(jax.value_and_grad(half_of_squares(conv), (0, 1)))(lhs, rhs)

    oracle = layer(lhs.shape, rhs.shape, **options)
    assert_all_equal(actual, gradients_of_squares(oracle, lhs, rhs))


@pytest.mark.parametrize("form", [Form("native"), Form("depthwise")], ids=lambda form: form.name)
@pytest.mark.parametrize(
    ("channels", "options"),
    [
        (4, {"padding": ((1, 2), (0, 3))}),
        (8, {"window_strides": (2, 3), "rhs_dilation": (1, 2), "padding": "SAME"}),
        (4, {"lhs_dilation": (2, 1), "padding": ((1, 2), (-1, 2))}),
    ],
    ids=["plain", "multiplied", "transposed"],
)
def test_depthwise_forms_give_value_and_gradients(channels, options, form, x64, monkeypatch):
    lhs = jnp.asarray(small_integers(0, (2, 9, 8, 4), "float64"))
    rhs = jnp.asarray(small_integers(1, (3, 2, 1, channels), "float64"))
    options = {
        "window_strides": (1, 1),
        "dimension_numbers": LAYOUT,
        "feature_group_count": 4,
    } | options
    monkeypatch.setattr(choose, "choose", lambda _, *, gradient: form)

    conv = functools.partial(cj.conv_general_dilated, **options)
    actual = jax.jit(jax.value_and_grad(half_of_squares(conv), (0, 1)))(lhs, rhs)

    oracle = layer(lhs.shape, rhs.shape, **options)
    assert_all_equal(actual, gradients_of_squares(oracle, lhs, rhs))


@pytest.mark.parametrize(
    "layout",
    [
        None,
        ("NCHW", "OIHW", "NCHW"),
        ("NHWC", "OIHW", "NCHW"),
        ("HWNC", "IHWO", "CNHW"),
        lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2)),
    ],
    ids=["default", "channels_first", "mixed", "odd", "numbers"],
)
def test_every_order_of_axes(layout):
    numbers = lax.conv_dimension_numbers((1,) * 4, (1,) * 4, layout)
    sizes = {"lhs": (2, 3, 7, 6), "rhs": (4, 3, 2, 3)}  # batch or out, channel or in, places
    lhs = np.empty(np.take(sizes["lhs"], np.argsort(numbers.lhs_spec)))
    rhs = np.empty(np.take(sizes["rhs"], np.argsort(numbers.rhs_spec)))
    lhs, rhs = (small_integers(seed, x.shape) for seed, x in enumerate((lhs, rhs)))
    options = {"window_strides": (1, 2), "padding": "SAME", "dimension_numbers": layout}

    actual = cj.conv_general_dilated(lhs, rhs, **options)

    np.testing.assert_array_equal(actual, lax.conv_general_dilated(lhs, rhs, **options))


@pytest.mark.parametrize("in_axes", [(0, None), (None, 1), (0, 2), (3, 3)], ids=str)
@pytest.mark.parametrize("groups", [1, 2, 4], ids="groups{}".format)
def test_vmap(in_axes, groups, x64):
    case = CONVOLUTIONS["3x3 s2 20->20 @14"]._replace(sizes=(6, 5), channels=(4, 4), groups=groups)
    conv = functools.partial(cj.conv_general_dilated, **case.options())
    oracle = layer(*case.shapes(2), **case.options())
    shapes = [
        shape if axis is None else (*shape[:axis], 3, *shape[axis:])
        for shape, axis in zip(case.shapes(2), in_axes, strict=True)
    ]
    given = [small_integers(seed, shape, "float64") for seed, shape in enumerate(shapes)]

    @jax.jit
    def gradients(lhs, rhs):
        return jax.value_and_grad(half_of_squares(jax.vmap(conv, in_axes)), (0, 1))(lhs, rhs)

    value, actual = gradients(*given)

    each = [
        gradients_of_squares(
            oracle,
            *(x if a is None else np.take(x, i, a) for x, a in zip(given, in_axes, strict=True)),
        )
        for i in range(3)
    ]
    assert value == sum(value for value, _ in each)
    for argument, axis in enumerate(in_axes):
        expected = [gradients[argument] for _, gradients in each]
        expected = np.sum(expected, 0) if axis is None else np.stack(expected, axis)
        np.testing.assert_array_equal(actual[argument], expected)


def test_export_with_a_symbolic_batch():
    rhs = jnp.ones((3, 3, 2, 4))
    (batch,) = jax.export.symbolic_shape("batch")
    lhs = jax.ShapeDtypeStruct((batch, 8, 8, 2), "float32")

    def conv(lhs):
        return cj.conv_general_dilated(lhs, rhs, (1, 1), "SAME", dimension_numbers=LAYOUT)

    exported = jax.export.export(jax.jit(conv))(lhs)

    given = jnp.ones((3, 8, 8, 2))
    np.testing.assert_array_equal(exported.call(given), conv(given))


@pytest.mark.parametrize("in_axes", [(0, None), (None, 0), (0, 0)])
def test_vmap_over_nothing(in_axes):
    lhs, rhs = jnp.zeros((2, 5, 5, 3)), jnp.zeros((3, 3, 3, 4))
    given = [
        x if axis is None else jnp.zeros((0, *x.shape))
        for x, axis in zip((lhs, rhs), in_axes, strict=True)
    ]
    conv = functools.partial(
        cj.conv_general_dilated,
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=LAYOUT,
    )

    assert jax.jit(jax.vmap(conv, in_axes))(*given).shape == (0, 2, 5, 5, 4)


def test_a_result_is_weakly_typed_only_if_both_arguments_are():
    weak = jnp.full((1, 3, 3, 1), 1.0)
    options = {"padding": "SAME", "dimension_numbers": LAYOUT}

    mixed = cj.conv_general_dilated(weak, jnp.ones((3, 3, 1, 1), "float32"), (1, 1), **options)
    both = cj.conv_general_dilated(weak, jnp.full((3, 3, 1, 1), 1.0), (1, 1), **options)

    assert weak.weak_type
    assert both.weak_type
    assert not mixed.weak_type


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_infinity_reaches_outputs_of_its_tile_alone(form, monkeypatch):
    monkeypatch.setattr(choose, "choose", lambda problem, *, gradient: form)
    lhs = jnp.ones((1, 9, 30, 2)).at[0, 4, 12, 0].set(jnp.inf)
    options = {"padding": "SAME", "dimension_numbers": LAYOUT}

    out = cj.conv_general_dilated(lhs, jnp.ones((3, 5, 2, 3)), (1, 1), **options)

    finite = np.isfinite(out[0]).all(-1)
    near = np.zeros((9, 30), bool)
    reach = 2 + form.tile - 1
    near[3:6, 12 - reach : 12 + reach + 1] = True
    assert not finite[3:6, 10:15].any()
    assert finite[~near].all()


def test_vmap_twice_and_of_gradients(x64):
    case = CONVOLUTIONS["3x3 s1 1->20 @32"]._replace(sizes=(5, 6), channels=(2, 3))
    lhs_shape, rhs_shape = case.shapes(2)
    lhs = jnp.asarray(small_integers(0, (2, *lhs_shape, 3), "float64"))
    rhs = jnp.asarray(small_integers(1, (2, *rhs_shape), "float64"))

    def gradients(conv):
        def squares(lhs, rhs):
            return jnp.sum(conv(lhs, rhs, **case.options()) ** 2)

        inner = jax.vmap(jax.grad(squares, (0, 1)), in_axes=(-1, None))
        return jax.jit(jax.vmap(inner))

    actual = gradients(cj.conv_general_dilated)(lhs, rhs)

    assert_all_equal(actual, gradients(lax.conv_general_dilated)(lhs, rhs))


def test_jacobians(x64):
    case = CONVOLUTIONS["3x3 transposed 2 64->32 @14"]._replace(sizes=(3, 2), channels=(2, 1))
    given = arrays(case)[:2]

    def jacobians(conv):
        conv = functools.partial(conv, **case.options())
        return jax.jit(lambda *a: (jax.jacfwd(conv, (0, 1))(*a), jax.jacrev(conv, (0, 1))(*a)))

    actual = jacobians(cj.conv_general_dilated)(*given)

    assert_all_equal(actual, jacobians(lax.conv_general_dilated)(*given))


def test_scan_and_remat(x64):
    case = CONVOLUTIONS["3x3 s1 64->64 @28"]._replace(sizes=(5, 4), channels=(2, 2))
    lhs, rhs, *_ = arrays(case)

    def gradients(conv, *, unrolled):
        conv = jax.checkpoint(functools.partial(conv, **case.options()))

        def squares(lhs, rhs):
            out, _ = lax.scan(lambda x, _: (conv(x, rhs) % 7, None), lhs, length=3, unroll=unrolled)
            return jnp.sum(out**2)

        return jax.jit(jax.value_and_grad(squares, (0, 1)))(lhs, rhs)

    actual = gradients(cj.conv_general_dilated, unrolled=False)

    assert_all_equal(actual, gradients(lax.conv_general_dilated, unrolled=True))


def test_eager_equals_jitted():
    case = shrunk(CONVOLUTIONS["5x5 s1 20->20 @14"])
    lhs, rhs, *_ = arrays(case, dtype="float32")
    conv = functools.partial(cj.conv_general_dilated, **case.options())

    with jax.disable_jit():
        eager = conv(lhs, rhs)

    np.testing.assert_array_equal(eager, jax.jit(conv)(lhs, rhs))
    np.testing.assert_array_equal(conv(lhs, rhs), jax.jit(conv)(lhs, rhs))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("preferred", [None, "float32"])
def test_narrow_floats_are_summed_in_float32(dtype, preferred):
    lhs, rhs = jnp.full((1, 4, 4, 8), 1.0, dtype), jnp.full((3, 3, 8, 2), 1 / 64, dtype)
    lhs = lhs.at[0, 0, 0, 0].set(4096)  # a narrow sum of 4096 / 64 loses later terms of 1 / 64
    options = {"padding": "VALID", "dimension_numbers": LAYOUT}

    out = cj.conv_general_dilated(lhs, rhs, (1, 1), preferred_element_type=preferred, **options)

    exact = (4096 + 71) / 64
    assert out.dtype == jnp.dtype(preferred or dtype)
    assert out[0, 0, 0, 0] == jnp.asarray(exact, out.dtype)
    gradient = jax.grad(
        lambda rhs: (
            cj.conv_general_dilated(lhs, rhs, (1, 1), preferred_element_type=preferred, **options)
            .astype("float32")
            .sum()
        )
    )(rhs)
    assert gradient.dtype == rhs.dtype
    assert gradient[0, 0, 0, 0] == jnp.asarray(4096 + 3, rhs.dtype)


OTHERS = {
    "int32": {"dtype": "int32"},
    "complex64": {"dtype": "complex64"},
    "batch_groups": {"batch_group_count": 2},
    "four_axes": {"lhs": (2, 3, 3, 3, 3, 1), "rhs": (2, 2, 2, 2, 1, 2)},
    "no_axes": {"lhs": (3, 2), "rhs": (2, 4)},
    "empty_batch": {"lhs": (0, 5, 5, 2)},
    "no_channels": {"lhs": (2, 5, 5, 0), "rhs": (2, 2, 0, 4)},
    "large_kernel": {"lhs": (2, 1, 5, 2)},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_the_rest_is_that_of_lax(other):
    shapes = {"lhs": (2, 5, 5, 2), "rhs": (2, 2, 2, 4)} | other
    dtype = shapes.pop("dtype", "float32")
    lhs, rhs = (
        jnp.asarray(small_integers(i, shapes.pop(k), dtype)) for i, k in enumerate(("lhs", "rhs"))
    )
    letters = "ABHW"[6 - lhs.ndim :] if lhs.ndim > 2 else ""
    options = {
        "window_strides": (1,) * len(letters),
        "padding": "VALID",
        "dimension_numbers": (f"N{letters}C", f"{letters}IO", f"N{letters}C"),
        **shapes,
    }

    actual = cj.conv_general_dilated(lhs, rhs, **options)

    expected = lax.conv_general_dilated(lhs, rhs, **options)
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(actual, expected)


MISTAKES = {
    "channels": {"rhs": (3, 3, 5, 4)},
    "strides": {"window_strides": (1,)},
    "padding_word": {"padding": "CAUSAL"},
    "padding_pairs": {"padding": ((1, 1),)},
    "groups": {"feature_group_count": 3},
    "axes": {"dimension_numbers": ("NHWC", "HWIO", "NHW")},
    "dtypes": {"dtype": "float16"},
    "preferred": {"preferred_element_type": "int32"},
    "string_padding_of_transposed": {"lhs_dilation": (2, 2), "padding": "SAME"},
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_told_as_lax_tells_them(mistake):
    options = {"window_strides": (1, 1), "padding": "VALID", "dimension_numbers": LAYOUT} | mistake
    rhs = jnp.zeros(options.pop("rhs", (3, 3, 2, 4)), options.pop("dtype", "float32"))
    lhs = jnp.zeros((1, 5, 5, 2))
    with pytest.raises((TypeError, ValueError, RuntimeError)) as by_lax:
        lax.conv_general_dilated(lhs, rhs, **options)

    with pytest.raises(by_lax.type, match=re.escape(str(by_lax.value))):
        cj.conv_general_dilated(lhs, rhs, **options)


LAYERS = {
    "strided": {"strides": 2},
    "circular": {"padding": "CIRCULAR"},
    "reflect": {"padding": "REFLECT"},
    "dilated": {"kernel_dilation": 2},
    "transposed": {"input_dilation": 2, "padding": ((1, 1), (1, 1))},
    "depthwise": {"feature_group_count": 2},
    "half": {"dtype": jnp.bfloat16},
}


@pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("flax", ["nnx", "linen"])
def test_flax_layers_take_it(flax, options):
    x = jax.random.normal(jax.random.key(0), (2, 7, 6, 2))

    def output(**more):
        if flax == "nnx":
            return nnx.Conv(2, 4, (3, 3), rngs=nnx.Rngs(1), **options, **more)(x)
        layer = linen.Conv(4, (3, 3), **options, **more)
        return layer.apply(layer.init(jax.random.key(1), x), x)

    actual = output(conv_general_dilated=cj.conv_general_dilated)

    tolerance = 1e-2 if "dtype" in options else 1e-6  # of bfloat16, rounded once
    np.testing.assert_allclose(actual, output(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("mapped", [False, True], ids=["one_device", "shard_map"])
def test_programs_are_functions_that_xla_keeps_apart(mapped):
    layer = functools.partial(
        cj.conv_general_dilated,
        window_strides=(1, 1),
        padding="VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    if mapped:
        mesh = jax.make_mesh((1,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
        spec = jax.sharding.PartitionSpec("x")
        specs = {"in_specs": (spec, jax.sharding.PartitionSpec()), "out_specs": spec}
        layer = jax.shard_map(layer, mesh=mesh, **specs)
    images, kernel = jnp.ones((128, 32, 32, 1)), jnp.ones((5, 5, 1, 20))
    assert 'inlineable = "false"' in jax.jit(layer).lower(images, kernel).as_text()
