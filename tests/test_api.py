"""The style as a test: signatures, docstrings, annotations, and what an import costs.

The idea is that of dm_pix, whose API test walks every public function.
"""

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys

import pytest

import conv_jax

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
# Drop-in replacements keep the positional options of what they replace.
SAME_CALL_AS_ELSEWHERE = ("conv_general_dilated", "max_pool", "avg_pool")
# Numbers that make a kernel, as the users of finite_difference(order, accuracy) write them.
NUMBERS_OF_KERNELS = ("accuracy", "amount", "order", "ratio", "size")
HEAVY = ("flax", "optax", "orbax", "pydantic", "matplotlib", "pooch")


def _module_names():
    found = pkgutil.walk_packages(conv_jax.__path__, "conv_jax.")
    return ["conv_jax", *(module.name for module in found)]


def _public_functions(*, but=()):
    """Return every function that a module of the package defines under a public name."""
    modules = [importlib.import_module(name) for name in _module_names()]
    return [
        pytest.param(function, id=f"{module.__name__}.{name}")
        for module in modules
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
        if name not in but
    ]


RESULTS = [name for name in conv_jax.__all__ if inspect.isclass(getattr(conv_jax, name))]
every_name = pytest.mark.parametrize("name", [n for n in conv_jax.__all__ if n not in RESULTS])
every_function = pytest.mark.parametrize("function", _public_functions())
every_own_signature = pytest.mark.parametrize(
    "function", _public_functions(but=SAME_CALL_AS_ELSEWHERE)
)


@every_own_signature
def test_options_are_keyword_only(function):
    parameters = inspect.signature(function).parameters.values()

    positional_options = {
        p.name for p in parameters if p.kind in POSITIONAL and p.default is not p.empty
    }
    if function.__module__.startswith("conv_jax.kernels."):
        positional_options -= set(NUMBERS_OF_KERNELS)

    assert positional_options == set()


@every_own_signature
def test_at_most_three_arguments_are_positional(function):
    parameters = inspect.signature(function).parameters.values()

    assert sum(p.kind in POSITIONAL for p in parameters) <= 3


@every_function
def test_a_key_comes_first(function):
    names = list(inspect.signature(function).parameters)

    assert not {"rng", "seed_key", "prng_key", "rng_key"} & set(names)
    assert "key" not in names[1:]


@every_function
def test_arguments_and_result_are_annotated(function):
    signature = inspect.signature(function)

    bare = [p.name for p in signature.parameters.values() if p.annotation is p.empty]

    assert bare == []
    assert signature.return_annotation is not signature.empty


@every_function
def test_docstring_opens_with_one_sentence(function):
    first, *rest = inspect.getdoc(function).splitlines()

    assert first.endswith(".")
    assert rest[:1] in ([], [""])


@every_name
def test_public_name_documents_its_arguments_and_result(name):
    public = getattr(conv_jax, name)
    docstring = inspect.getdoc(public)

    assert inspect.isfunction(public)
    assert "\nArgs:\n" in docstring
    assert "\nReturns:\n" in docstring
    assert "\n>>> " in docstring
    for parameter in inspect.signature(public).parameters:
        assert f"  {parameter}: " in docstring or f"  **{parameter}: " in docstring


@pytest.mark.parametrize("name", RESULTS)
def test_public_class_is_a_documented_named_tuple(name):
    public = getattr(conv_jax, name)

    assert issubclass(public, tuple)
    assert list(public.__annotations__) == list(public._fields)
    # Not the docstring that `NamedTuple` writes itself, which is the signature.
    assert inspect.getdoc(public).splitlines()[0].endswith(".")


def test_public_names_are_sorted_and_complete():
    functions = [name for name, value in vars(conv_jax).items() if inspect.isfunction(value)]
    imported = {name for name in functions if not name.startswith("_")}

    assert list(conv_jax.__all__) == sorted(conv_jax.__all__)
    assert imported <= set(conv_jax.__all__)


def _run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def imported_modules():
    """Return the names of the modules that a fresh `import conv_jax` loads."""
    return set(_run("import conv_jax, sys; print(*sys.modules)").stdout.split())


@pytest.mark.parametrize("module", HEAVY)
def test_import_leaves_out(module, imported_modules):
    assert {"conv_jax", "jax"} <= imported_modules
    assert module not in imported_modules


@pytest.fixture(scope="module")
def asked_for():
    """Return the names of the submodules, each asked of the package as an attribute."""
    names = "print(*(getattr(cj, name).__name__ for name in cj._SUBMODULES))"
    return _run(f"import conv_jax as cj; {names}").stdout.split()


@pytest.mark.parametrize("module", conv_jax._SUBMODULES)
def test_submodule_is_there_when_asked_for(module, asked_for):
    assert f"conv_jax.{module}" in asked_for
    assert module in dir(conv_jax)


def test_import_starts_no_backend():
    # With a platform that does not exist, the first use of a device fails.
    absent = {"JAX_PLATFORMS": "absent"}

    imported = _run("import conv_jax", **absent)
    used = _run("import conv_jax; conv_jax.corr2d([[1]], [[1]])", **absent)

    assert imported.returncode == 0, imported.stderr
    assert "absent" in used.stderr


@pytest.mark.parametrize(
    ("code", "message"),
    [
        pytest.param("cj.corr2d([[1]], [[1]], stride=0)", "stride: expected two", id="value"),
        pytest.param("cj.corr2d([1], [[1]])", "image: expected a shape", id="shape"),
    ],
)
def test_mistakes_are_named_without_the_annotation_checks(code, message):
    failed = _run(f"import conv_jax as cj; {code}")

    assert f"ValueError: {message}" in failed.stderr
