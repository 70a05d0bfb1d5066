"""export: take the trained network of a run to other programs."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.commands import CommandError

_FORMATS = ("safetensors", "torch", "stablehlo")


def add_to(commands: Any) -> None:
    """Add the command to the parser's."""
    exporter = commands.add_parser("export", help="write a run's network for other programs")
    exporter.add_argument("run", type=Path, metavar="RUN", help="the folder of a run of lenet5")
    exporter.add_argument("--seed", type=int, metavar="N", help="which network; default the first")
    exporter.add_argument(
        "--to", type=Path, metavar="DIR", help="a new folder; default RUN/export/seed-N"
    )
    exporter.add_argument(
        "--format",
        nargs="+",
        choices=_FORMATS,
        metavar="FORMAT",
        help=f"of {', '.join(_FORMATS)}; default all that the network has",
    )
    exporter.set_defaults(command=export)


def export(options: argparse.Namespace) -> int:
    """Write the formats and how they are loaded, into a folder that holds nothing else."""
    from experiments.after import export as exports
    from experiments.after import weights
    from experiments.printed_table import plain

    try:
        network = weights.of_run(options.run, seed=options.seed)
    except weights.WeightsError as error:
        raise CommandError(error) from None
    named = "--to: " if options.to else ""
    folder: Path = options.to or options.run / "export" / f"seed-{network.seed}"
    try:
        _refuse_used(folder, named=named)
        files = exports.files(network, options.format or exports.formats_of(network))
        _write(folder, files)
    except ValueError as error:
        raise CommandError(error) from None
    except OSError as error:
        name = error.filename or folder  # a full disk names none
        raise CommandError(f"{named}{name} cannot be written: {error.strerror}") from None
    for name, content in files.items():
        print(f"{plain(folder / name)}  {len(content):,} bytes")
    return 0


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write all of the files or none, so that an export that failed can be repeated."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except BaseException:
        for name in files:
            (folder / name).unlink(missing_ok=True)
        raise


def _refuse_used(folder: Path, *, named: str) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        other = "choose another" if named else "name another by --to"
        raise CommandError(f"{named}{folder} already holds files; {other}")
