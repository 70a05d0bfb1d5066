"""ls, show and diff: what came of the runs so far."""

import argparse
from pathlib import Path
from typing import Any


def add_to(commands: Any) -> None:
    """Add the commands to the parser's."""
    lister = commands.add_parser("ls", help="list the runs in a folder")
    lister.add_argument("folder", nargs="?", type=Path, default=Path("runs"))
    lister.set_defaults(command=_list_runs)

    shower = commands.add_parser("show", help="tell about a run")
    shower.add_argument("run", type=Path, metavar="RUN", help="its folder")
    shower.set_defaults(command=_show_run)

    differ = commands.add_parser("diff", help="tell two runs apart")
    differ.add_argument("runs", type=Path, nargs=2, metavar="RUN", help="its folder")
    differ.set_defaults(command=_compare_runs)


def _list_runs(options: argparse.Namespace) -> int:
    from experiments.listing import list_runs

    list_runs(options.folder)
    return 0


def _show_run(options: argparse.Namespace) -> int:
    from experiments.listing import show_run

    show_run(options.run)
    return 0


def _compare_runs(options: argparse.Namespace) -> int:
    from experiments.listing import compare_runs

    compare_runs(options.runs)
    return 0
