"""What checkpoints cost a run: `python -m experiments.benchmarks.checkpoints [CONFIG]`.

Trains one network for some epochs, with a checkpoint after each, then restores the last. Prints
the seconds of an epoch without its checkpoint, of a checkpoint, and of going on from one: what a
run that goes on does more than one that begins.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from conv_jax.training import Interval
from experiments import config as configs
from experiments import lenet5, lenet5_training
from experiments.benchmarks import lenet5_file
from experiments.lenet5_training import Network
from experiments.record import Record
from experiments.running.resumable import ResumablePart
from experiments.tables.checkpoints import Checkpointing


class Timed(ResumablePart):
    """A part that knows how long each of its checkpoints took."""

    def __init__(self, record: Record) -> None:
        """Begin a part to which all rows belong."""
        options = Checkpointing(every=1, keep=2)
        super().__init__(record, "timed", belongs=lambda _: True, options=options)
        self.seconds: list[float] = []

    def after(self, interval: Interval, state: Any, *, num_epochs: int) -> None:
        """Save after an epoch, and keep the seconds."""
        start = time.perf_counter()
        super().after(interval, state, num_epochs=num_epochs)
        if interval.ends_epoch:
            self.seconds.append(time.perf_counter() - start)


def main() -> None:
    """Print the seconds of an epoch, of a checkpoint and of going on from one."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("config", type=Path, nargs="?", default=Path("configs/lenet5_mnist.toml"))
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    loaded = lenet5_file.load(parser, options.config, [f"train.epochs={options.epochs}", "seeds=1"])
    task, networks = lenet5.prepare(loaded), [Network(0)]
    with tempfile.TemporaryDirectory() as folder:
        record = Record(Path(folder) / "run", configs.dump(loaded))
        part = Timed(record)
        console = Console(quiet=True)
        (outcome,) = lenet5_training.train(task, networks, part=part, console=console)
        start = time.perf_counter()
        Timed(record).restore(lenet5_training.initial_state(task, networks))
        going_on = time.perf_counter() - start
    epoch, save = statistics.median(outcome.epoch_seconds), statistics.median(part.seconds)
    print(f"epoch {epoch:.2f} s, checkpoint {save:.3f} s: {100 * save / epoch:.1f} % of an epoch")
    print(f"going on from a checkpoint: {going_on:.3f} s, {100 * going_on / epoch:.1f} %")


if __name__ == "__main__":
    main()
