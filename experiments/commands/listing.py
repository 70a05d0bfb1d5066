"""ls, show and diff: what came of the runs so far."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.commands import CommandError

_FOLDER = "that holds the folders of runs (default: runs)"


def add_to(commands: Any) -> None:
    """Add the commands to the parser's."""
    lister = commands.add_parser("ls", help="list the runs in a folder")
    lister.add_argument("folder", nargs="?", type=Path, default=Path("runs"), help=_FOLDER)
    lister.set_defaults(command=list_runs)

    shower = commands.add_parser("show", help="tell about a run")
    shower.add_argument("run", type=Path, metavar="RUN", help="its folder")
    shower.set_defaults(command=show_run)

    differ = commands.add_parser("diff", help="tell two runs apart")
    differ.add_argument("runs", type=Path, nargs=2, metavar="RUN", help="its folder")
    differ.set_defaults(command=compare_runs)


def list_runs(options: argparse.Namespace) -> int:
    """List the runs of a folder."""
    from experiments.after import print_runs  # which takes JAX, as the other commands do not

    return _print(lambda: print_runs.list_runs(options.folder))


def show_run(options: argparse.Namespace) -> int:
    """Tell about a run."""
    from experiments.after import print_runs

    return _print(lambda: print_runs.show_run(options.run))


def compare_runs(options: argparse.Namespace) -> int:
    """Tell two runs apart."""
    from experiments.after import print_runs

    return _print(lambda: print_runs.compare_runs(tuple(options.runs)))


def _print(act: Callable[[], None]) -> int:
    from experiments.after.past_runs import NoRunError

    try:
        act()
    except NoRunError as error:
        raise CommandError(error) from None
    return 0
