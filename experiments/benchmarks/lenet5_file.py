"""The config of LeNet5 that a command of the benchmarks is given."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments import config as configs
from experiments.tables import LeNet5Config


def load(
    parser: argparse.ArgumentParser, path: Path, overrides: Sequence[str] = ()
) -> LeNet5Config:
    """Read a config of lenet5, or say what is wrong with it and leave with status 2."""
    try:
        config = configs.load(path)
        if not isinstance(config, LeNet5Config):
            raise configs.ConfigError(
                f"{path}: experiment: expected 'lenet5', got {config.experiment!r}"
            )
        changed = configs.load(path, overrides)
    except configs.ConfigError as error:
        parser.exit(2, f"{error}\n")
    assert isinstance(changed, LeNet5Config)
    return changed
