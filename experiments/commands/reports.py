"""report: a page of HTML that says what a run, or several, came to."""

import argparse
from pathlib import Path
from typing import Any

from experiments.commands import CommandError

COMPARISON = Path("runs/comparison.html")


def add_to(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "report", help="write a page of HTML that says what a run, or several, came to"
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help=f"default: report.html in the folder of one run, {COMPARISON} of several",
    )
    parser.set_defaults(command=report)


def report(options: argparse.Namespace) -> int:
    """Write the page and say where it is."""
    from experiments.after.past_runs import NoRunError
    from experiments.after.report import comparison, run_page
    from experiments.printed_table import plain

    folders: list[Path] = options.runs
    out: Path = options.out or (folders[0] / run_page.FILE if len(folders) == 1 else COMPARISON)
    if out.suffix != ".html":
        raise CommandError(f"--out: expected a name that ends in .html, got {out}")
    try:
        if len(folders) == 1:
            run_page.write(folders[0], to=out)
        else:
            if options.out is None:
                out.parent.mkdir(exist_ok=True)
            comparison.write(folders, to=out)
    except NoRunError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"--out: {out} cannot be written: {error.strerror}") from None
    print(f"report: {plain(out)}")
    return 0
