"""Pages of HTML: numbers and tables as text, templates that escape all of it, writing the file."""

import json
import math
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

NONE = "\N{EN DASH}"  # where a table has nothing to say
_LONGEST = 1000  # characters of a cell, or of an error


class Table(NamedTuple):
    """Rows of text below their headings; the first cell of a row is its heading."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    num_texts: int = 1  # columns set to the left; numbers follow, set to the right


def render(template: str, **content: Any) -> str:
    """Return a page.

    Args:
      template: its file in templates/.
      **content: what its names stand for; all text is escaped.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**content)


def write(path: Path, text: str) -> None:
    """Write a page, all of it or nothing.

    Args:
      path: in a folder that is there; a page that it held before is replaced.
      text: of the page; halves of UTF-16 pairs, which UTF-8 does not have, become "?".

    Raises:
      OSError: if it cannot be written; then nothing is left of it.
    """
    partial = path.with_name(f".{secrets.token_hex(8)}.partial")  # no other writer's
    try:
        with partial.open("x", encoding="utf-8", errors="replace") as file:  # follows no link
            file.write(text)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def pairs(table: Mapping[str, Any], *, heads: Sequence[str], caption: str) -> Table | None:
    """Return a table of keys and values, None for no keys."""
    rows = [(key, exact(value)) for key, value in table.items()]
    return Table(heads, rows, caption, num_texts=2) if rows else None


def shown(value: Any) -> str:
    """Say a value of JSON or TOML in few words."""
    if value is None or value == "":
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f") if abs(value) > 9999 else str(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        text = f"[{', '.join(map(shown, value))}]"
        return text if len(text) <= 160 else f"{len(value)} entries"
    if isinstance(value, dict):
        return f"{len(value)} entries"
    return cut(str(value))


def exact(value: Any) -> str:
    """Say what a config or an environment holds, to the last digit, which may differ."""
    if isinstance(value, list) and value:
        return cut(json.dumps(value, ensure_ascii=False, default=str))
    return repr(value) if isinstance(value, float) else shown(value)


def cut(text: str) -> str:
    """Return a text, or the beginning of a very long one."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def seconds(value: float | None) -> str:
    """Say a time: "0.35 s", "12.4 s", "3 min 20 s", "1 h 12 min"."""
    if value is None or not math.isfinite(value):
        return NONE
    if value < 100:
        return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def interval(bounds: Iterable[float] | None, *, scale: float, digits: int) -> str:
    """Say an interval: "99.61 to 99.65"."""
    if bounds is None:
        return NONE
    return " to ".join(fixed(scale * bound, digits) for bound in bounds)


def fixed(value: float, digits: int) -> str:
    """Say a number with so many digits behind the point, and with a true minus."""
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")
