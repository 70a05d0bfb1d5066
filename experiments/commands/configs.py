"""list and schema: which configs there are, and what a config may say."""

import argparse
import sys
import tomllib
from pathlib import Path
from typing import Any

from experiments import config as configs

_FOLDER = "that holds configs (default: configs)"


def add_to(commands: Any) -> None:
    """Add the commands to the parser's."""
    lister = commands.add_parser("list", help="list the configs")
    lister.add_argument("folder", nargs="?", type=Path, default=Path("configs"), help=_FOLDER)
    lister.set_defaults(command=list_configs)

    printer = commands.add_parser("schema", help="print the JSON schema of the configs")
    printer.set_defaults(command=print_schema)


def list_configs(options: argparse.Namespace) -> int:
    """Print every config with its experiment and what its head comment says first."""
    folder: Path = options.folder
    paths = sorted(folder.glob("*.toml"))
    if not paths:
        raise configs.ConfigError(f"{folder}: no configs (*.toml) here")
    rows = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
            kind = str(tomllib.loads(text).get("experiment", "?"))
        except (OSError, ValueError):
            text, kind = "", "(not TOML)"
        about = next((line[2:] for line in text.splitlines() if line.startswith("# ")), "")
        rows.append((str(path), kind, about))
    path_width, kind_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    for path, kind, about in rows:
        print(f"{path:<{path_width}}  {kind:<{kind_width}}  {about}")
    return 0


def print_schema(options: argparse.Namespace) -> int:
    """Print the JSON schema of the configs."""
    del options
    sys.stdout.write(configs.schema())
    return 0
