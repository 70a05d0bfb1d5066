"""The command line: python -m experiments run CONFIG, list, schema."""

import argparse
import importlib
import os
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from experiments import config as configs

FAILED, MISTAKE, INTERRUPTED = 1, 2, 130

EXAMPLES = """\
examples:
  python -m experiments run configs/lenet5_digits.toml
  python -m experiments run configs/lenet5_mnist.toml optimizer.learning_rate=0.05 seeds=1
  python -m experiments run configs/learn_kernel_natural.toml model.target=box --out runs/box
  python -m experiments list

An override is a dotted key of the config and a TOML value; a bare word is a string, and none
takes the key out, as in train.average_decay=none.
Exit status: 0 done, 1 the run failed, 2 a mistake in what was asked, 130 interrupted.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    parser = _parser()
    options, extra = parser.parse_known_args(arguments)
    if extra and (options.command is not run or any(word.startswith("-") for word in extra)):
        parser.error(f"unrecognized arguments: {' '.join(extra)}")
    if extra:
        options.overrides = [*options.overrides, *extra]  # those that stand after an option
    try:
        return options.command(options)
    except configs.ConfigError as error:
        print(error, file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # a reader such as head has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def run(options: argparse.Namespace) -> int:
    """Run the experiment that a config describes."""
    config = configs.load(options.config, options.overrides)
    # After the config is known to be right: JAX takes a second to import.
    from conv_jax.divergence import DivergedError
    from experiments.compilation_cache import use_compilation_cache
    from experiments.record import FolderError, Record, default_folder

    if not config.experiment.startswith("bench"):  # which state how long compilation takes
        use_compilation_cache()
    experiment = importlib.import_module(f"experiments.{config.experiment}")
    console = Console(markup=False, highlight=False, soft_wrap=True)
    try:
        task = experiment.prepare(config)
        record = Record(options.out or default_folder(options.config), configs.dump(config))
    except (FolderError, FileNotFoundError, ValueError) as error:
        print(f"{_source(options, str(error))}: {error}", file=sys.stderr)
        return MISTAKE
    except (OSError, ImportError, RuntimeError, MemoryError) as error:
        print(f"{options.config}: {_one_line(error)}", file=sys.stderr)
        return FAILED
    try:
        with record.running():
            experiment.run(task, record, console)
    except (DivergedError, OSError, RuntimeError, MemoryError) as error:
        print(f"{options.config}: {_one_line(error)}", file=sys.stderr)
        print(f"what was recorded: {record.folder}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"\ninterrupted; what was recorded: {record.folder}", file=sys.stderr)
        return INTERRUPTED
    console.print(f"run folder: {record.folder}")
    return 0


def list_configs(options: argparse.Namespace) -> int:
    """Print every config with its experiment and what its head comment says first."""
    folder: Path = options.folder
    paths = sorted(folder.glob("*.toml"))
    if not paths:
        raise configs.ConfigError(f"{folder}: no configs (*.toml) here")
    width = max(len(str(path)) for path in paths)
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
            kind = str(tomllib.loads(text).get("experiment", "?"))
        except (OSError, ValueError):
            text, kind = "", "(not TOML)"
        about = next((line[2:] for line in text.splitlines() if line.startswith("# ")), "")
        print(f"{path!s:<{width}}  {kind:<16}{about}")
    return 0


def print_schema(options: argparse.Namespace) -> int:
    """Print the JSON schema of the configs."""
    del options
    sys.stdout.write(configs.schema())
    return 0


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("expected a folder, got ''")
    return Path(text)


def _source(options: argparse.Namespace, message: str) -> str:
    """Return the override that a message is about, else the config file."""
    overrides: list[str] = options.overrides
    about = [o for o in overrides if message.startswith(f"{o.partition('=')[0].strip()}:")]
    return f"override {about[-1]!r}" if about else str(options.config)


def _one_line(error: BaseException) -> str:
    """Return the first line of an error that is not ours, with its kind."""
    first = next(iter(str(error).splitlines()), "")
    return first if isinstance(error, ArithmeticError) else f"{type(error).__name__}: {first}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments",
        description="Run the experiments of conv_jax from their config files.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    usage = "%(prog)s CONFIG [KEY=VALUE ...] [--out DIR]"
    runner = commands.add_parser("run", help="run a config, with overrides", usage=usage)
    runner.add_argument("config", type=Path, metavar="CONFIG", help="a TOML file")
    runner.add_argument(
        "overrides", nargs="*", default=[], metavar="KEY=VALUE", help="as in train.epochs=3"
    )
    runner.add_argument(
        "--out", type=_folder, metavar="DIR", help="run folder; default under runs/"
    )
    runner.set_defaults(command=run)

    lister = commands.add_parser("list", help="list the configs")
    lister.add_argument("folder", nargs="?", type=Path, default=Path("configs"))
    lister.set_defaults(command=list_configs)

    printer = commands.add_parser("schema", help="print the JSON schema of the configs")
    printer.set_defaults(command=print_schema)
    return parser


if __name__ == "__main__":
    sys.exit(main())
