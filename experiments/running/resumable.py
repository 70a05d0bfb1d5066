"""A part of a run, such as some of its seeds, that goes on from its own checkpoints."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from conv_jax.checkpoint import Checkpoints, Restored
from conv_jax.training import Interval
from experiments.record import Record
from experiments.running.interrupts import Interrupt
from experiments.running.run_folder import FolderError, Row, differences
from experiments.tables.checkpoints import Checkpointing


class Log(Protocol):
    """Where rows go."""

    def log(self, *rows: Mapping[str, Any]) -> None:
        """Keep rows."""


class Part:
    """Logs the rows of one part of a run, and leaves it where a signal asks for that."""

    def __init__(self, record: Log, *, interrupt: Interrupt | None = None) -> None:
        """Begin without rows.

        Args:
          record: of the run.
          interrupt: tells when to leave; None never does.
        """
        self.rows: list[Row] = []  # of this part, those of earlier sessions first
        self.notes: dict[str, Any] = {}  # what else a later session needs, as JSON
        self._log = record
        self._interrupt = Interrupt() if interrupt is None else interrupt

    def restore(self, state: Any) -> Restored | None:
        """Return None: there is nothing to go on from."""
        del state

    def log(self, *rows: Mapping[str, Any]) -> None:
        """Log rows of this part."""
        self.rows += map(dict, rows)
        self._log.log(*rows)

    def after(self, interval: Interval, state: Any, *, num_epochs: int) -> None:
        """Leave after an interval, if that was asked for.

        Raises:
          Interrupted: if a signal has come.
        """
        del interval, state, num_epochs
        if self._interrupt.asked():
            self._interrupt.leave()


class ResumablePart(Part):
    """A part that saves its state after some intervals, and goes on from there.

    An end of the process costs what was done since the last checkpoint. The rows after it are
    dropped, and come again with the intervals: the same, bit for bit, but for the seconds.
    """

    def __init__(
        self,
        record: Record,
        name: str,
        *,
        belongs: Callable[[Row], bool],
        options: Checkpointing,
        interrupt: Interrupt | None = None,
    ) -> None:
        """Name the part; nothing is read or written yet.

        Args:
          record: of the run.
          name: of its folder in checkpoints/.
          belongs: tells the rows of this part from those of others.
          options: when to save, and how many checkpoints to keep.
          interrupt: tells when to leave, the state saved; None never does.
        """
        super().__init__(record, interrupt=interrupt)
        self._record, self._name, self._belongs = record, name, belongs
        self._options = options
        folder = record.folder / "checkpoints" / name
        self._checkpoints = Checkpoints(folder, keep=options.keep)

    def restore(self, state: Any) -> Restored | None:
        """Go back to the newest sound checkpoint, and the rows to what they were then.

        Args:
          state: the one before the first step, with the sharding that is wanted.

        Returns:
          The checkpoint, None where there is none.

        Raises:
          CheckpointError: if there are checkpoints, and none is sound or fits `state`.
          FolderError: if they are of another config, or rows are missing.
        """
        restored = self._checkpoints.restore(state)
        start = {"rows": 0, "notes": {}, "config": self._record.config}
        about = restored.about if restored else start
        if differing := differences(about["config"], self._record.config):
            raise FolderError(f"the checkpoint of {self._name} is of another config: {differing}")
        numbers = itertools.count()
        self._record.drop(lambda row: self._belongs(row) and next(numbers) >= about["rows"])
        self.rows = [row for row in self._record.rows() if self._belongs(row)]
        self.notes = about["notes"]
        if len(self.rows) < about["rows"]:
            expected = f"expected {about['rows']} rows of {self._name}, found {len(self.rows)}"
            raise FolderError(f"{self._record.metrics}: {expected}")
        return restored

    def after(self, interval: Interval, state: Any, *, num_epochs: int) -> None:
        """Save the state if it is time to, and leave if that was asked for.

        Args:
          interval: what was just done, its rows logged.
          state: after it.
          num_epochs: of the whole run: its last state is saved in any case.

        Raises:
          Interrupted: if a signal has come; the state is saved.
          CheckpointError: if it cannot be saved.
        """
        asked = self._interrupt.asked()
        in_turn = interval.epoch % self._options.every == 0 or interval.epoch == num_epochs
        if (interval.ends_epoch and in_turn) or asked:
            self._record.sync()
            about = {"rows": len(self.rows), "notes": self.notes, "config": self._record.config}
            self._checkpoints.save(interval.step, state, about=about)
        self._interrupt.leave()


def make_part(
    record: Record,
    name: str,
    *,
    belongs: Callable[[Row], bool],
    options: Checkpointing,
    interrupt: Interrupt | None = None,
) -> Part:
    """Return a part that is resumable, or not where `options.every` is 0; see `ResumablePart`."""
    if options.every == 0:
        return Part(record, interrupt=interrupt)
    return ResumablePart(record, name, belongs=belongs, options=options, interrupt=interrupt)
