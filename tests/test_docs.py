"""The site: that it names what is public, that its pages' code runs, and that it builds."""

import importlib
import inspect
import math
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import conv_jax

API = sorted(path for path in Path("docs/api").glob("*.rst") if path.stem != "index")
PAGES = sorted(Path("docs").rglob("*.md"))
MARKDOWN = [*PAGES, *sorted(Path().glob("*.md"))]
FENCE = re.compile(r"^```(.*?)^```", flags=re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^][]*(?:\[[^]]*\][^][]*)*\]\(([^()\s]+)\)")


def code_blocks(path):
    """Return the blocks of Python on a page."""
    text = path.read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def local_links(path):
    """Return what a page links to that is not an address of the network."""
    links = LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8")))
    return [link.split("#")[0] for link in links if "://" not in link and link[0] != "#"]


def module_of(page):
    """Return the module that an API page is about."""
    name = "conv_jax" if page.stem == "conv_jax" else f"conv_jax.{page.stem}"
    return importlib.import_module(name)


def public_names(module):
    """Return `__all__`, or the functions and classes that the module defines."""
    if hasattr(module, "__all__"):
        return module.__all__
    members = inspect.getmembers(module, lambda m: inspect.isroutine(m) or inspect.isclass(m))
    own = [name for name, member in members if member.__module__ == module.__name__]
    return [name for name in own if not name.startswith("_")]


@pytest.mark.parametrize(
    ("page", "name"),
    [
        pytest.param(p, name, id=f"{p.stem}.{name}")
        for p in API
        for name in public_names(module_of(p))
    ],
)
def test_public_name_is_on_its_page(page, name):
    entry = rf"^\.\. (auto\w+|py:data):: {name}$|~conv_jax\.\w+\.{name}`"
    assert re.search(entry, page.read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize(
    "name", sorted({"checkpoint", *conv_jax._SUBMODULES} - {"layers", "pooling"})
)
def test_submodule_has_a_page(name):
    """The functions of `layers` and `pooling` are on the page of the package."""
    index = Path("docs/api/index.rst").read_text(encoding="utf-8")
    assert re.search(rf"^   {name}$", index, flags=re.MULTILINE)
    assert Path("docs/api") / f"{name}.rst" in API


@pytest.mark.parametrize(
    "path", [path for path in PAGES if code_blocks(path)], ids=lambda path: path.stem
)
def test_code_of_the_page_runs(path):
    code = "\n".join(code_blocks(path))
    exec(compile(code, str(path), "exec"), {"__name__": path.stem})


@pytest.mark.parametrize(
    ("path", "link"),
    [pytest.param(p, link, id=f"{p}-{link}") for p in MARKDOWN for link in local_links(p)],
)
def test_link_leads_to_a_file(path, link):
    assert (path.parent / link).exists()


@pytest.mark.parametrize(
    ("path", "named"),
    [
        pytest.param(path, named, id=f"{path.stem}-{named}")
        for path in MARKDOWN
        for named in sorted(
            set(
                re.findall(
                    r"(?<![\w./:])(?:conv_jax|experiments|tests|configs|docs)/[\w/]+\.(?:py|md|toml|json|rst)\b",
                    path.read_text(encoding="utf-8"),
                )
            )
        )
        if "NAME" not in named and "FAMILY" not in named
    ],
)
def test_named_file_is_there(path, named):
    assert Path(named).is_file()


@pytest.mark.parametrize(
    ("text", "links"),
    [("[a](b.md)", ["b.md"]), ("![](c.png)", ["c.png"]), ("[`x[0]`](d#e)", ["d"]), ("f(x)[0]", [])],
    ids=["link", "picture", "brackets", "code"],
)
def test_links_are_found(text, links, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"{text} and [away](https://a.example)\n```\n[no](link)\n```\n")
    assert local_links(page) == links


def run_example(name):
    return runpy.run_path(f"docs/examples/{name}.py")


def test_linen_example_learns():
    losses = run_example("linen_model")["losses"]
    assert losses[0] > 0.9 * math.log(10)  # that of a guess
    assert losses[-1] < 0.5 * losses[0]


def test_plain_example_sharpens():
    names = run_example("plain_jax")
    assert names["after"] < 0.7 * names["before"]
    assert (np.diff(names["misses"]) <= 0).all()


@pytest.fixture(scope="module")
def equinox_example():
    pytest.importorskip("equinox", reason="needs the extra dev")
    return run_example("equinox_layer")


def rounding(terms, magnitude):
    """Twice the bound of a sum of products, for two of them are compared."""
    return 2 * (terms + 1) * np.finfo(np.float32).eps * magnitude


def bound_of_maps(example):
    images, weight = example["images"], example["layer"].weight
    magnitude = float(abs(weight).sum(axis=(1, 2, 3)).max() * abs(images).max())
    return rounding(weight[0].size, magnitude)


def test_equinox_example_computes_what_equinox_does(equinox_example):
    difference = abs(equinox_example["maps"] - equinox_example["expected"]).max()
    assert difference <= bound_of_maps(equinox_example)


def test_maps_of_another_image_disagree(equinox_example):
    difference = abs(equinox_example["maps"] - equinox_example["expected"][::-1]).max()
    assert difference > bound_of_maps(equinox_example)


def test_equinox_example_has_gradients_of_its_arrays(equinox_example):
    actual, expected = equinox_example["gradients"], equinox_example["expected_gradients"]
    maps, images = equinox_example["maps"], equinox_example["images"]
    magnitude = 2 * float(jnp.sum(abs(maps)) * abs(images).max())
    assert abs(actual.weight).max() > rounding(1, magnitude)
    terms = maps[:, 0].size + equinox_example["layer"].weight[0].size
    assert abs(actual.weight - expected.weight).max() <= rounding(terms, magnitude)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site without the outputs of the notebooks, and with warnings as errors."""
    for name in ("sphinx", "myst_nb", "furo"):
        pytest.importorskip(name, reason="needs the extra docs")
    jupytext = pytest.importorskip("jupytext", reason="needs the extra docs")
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    ignored = shutil.ignore_patterns("notebooks", "*.pyc")
    shutil.copytree("docs", source / "docs", ignore=ignored)
    shutil.copytree("experiments/results", source / "experiments/results")
    for path in Path().glob("*.md"):
        shutil.copy(path, source)
    (source / "docs/notebooks").mkdir()
    for path in Path("notebooks").glob("*.py"):
        notebook = jupytext.read(path)
        notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "python"}
        jupytext.write(notebook, source / "docs/notebooks" / f"{path.stem}.ipynb")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html"]
    done = subprocess.run(
        [*command, str(source / "docs"), str(built)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return built


@pytest.mark.parametrize(
    "page",
    ["index", "start", "examples", "notebooks/1_chapter", "benchmarks/index", "api/conv_jax"]
    + [f"howto/{path.stem}" for path in sorted(Path("docs/howto").glob("*.md"))],
)
def test_site_has_the_page(site, page):
    assert "</html>" in (site / f"{page}.html").read_text(encoding="utf-8")


def test_site_shows_the_shapes_of_signatures(site):
    text = (site / "api/conv_jax.html").read_text(encoding="utf-8")
    words = re.sub(r"<[^>]*>|\s", "", text).replace("&#39;", "'")
    assert "image:Shaped[ArrayLike,'*batchHW']|list" in words
    assert "jaxlib._jax" not in words


def test_site_is_read_without_a_network(site):
    """Nothing that a page loads by itself comes from elsewhere."""
    pages = [path.read_text(encoding="utf-8") for path in site.rglob("*.html")]
    loaded = re.compile(r"<(?:script|img|link)[^>]*(?:src|href)=\"(https?://[^\"]*)\"")
    assert {address for page in pages for address in loaded.findall(page)} == set()
