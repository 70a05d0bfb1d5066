"""What is published: the wheel, the sdist from which it is built, and how to cite them."""

import email
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

import conv_jax

for name in ("build", "hatchling"):
    pytest.importorskip(name, reason="needs the extra dev")

VERSION = conv_jax.__version__
KILOBYTE = 1024
MODULES = {str(path) for path in Path("conv_jax").rglob("*.py")}


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """The folder with an sdist, and the wheel built from that; nothing is fetched."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def wheel(dist):
    with zipfile.ZipFile(dist / f"conv_jax-{VERSION}-py3-none-any.whl") as opened:
        yield opened


@pytest.fixture(scope="module")
def sdist_files(dist):
    """The size of every file of the sdist, by its path in the repository."""
    with tarfile.open(dist / f"conv_jax-{VERSION}.tar.gz") as opened:
        members = opened.getmembers()
    return {member.name.split("/", 1)[1]: member.size for member in members}


@pytest.fixture(scope="module")
def metadata(wheel):
    return email.message_from_bytes(wheel.read(f"conv_jax-{VERSION}.dist-info/METADATA"))


def test_wheel_holds_the_library_alone(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"conv_jax", f"conv_jax-{VERSION}.dist-info"}


def test_wheel_holds_every_module_and_the_data(wheel):
    names = {name for name in wheel.namelist() if name.startswith("conv_jax/")}
    assert names == {*MODULES, "conv_jax/py.typed", "conv_jax/data/digits.npz"}


def test_wheel_holds_the_licence(wheel):
    licence = wheel.read(f"conv_jax-{VERSION}.dist-info/licenses/LICENSE")
    assert licence == Path("LICENSE").read_bytes()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Version", VERSION),
        ("Requires-Python", ">=3.11"),
        ("License-Expression", "Apache-2.0"),
        ("Description-Content-Type", "text/markdown"),
    ],
)
def test_metadata_says(metadata, field, value):
    assert metadata[field] == value


@pytest.mark.parametrize("extra", ["cuda12", "cuda13", "tpu", "bench", "notebooks", "docs", "dev"])
def test_extra_is_offered(metadata, extra):
    assert extra in metadata.get_all("Provides-Extra")


@pytest.mark.parametrize("name", ["torch", "opencv-python-headless", "pytest", "sphinx"])
def test_library_does_without(metadata, name):
    needed = metadata.get_all("Requires-Dist")
    (requirement,) = (text for text in needed if re.match(rf"{name}\b", text))
    assert "extra ==" in requirement


@pytest.mark.parametrize("folder", ["conv_jax", "experiments", "tests", "notebooks", "docs"])
def test_sdist_holds_every_script(sdist_files, folder):
    scripts = {str(path) for path in Path(folder).rglob("*.py")}
    assert scripts <= set(sdist_files)


@pytest.mark.parametrize(
    "path",
    [
        *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "LICENSE", "Makefile"),
        *("constraints.txt", "configs/lenet5_smoke.toml"),
        "experiments/results/bench_corr2d/table.md",
    ],
)
def test_sdist_holds(sdist_files, path):
    assert sdist_files[path] > 0


def test_no_picture_of_the_sdist_is_large(sdist_files):
    pictures = {name: size for name, size in sdist_files.items() if name.endswith(".png")}
    assert pictures
    assert max(pictures.values()) < 300 * KILOBYTE, max(pictures, key=pictures.__getitem__)


@pytest.mark.parametrize(("suffix", "kilobytes"), [(".whl", 500), (".tar.gz", 5000)])
def test_file_is_small(dist, suffix, kilobytes):
    (path,) = dist.glob(f"*{suffix}")
    assert path.stat().st_size < kilobytes * KILOBYTE


def test_installed_wheel_works_elsewhere(dist, tmp_path):
    target = tmp_path / "target"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, "--target", target, *dist.glob("*.whl")], check=True)
    code = (
        "import conv_jax as cj; print(cj.__file__);"
        "print(len(cj.data.load('digits').train.labels), cj.corr2d([[1, 2]], [[3]]))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.split("\n")[:2] == [f"{target}/conv_jax/__init__.py", "1437 [[3 6]]"], (
        done.stderr
    )


@pytest.fixture(scope="module")
def citation():
    return yaml.safe_load(Path("CITATION.cff").read_text(encoding="utf-8"))


def test_citation_is_of_this_version(citation):
    assert citation["version"] == VERSION


@pytest.mark.parametrize("key", ["message", "title", "authors"])
def test_citation_has_what_the_format_asks_for(citation, key):
    assert citation["cff-version"] == "1.2.0"
    assert citation[key]
