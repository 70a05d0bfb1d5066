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


@pytest.mark.parametrize("name", sorted(set(re.findall(r"^  (\w+\.py|\w+/) ", README, flags=re.M))))
def test_layout_names_what_is_there(name):
    assert (Path("conv_jax") / name).exists()


def test_layout_names_every_module():
    named = set(re.findall(r"^  (\w+\.py) ", README, flags=re.M))
    assert named == {path.name for path in Path("conv_jax").glob("[!_]*.py")}
