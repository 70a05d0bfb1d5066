"""profile: where the time of a training step goes."""

import argparse
from pathlib import Path
from typing import Any

from experiments import config as configs
from experiments.commands import CommandError
from experiments.tables import LeNet5Config


def add_to(commands: Any) -> None:
    """Add the command to the parser's."""
    usage = "%(prog)s CONFIG [KEY=VALUE ...] [--steps N] [--out DIR]"
    profiler = commands.add_parser(
        "profile", help="tell where the time of a training step goes", usage=usage
    )
    profiler.add_argument("config", type=Path, metavar="CONFIG", help="a TOML file of lenet5")
    profiler.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes of it")
    profiler.add_argument("--steps", type=_count, default=20, metavar="N", help="default 20")
    profiler.add_argument("--out", type=Path, metavar="DIR", help="folder; default under runs/")
    profiler.set_defaults(command=profile, take_extra=_take_overrides)


def profile(options: argparse.Namespace) -> int:
    """Measure the stages of a step, and write a trace of some steps."""
    config = configs.load(options.config, options.overrides)
    if not isinstance(config, LeNet5Config):
        raise CommandError(
            f"{options.config}: experiment: expected 'lenet5', got {config.experiment!r}"
        )
    for key, rest in (("sweep", "several settings"), ("distributed", "several processes")):
        if getattr(config, key):
            raise CommandError(f"{options.config}: {key}: {rest}; profile measures one network")
    from rich.console import Console

    from experiments import lenet5, step_profile
    from experiments.record import Record, default_folder
    from experiments.running.compilation_cache import use_compilation_cache
    from experiments.running.environment import environment
    from experiments.running.run_folder import PROFILE

    use_compilation_cache()
    table = {key: value for key, value in configs.dump(config).items() if key != "log"}
    table["experiment"] = PROFILE  # no training that could go on, or that has weights
    named = options.config.with_stem(f"profile-{options.config.stem}")
    try:
        task = lenet5.prepare(config)
        record = Record(options.out or default_folder(named), table)
    except (ValueError, OSError) as error:
        raise CommandError(f"{options.config}: {error}") from None
    with record.running():
        stages = step_profile.measure(task, steps=options.steps)
        whole = step_profile.total(stages)
        record.report({"step_seconds": whole, "stages": [stage._asdict() for stage in stages]})
        machine = environment()
        size = f"a step of {config.data.batch_size} images"
        where = f"{machine['devices'][0]} ({machine['backend']}, {machine['cores']} cores)"
        console = Console(markup=False, highlight=False)
        console.print(*step_profile.printed(stages, title=f"{size} on {where}"))
        step_profile.trace(task, steps=options.steps, folder=record.folder / "trace")
    print(f"trace: {record.folder / 'trace'}, for ui.perfetto.dev or xprof")
    print(f"run folder: {record.folder}")
    return 0


def _take_overrides(
    parser: argparse.ArgumentParser, options: argparse.Namespace, extra: list[str]
) -> None:
    """Take the overrides that follow an option."""
    del parser
    options.overrides += extra


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 10000, got {text!r}")
    return int(text)
