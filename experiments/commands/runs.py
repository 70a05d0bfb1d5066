"""run and sweep: train what a config describes, in a folder of its own."""

import argparse
import contextlib
import functools
import importlib
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments import config as configs
from experiments.commands import FAILED, INTERRUPTED, MISTAKE
from experiments.running import processes


def add_to(commands: Any) -> None:
    """Add the commands to the parser's."""
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
        runner.set_defaults(command=command, take_extra=_sort_words, folder=None, others=[])


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
    options.resumable = configs.saves_checkpoints(config)
    if distributed := getattr(config, "distributed", None):
        options.others = processes.words(distributed)
        if not options.is_child:
            how_to_go_on = functools.partial(_how_a_child_goes_on, options)
            return processes.supervise(options.arguments, how_to_go_on=how_to_go_on)
    from experiments.running.run_folder import FinishedError

    console = Console(markup=False, highlight=False, soft_wrap=True)
    try:
        task, record = _begin(options, config, prepare=prepare, console=console)
    except FinishedError as finished:
        console.print(finished)
        options.ends_with_all = True
        return 0
    except Exception as error:  # one that is no fault of the user goes on
        return _say_refusal(options, error)
    try:
        with _reported(record, console), record.running():
            run(task, record, console)
    except Exception as error:  # one that is no fault of the user goes on
        return _say_failure(options, error, folder=record.folder)
    except KeyboardInterrupt as error:
        return _say_interruption(options, error, folder=record.folder)
    options.ends_with_all = True
    console.print(f"run folder: {record.folder}")
    return 0


def _begin(
    options: argparse.Namespace,
    config: configs.Config,
    *,
    prepare: Callable[[], Any],
    console: Console,
) -> tuple[Any, Any]:
    """Prepare the task of an experiment, then open the record of its run."""
    import jax

    from conv_jax.devices import agree
    from experiments.record import FolderError, default_folder, open_record
    from experiments.running.compilation_cache import use_compilation_cache
    from experiments.running.determinism import use_deterministic_kernels
    from experiments.running.run_folder import holds_run
    from experiments.running.sinks import check_installed

    if not config.experiment.startswith("bench"):  # which state how long compilation takes
        use_compilation_cache()
    options.folder = options.resume or options.out or default_folder(options.config)
    if getattr(config, "deterministic", False):
        use_deterministic_kernels()
    if distributed := getattr(config, "distributed", None):
        processes.join(distributed)
        options.folder = Path(agree(str(options.folder)))
        console.quiet = jax.process_index() > 0
    if options.resume and not options.resumable:
        raise FolderError(f"--resume: this run of {config.experiment} saves no checkpoints")
    table = configs.dump(config)
    check_installed(table.get("log", {}))
    task = prepare()
    resume = options.resume is not None or (options.resumable and holds_run(options.folder))
    return task, open_record(options.folder, table, resume=bool(agree(resume)))


def _say_refusal(options: argparse.Namespace, error: Exception) -> int:
    """Say why a run did not begin, and return the exit status; an error of the code goes on."""
    from experiments.running.accelerator_errors import no_backend
    from experiments.running.run_folder import FolderError

    if no_backend(error):
        raise error
    options.ends_with_all = isinstance(error, FolderError)
    if processes.is_loss(error):
        return _say_loss(options, error)
    if isinstance(error, FolderError | FileNotFoundError | ValueError):
        print(f"{_source(options, str(error))}: {error}", file=sys.stderr)
        return MISTAKE
    if isinstance(error, OSError | ImportError | RuntimeError | MemoryError):
        _say(options, error)
        return FAILED
    raise error


def _say_failure(options: argparse.Namespace, error: Exception, *, folder: Path) -> int:
    """Say why a run failed, and return the exit status; an error of the code goes on."""
    from conv_jax.divergence import DivergedError
    from experiments.running.run_folder import FolderError

    options.ends_with_all = isinstance(error, DivergedError)
    if processes.is_loss(error):
        return _say_loss(options, error)
    if not isinstance(error, DivergedError | FolderError | OSError | RuntimeError | MemoryError):
        raise error
    _say(options, error)
    print(f"what was recorded: {folder}", file=sys.stderr)
    if options.resumable and not isinstance(error, DivergedError):
        print(f"once that is mended, {_how_to_go_on(options)}", file=sys.stderr)
    return FAILED


def _say_interruption(
    options: argparse.Namespace, error: KeyboardInterrupt, *, folder: Path
) -> int:
    """Say how an interrupted run goes on, and return the exit status."""
    from experiments.running.interrupts import Interrupted

    print(f"\ninterrupted; what was recorded: {folder}", file=sys.stderr)
    if options.resumable:
        print(_how_to_go_on(options), file=sys.stderr)
    options.ends_with_all = isinstance(error, Interrupted)
    options.leaves_at_once = not isinstance(error, Interrupted)  # some threads may not end
    return 128 + error.signum if isinstance(error, Interrupted) else INTERRUPTED


@contextlib.contextmanager
def _reported(record: Any, console: Console) -> Iterator[None]:
    """Write the page of the run at its end, in the process that keeps its record.

    The run stays what it was, whatever becomes of its page.
    """
    try:
        yield
    finally:
        if record.writes:
            try:
                from experiments.after.report import run_page

                console.print(f"report: {run_page.write(record.folder)}")
            except (Exception, KeyboardInterrupt) as error:
                print(f"no report: {_one_line(error)}", file=sys.stderr)


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("expected a folder, got ''")
    return Path(text)


def _sort_words(
    parser: argparse.ArgumentParser, options: argparse.Namespace, extra: list[str]
) -> None:
    """Tell CONFIG from the overrides, some after an option; a run that is resumed has its own."""
    words = [*options.words, *extra]
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


def _how_a_child_goes_on(options: argparse.Namespace) -> str:
    folder = options.resume or options.out  # else the child has chosen one
    begun = folder is None or (folder / "config.toml").exists()
    return _how_to_go_on(options) if options.resumable and begun else ""


def _say_loss(options: argparse.Namespace, error: Exception) -> int:
    """Say in a line that the run lost another of its processes, and return the exit status."""
    line = f"{options.config}: {processes.LOST} ({processes.cause(error)})"
    print(f"{line}; {_how_to_go_on(options)}" if options.resumable else line, file=sys.stderr)
    return FAILED


def _say(options: argparse.Namespace, error: Exception) -> None:
    """Say in a line what failed, and in another what usually helps."""
    from experiments.running.accelerator_errors import what_helps

    print(f"{options.config}: {_one_line(error)}", file=sys.stderr)
    if advice := what_helps(error):
        print(advice, file=sys.stderr)


def _source(options: argparse.Namespace, message: str) -> str:
    """Return the override that a message is about, else the config file."""
    overrides: list[str] = options.overrides
    about = [o for o in overrides if message.startswith(f"{o.partition('=')[0].strip()}:")]
    return f"override {about[-1]!r}" if about else str(options.config)


def _one_line(error: BaseException) -> str:
    """Return the first line of an error, with its kind if it is not ours."""
    from conv_jax.checkpoint import CheckpointError
    from experiments.running.run_folder import FolderError
    from experiments.running.sinks import SinkError

    first = next(iter(str(error).splitlines()), "")
    return (
        first
        if isinstance(error, ArithmeticError | CheckpointError | FolderError | SinkError)
        else f"{type(error).__name__}: {first}"
    )
