"""The notebooks: that each runs as a script, is well formed, and is the same on every machine."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

NOTEBOOKS = sorted(Path("notebooks").glob("*.py"))
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)

# An absolute path, but for what follows a word, a dot, a colon or a slash, as in an address.
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/])/\w[\w.-]*/[\w.-]+|\b[A-Z]:\\")


class Cell(NamedTuple):
    is_markdown: bool
    text: str


def cells(path):
    """Split at the lines that begin a cell; what is before the first is a cell of its own."""
    parts = re.split(r"^# %%(.*)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    first, *rest = parts
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return [Cell(False, first)] * bool(first) + [Cell("[markdown]" in h, text) for h, text in pairs]


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def done(request):
    """Run one notebook as a script, with warnings as errors."""
    environment = {**os.environ, "MPLBACKEND": "agg"}
    command = [sys.executable, "-W", "error", str(request.param)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_notebook_runs(done):
    assert done.returncode == 0, done.stderr[-2000:]


def test_notebook_prints_no_path_of_the_machine(done):
    assert ABSOLUTE_PATH.findall(done.stdout) == []


@every_notebook
def test_cells_are_code_that_parses_or_comments(path):
    for cell in cells(path):
        if cell.is_markdown:
            assert re.fullmatch(r"(#( .*)?\n)+\n*", cell.text), cell.text
        else:
            assert ast.parse(cell.text).body


@every_notebook
def test_head_is_a_title_and_what_the_notebook_answers(path):
    head = cells(path)[0]
    assert head.is_markdown
    assert re.match(r"# # \w.*\n#\n", head.text)
    assert re.search(r"\banswers\b", head.text)


@every_notebook
def test_last_cell_says_where_to_go_next(path):
    *_, last = cells(path)
    assert last.is_markdown
    assert "Where to go next" in last.text


@every_notebook
def test_pictures_appear_in_a_notebook_server(path):
    """Figures that are not of pyplot are shown only where the inline backend was asked for."""
    text = path.read_text(encoding="utf-8")
    if re.search(r"\b(pyplot|plots)\b", text):
        assert "\n# %matplotlib inline\n" in text


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize(
    "text", ["/home/me/x", "in '/usr/lib'", r"C:\x", "(/tmp/a)", "File /srv/b.py"], ids=repr
)
def test_a_path_is_noticed(text):
    assert ABSOLUTE_PATH.search(text)


@pytest.mark.parametrize(
    "text", ["https://a.b/c/d", "ours / lax", "1/2", "h/w/c", "notebooks/7.py"], ids=repr
)
def test_an_address_or_a_ratio_is_not_a_path(text):
    assert not ABSOLUTE_PATH.search(text)
