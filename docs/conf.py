"""Sphinx's settings for the site, which `make docs` builds."""

import ast
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.errors import SphinxError

import conv_jax

project = "conv_jax"
author = "The conv_jax authors"
project_copyright = f"{author}, Apache-2.0"
version = release = conv_jax.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["examples"]
default_role = "py:obj"  # a name in a docstring is a link where that name is documented
smartquotes_action = "D"  # dashes alone: a quoted word of an option stays as it is typed
# Names of other libraries, words of a signature such as Pair, and code in prose lead nowhere.
nitpick_ignore_regex = [("py:(class|exc|func|data)", r"(?!conv_jax\b).*"), ("py:obj", ".*")]
maximum_signature_line_length = 88
napoleon_use_rtype = False
autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # `make docs` runs the notebooks before

html_theme = "furo"
html_math_renderer = "mathml"
html_title = f"conv_jax {version}"
html_copy_source = False


def signature_as_written(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str, returns: str
) -> tuple[str, str] | None:
    """Show jaxtyping's shapes and the names of types as the source has them."""
    del app, name, options, signature, returns
    if what not in ("function", "method", "class"):
        return None
    (written,) = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(obj)))).body
    functions = [node for node in ast.walk(written) if isinstance(node, ast.FunctionDef)]
    if what == "class":
        functions = [function for function in functions if function.name == "__init__"]
    if not functions:  # a named tuple
        fields = [ast.unparse(n) for n in written.body if isinstance(n, ast.AnnAssign)]
        return f"({', '.join(fields)})", ""
    function = functions[0]
    if what != "function":
        del function.args.args[0]  # self
    returned = "" if what == "class" else ast.unparse(function.returns)
    return f"({ast.unparse(function.args)})", returned


def docstring_as_written(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Show equations as they stand, and | and * as the signs that they are."""
    del app, what, name, obj, options
    paragraphs = "\n".join(lines).split("\n\n")
    lines[:] = "\n\n".join(map(_paragraph, paragraphs)).split("\n")


def _paragraph(text: str) -> str:
    if not text.strip() or text.lstrip().startswith(">>>"):
        return text
    is_indented = all(line.startswith("    ") for line in text.splitlines())
    if is_indented or re.fullmatch(r"\S.* ==? .*[^.:]", text):
        return f"::\n\n{textwrap.indent(textwrap.dedent(text), '    ')}"
    return re.sub(r"([|*])", r"\\\1", text)


def skip_field(
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out "Alias for field number 0" of named tuples, whose signature has their fields."""
    del app, what, name, skip, options
    return True if str(getattr(obj, "__doc__", "")).startswith("Alias for field") else None


def link_to_pages(app: Sphinx, path: Path, page: str, content: list[str]) -> None:
    """Lead the README's links to tables of numbers to the pages that show them."""
    del app, path, page
    content[0] = re.sub(r"experiments/results/bench_(\w+)/table\.md", r"\1.md", content[0])


def visit_math(translator: Any, node: Any) -> None:
    """Write a formula as MathML, which browsers draw without MathJax, so without a network."""
    is_block = isinstance(node, nodes.math_block)
    try:
        formula = tex2mathml(node.astext(), as_block=is_block)
    except MathError as error:
        raise SphinxError(f"{node.source}: {node.astext()}: {error}") from error
    translator.body.append(formula)
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Connect the above; docstrings before napoleon reads their sections."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
    app.connect("include-read", link_to_pages)
    app.connect("autodoc-process-signature", signature_as_written)
    app.connect("autodoc-process-docstring", docstring_as_written, priority=400)
    app.connect("autodoc-skip-member", skip_field)
