"""The command line: python -m experiments COMMAND ..."""

import argparse
import errno
import os
import sys
import traceback
from collections.abc import Sequence

from experiments.commands import FAILED, INTERRUPTED, MISTAKE, CommandError, missing_package

try:
    from experiments.commands import (
        configs,
        doctoring,
        exports,
        listing,
        predictions,
        profiling,
        reports,
        runs,
    )
    from experiments.config import ConfigError
    from experiments.running import processes
    from experiments.running.accelerator_errors import no_backend, what_helps
except ModuleNotFoundError as lack:
    if __name__ != "__main__" or not (line := missing_package(lack)):
        raise
    sys.exit(line)
except KeyboardInterrupt:
    if __name__ != "__main__":
        raise
    print("\ninterrupted", file=sys.stderr)
    sys.exit(INTERRUPTED)

COMMANDS = (runs, listing, reports, predictions, exports, configs, doctoring, profiling)

EXAMPLES = """\
examples:
  python -m experiments run configs/lenet5_digits.toml
  python -m experiments run configs/lenet5_mnist.toml optimizer.learning_rate=0.05 seeds=1
  python -m experiments run configs/learn_kernel_natural.toml model.target=box --out runs/box
  python -m experiments run --resume runs/lenet5_mnist-20261123-061500-000
  python -m experiments sweep configs/lenet5_digits.toml seeds=8 \\
      "sweep.optimizer.learning_rate=[0.02, 0.05, 0.1]"
  python -m experiments list
  python -m experiments ls
  python -m experiments report runs/a runs/b --out comparison.html
  python -m experiments predict runs/a five.png photos

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
    if options.take_extra is not None and not any(word.startswith("-") for word in extra):
        options.take_extra(parser, options, extra)
    elif extra:
        parser.error(f"unrecognized arguments: {' '.join(extra)}")
    options.arguments, options.is_child = arguments, is_child
    status = _status(options)
    if (is_child and not options.ends_with_all) or (is_shell and options.leaves_at_once):
        processes.leave(status)
    return status


def _status(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    try:
        status = options.command(options)
        print(end="", flush=True)  # what cannot be written is to fail here, not at the exit
        return status
    except (ConfigError, CommandError) as error:
        print(error, file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # a reader such as head has seen enough
        _drop_output()
        return 0
    except Exception as error:
        return _say_failure(error, is_child=options.is_child)


def _say_failure(error: Exception, *, is_child: bool) -> int:
    """Say what usually helps against an error, or give all of it, and return the exit status."""
    if _is_of_interrupt(error):
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    if line := no_backend(error):
        print(line, file=sys.stderr)
    elif isinstance(error, OSError) and error.errno == errno.ENOSPC:
        _finish_output()
        print(error, file=sys.stderr)
    elif advice := what_helps(error):
        print(f"{type(error).__name__}: {error}".splitlines()[0], advice, sep="\n", file=sys.stderr)
    elif isinstance(error, ModuleNotFoundError) and (line := missing_package(error)):
        print(line, file=sys.stderr)
    elif is_child:
        traceback.print_exception(error)
    else:
        raise error
    return FAILED


def _is_of_interrupt(error: BaseException) -> bool:
    """Tell whether it is what an extension made of Ctrl-C while it was imported."""
    below = error.__cause__ or error.__context__
    return isinstance(error, ImportError) and isinstance(below, KeyboardInterrupt)


def _finish_output() -> None:
    try:
        print(end="", flush=True)
    except OSError:
        _drop_output()


def _drop_output() -> None:
    """Leave what cannot be written of the output, so that the exit does not try it again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments",
        description="Run the experiments of conv_jax from their configs, and use what came out.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # Whether all processes of a run end at this point; one that ends alone does not wait for them.
    parser.set_defaults(ends_with_all=False, leaves_at_once=False, take_extra=None)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_to(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
