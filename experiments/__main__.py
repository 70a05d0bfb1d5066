"""The command line: python -m experiments run CONFIG, list, schema."""

import argparse
import functools
import importlib
import os
import shlex
import sys
import tomllib
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments import config as configs
from experiments.running import processes

FAILED, MISTAKE, INTERRUPTED = 1, 2, 130

EXAMPLES = """\
examples:
  python -m experiments run configs/lenet5_digits.toml
  python -m experiments run configs/lenet5_mnist.toml optimizer.learning_rate=0.05 seeds=1
  python -m experiments run configs/learn_kernel_natural.toml model.target=box --out runs/box
  python -m experiments run --resume runs/lenet5_mnist-20261123-061500-000
  python -m experiments sweep configs/lenet5_digits.toml seeds=8 \
      "sweep.optimizer.learning_rate=[0.02, 0.05, 0.1]"
  python -m experiments list

An override is a dotted key of the config and a TOML value; a bare word is a string, and none
takes the key out, as in train.average_decay=none.
Exit status: 0 done, 1 the run failed, 2 a mistake in what was asked, 130 interrupted by Ctrl-C,
143 by SIGTERM. A run that saves checkpoints goes on with --resume DIR, or with the same --out.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    is_shell = arguments is None
    arguments, is_child = sys.argv[1:] if is_shell else arguments, processes.adopt()
    parser = _parser()
    options, extra = parser.parse_known_args(arguments)
    trains = options.command in (run, sweep)
    if extra and (not trains or any(word.startswith("-") for word in extra)):
        parser.error(f"unrecognized arguments: {' '.join(extra)}")
    if trains:
        _sort_words(parser, options, [*options.words, *extra])  # extra: those after an option
    options.arguments, options.is_child = arguments, is_child
    status = _status(options)
    if (is_child and not options.ends_with_all) or (is_shell and options.leaves_at_once):
        processes.leave(status)
    return status


def _status(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
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
    except Exception:
        if not options.is_child:
            raise
        traceback.print_exc()
        return FAILED


def run(options: argparse.Namespace) -> int:
    """Run the experiment that a config describes."""
    config = configs.load(options.config, options.overrides)
    if getattr(config, "sweep", None):
        raise configs.ConfigError(
            f"{options.config}: sweep: several settings, which `python -m experiments sweep` trains"
        )
    # After the config is known to be right: JAX takes a second to import.
    experiment = importlib.import_module(f"experiments.{config.experiment}")
    prepare = functools.partial(experiment.prepare, config)
    return _execute(options, config, prepare=prepare, run=experiment.run)


def sweep(options: argparse.Namespace) -> int:
    """Run a config at every combination of the values in its table `sweep`."""
    config = configs.load(options.config, options.overrides)
    from experiments import sweep as sweeps

    swept = sweeps.load(options.config, options.overrides)
    prepare = functools.partial(sweeps.prepare, swept)
    return _execute(options, config, prepare=prepare, run=sweeps.run)


def _execute(
    options: argparse.Namespace,
    config: configs.Config,
    *,
    prepare: Callable[[], Any],
    run: Callable[..., None],
) -> int:
    """Run an experiment in its folder, and return the exit status."""
    from conv_jax.divergence import DivergedError

    distributed = getattr(config, "distributed", None)
    resumable = configs.saves_checkpoints(config)
    if distributed:
        options.others = processes.words(distributed)
    if distributed and not options.is_child:

        def go_on() -> str:
            folder = options.resume or options.out  # else the child has chosen one
            begun = folder is None or (folder / "config.toml").exists()
            return _how_to_go_on(options) if resumable and begun else ""

        return processes.supervise(options.arguments, how_to_go_on=go_on)
    import jax

    from conv_jax.devices import agree
    from experiments.record import FolderError, default_folder, open_record
    from experiments.running.compilation_cache import use_compilation_cache
    from experiments.running.determinism import use_deterministic_kernels
    from experiments.running.interrupts import Interrupted
    from experiments.running.run_folder import FinishedError, holds_run

    if not config.experiment.startswith("bench"):  # which state how long compilation takes
        use_compilation_cache()
    options.folder = options.resume or options.out or default_folder(options.config)
    console = Console(markup=False, highlight=False, soft_wrap=True)
    try:
        if getattr(config, "deterministic", False):
            use_deterministic_kernels()
        if distributed:
            processes.join(distributed)
            options.folder = Path(agree(str(options.folder)))
            console.quiet = jax.process_index() > 0
        if options.resume and not resumable:
            raise FolderError(f"--resume: this run of {config.experiment} saves no checkpoints")
        task = prepare()
        resume = options.resume is not None or (resumable and holds_run(options.folder))
        resume = bool(agree(resume))
        record = open_record(options.folder, configs.dump(config), resume=resume)
    except FinishedError as finished:
        console.print(finished)
        options.ends_with_all = True
        return 0
    except Exception as error:
        options.ends_with_all = isinstance(error, FolderError)
        if processes.is_loss(error):
            return _say_loss(options, error, resumable=resumable)
        if isinstance(error, FolderError | FileNotFoundError | ValueError):
            print(f"{_source(options, str(error))}: {error}", file=sys.stderr)
            return MISTAKE
        if isinstance(error, OSError | ImportError | RuntimeError | MemoryError):
            print(f"{options.config}: {_one_line(error)}", file=sys.stderr)
            return FAILED
        raise
    try:
        with record.running():
            run(task, record, console)
    except Exception as error:
        options.ends_with_all = isinstance(error, DivergedError)
        if processes.is_loss(error):
            return _say_loss(options, error, resumable=resumable)
        if not isinstance(
            error, DivergedError | FolderError | OSError | RuntimeError | MemoryError
        ):
            raise
        print(f"{options.config}: {_one_line(error)}", file=sys.stderr)
        print(f"what was recorded: {record.folder}", file=sys.stderr)
        if resumable and not isinstance(error, DivergedError):
            print(f"once that is mended, {_how_to_go_on(options)}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt as error:
        print(f"\ninterrupted; what was recorded: {record.folder}", file=sys.stderr)
        if resumable:
            print(_how_to_go_on(options), file=sys.stderr)
        options.ends_with_all = isinstance(error, Interrupted)
        options.leaves_at_once = not isinstance(error, Interrupted)  # some threads may not end
        return 128 + error.signum if isinstance(error, Interrupted) else INTERRUPTED
    options.ends_with_all = True
    console.print(f"run folder: {record.folder}")
    return 0


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


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("expected a folder, got ''")
    return Path(text)


def _sort_words(
    parser: argparse.ArgumentParser, options: argparse.Namespace, words: list[str]
) -> None:
    """Tell CONFIG from the overrides; a run that is resumed has its own."""
    if options.resume and options.out:
        parser.error("--resume DIR and --out DIR: expected one of them")
    if options.resume and (not words or "=" in words[0]):
        words = [str(options.resume / "config.toml"), *words]
    if not words:
        parser.error("the following arguments are required: CONFIG")
    options.config, options.overrides = Path(words[0]), words[1:]


def _how_to_go_on(options: argparse.Namespace) -> str:
    word = "sweep" if options.command is sweep else "run"
    folder = options.folder or options.resume or options.out
    command = shlex.join(["python", "-m", "experiments", word, "--resume"])
    words = [shlex.quote(str(folder)) if folder else "DIR", *map(shlex.quote, options.others)]
    return f"go on with: {command} {' '.join(words)}"


def _say_loss(options: argparse.Namespace, error: Exception, *, resumable: bool) -> int:
    """Say in a line that the run lost another of its processes, and return the exit status."""
    line = f"{options.config}: {processes.LOST} ({processes.cause(error)})"
    print(f"{line}; {_how_to_go_on(options)}" if resumable else line, file=sys.stderr)
    return FAILED


def _source(options: argparse.Namespace, message: str) -> str:
    """Return the override that a message is about, else the config file."""
    overrides: list[str] = options.overrides
    about = [o for o in overrides if message.startswith(f"{o.partition('=')[0].strip()}:")]
    return f"override {about[-1]!r}" if about else str(options.config)


def _one_line(error: BaseException) -> str:
    """Return the first line of an error, with its kind if it is not ours."""
    from conv_jax.checkpoint import CheckpointError
    from experiments.running.run_folder import FolderError

    first = next(iter(str(error).splitlines()), "")
    return (
        first
        if isinstance(error, ArithmeticError | CheckpointError | FolderError)
        else f"{type(error).__name__}: {first}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments",
        description="Run the experiments of conv_jax from their config files.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # Whether all processes of a run end at this point; one that ends alone does not wait for them.
    parser.set_defaults(ends_with_all=False, leaves_at_once=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    usage = "%(prog)s CONFIG [KEY=VALUE ...] [--out DIR]\n       %(prog)s --resume DIR"
    for command, about in (
        (run, "run a config, with overrides"),
        (sweep, "run a config at all combinations of the lists in its table `sweep`"),
    ):
        runner = commands.add_parser(command.__name__, help=about, usage=usage)
        runner.add_argument(
            "words",
            nargs="*",
            metavar="CONFIG KEY=VALUE",
            help="a TOML file, and changes as in train.epochs=3",
        )
        runner.add_argument(
            "--out", type=_folder, metavar="DIR", help="run folder; default under runs/"
        )
        runner.add_argument(
            "--resume", type=_folder, metavar="DIR", help="go on with the run in a folder"
        )
        runner.set_defaults(command=command, folder=None, others=[])

    lister = commands.add_parser("list", help="list the configs")
    lister.add_argument("folder", nargs="?", type=Path, default=Path("configs"))
    lister.set_defaults(command=list_configs)

    printer = commands.add_parser("schema", help="print the JSON schema of the configs")
    printer.set_defaults(command=print_schema)
    return parser


if __name__ == "__main__":
    sys.exit(main())
