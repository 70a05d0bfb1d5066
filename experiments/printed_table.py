"""The look of the tables that experiments print: narrow enough for 80 columns."""

from collections.abc import Sequence

from rich import box
from rich.table import Table


def printed_table(
    title: str | None, columns: Sequence[str], *, caption: str | None = None, num_texts: int = 1
) -> Table:
    """Return an empty table.

    Args:
      title: above it, if anything is.
      columns: their headings.
      caption: below it.
      num_texts: so many columns are texts, set to the left; numbers follow, set to the right.
    """
    table = Table(
        title=title, caption=caption, box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False
    )
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < num_texts else "right", no_wrap=True)
    return table


def plain(text: object) -> str:
    r"""Return what was read somewhere as one line that no terminal obeys: "\n" for a newline."""
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return "".join(shown)
