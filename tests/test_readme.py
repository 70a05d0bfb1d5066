"""What the README says is run: its notebook lines and the names of its files."""

import re
from pathlib import Path

import numpy as np
import pytest

README = Path("README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture(scope="module")
def notebook():
    """The names that the notebook lines leave behind."""
    names = {}
    exec("\n".join(BLOCKS), names)
    return names


def test_notebook_lines_run(notebook):
    assert notebook["logits"].shape == (1, 10)


def test_notebook_comment_gives_the_chapters_matrix(notebook):
    result = notebook["cj"].corr2d(notebook["image"], notebook["kernel"])
    np.testing.assert_array_equal(result, [[19, 25], [37, 43]])


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"configs/[a-z]\w*\.toml|docs/\w+\.png", README)))
)
def test_named_file_exists(path):
    assert Path(path).is_file()


def layout(folder):
    """Return what the README says of a folder in "What is where"."""
    (text,) = re.findall(rf"^{folder}/ .*\n(?: .*\n)+", README, flags=re.MULTILINE)
    return text


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        (folder, name)
        for folder in ("conv_jax", "experiments")
        for name in re.findall(r"\w+\.py|^  \w+/", layout(folder), flags=re.MULTILINE)
    ],
)
def test_layout_names_what_is_there(folder, name):
    assert list(Path(folder).rglob(name.strip().rstrip("/")))


@pytest.mark.parametrize("folder", ["conv_jax", "experiments"])
def test_layout_names_every_module(folder):
    named = set(re.findall(r"\w+\.py", layout(folder)))
    assert {path.name for path in Path(folder).glob("*.py")} <= {*named, "__init__.py"}
