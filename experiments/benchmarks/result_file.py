"""A result.json that the command line names, for the programs that say it again."""

import argparse
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

MISTAKE = 2  # exit status


def from_command_line(
    description: str, *, experiment: str, keys: Collection[str]
) -> dict[str, Any]:
    """Return the result of a run, or say in one line why there is none and exit with 2.

    Args:
      description: of the program, for --help.
      experiment: the one whose results it reads.
      keys: what a result must hold.

    Returns:
      The content of the file.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "result", type=Path, metavar="FILE", help=f"result.json of a run of {experiment}"
    )
    path: Path = parser.parse_args().result
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        parser.exit(MISTAKE, f"{path}: cannot be read: {error.strerror}\n")
    except (ValueError, RecursionError) as error:
        parser.exit(MISTAKE, f"{path}: not JSON: {error}\n")
    if not isinstance(result, dict) or result.get("experiment") != experiment:
        parser.exit(MISTAKE, f"{path}: expected a result.json of {experiment}\n")
    if missing := sorted(set(keys) - set(result)):
        parser.exit(MISTAKE, f"{path}: expected a whole run, got one without {missing[0]}\n")
    return result
