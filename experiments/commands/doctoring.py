"""doctor: is all there that runs need?"""

import argparse
from typing import Any

from experiments.commands import FAILED


def add_to(commands: Any) -> None:
    """Add the command to the parser's."""
    doctor = commands.add_parser("doctor", help="check the installation, the devices and the data")
    doctor.set_defaults(command=examine)


def examine(options: argparse.Namespace) -> int:
    """Print a line for each thing; the exit status is 1 if one is broken."""
    del options
    from experiments import doctor
    from experiments.printed_table import plain

    broken = False
    for finding in doctor.examine():
        print(plain(finding), flush=True)
        broken = broken or finding.mark == "!!"
    return FAILED if broken else 0
