"""Where else the rows of a run are shown: TensorBoard, Weights & Biases, Trackio.

metrics.jsonl is the record; these are views of it. A view that fails is left, and the run goes on.
"""

import contextlib
import hashlib
import importlib
import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from experiments.running.run_folder import ENVIRONMENT, Row, flatten, is_number, network_of

# The package that each key of the table `log` needs, which its extra installs.
PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb", "trackio": "trackio"}
MOST_NETWORKS = 50  # that TensorBoard is shown: each takes three open files, of macOS's 256
_NO_NUMBERS = ("kind", "seed", "setting", "step")

Numbers = Mapping[str, float]


class SinkError(RuntimeError):
    """A sink that cannot begin."""


class Sink(Protocol):
    """What shows the numbers of a run."""

    repeats: bool  # whether it is given the rows of earlier sessions again

    def log(self, network: str, step: int, numbers: Numbers) -> None:
        """Show the numbers of a network after a step, by names such as "train/loss"."""

    def finish(self, results: Numbers, *, succeeded: bool) -> None:
        """Show the final results, and end."""

    def close(self) -> None:
        """End without results."""


class TensorBoard:
    """Event files in tensorboard/, a folder for each network; written anew by every session."""

    repeats = True

    def __init__(self, _: Any, folder: Path, config: Mapping[str, Any]) -> None:
        """Begin without files: those of earlier sessions may have lost their ends."""
        self._folder, self._config = folder / "tensorboard", config
        self._writers: dict[str, Any] = {}
        shutil.rmtree(self._folder, ignore_errors=True)

    def log(self, network: str, step: int, numbers: Numbers) -> None:
        """Add the numbers to the network's file."""
        if network not in self._writers and len(self._writers) == MOST_NETWORKS:
            return
        for name, number in numbers.items():
            self._writer(network).add_scalar(name, number, step)

    def finish(self, results: Numbers, *, succeeded: bool) -> None:
        """Add hyper-parameters with the final results, and close the files."""
        del succeeded
        from tensorboardX import SummaryWriter
        from tensorboardX.summary import hparams

        # As add_hparams of a writer would, which is a run of its own for TensorBoard.
        writer: Any
        with SummaryWriter(str(self._folder / "result")) as writer:
            for summary in hparams(_scalars(self._config), dict(results)):
                writer.file_writer.add_summary(summary)
            for name, number in results.items():
                writer.add_scalar(name, number)
        self.close()

    def close(self) -> None:
        """Close all files, those too after one that cannot be."""
        with contextlib.ExitStack() as stack:
            for writer in self._writers.values():
                stack.callback(writer.close)
            self._writers = {}

    def _writer(self, network: str) -> Any:
        if network not in self._writers:
            from tensorboardX import SummaryWriter

            name = re.sub(r"[^\w.=-]+", "_", network)
            self._writers[network] = SummaryWriter(str(self._folder / name), flush_secs=5)
        return self._writers[network]


class WandB:
    """A run of Weights & Biases, which later sessions of the same folder go on with."""

    repeats = False

    def __init__(self, project: str, folder: Path, config: Mapping[str, Any]) -> None:
        """Begin the run, or go on with it; WANDB_MODE=offline needs no account."""
        self._run = importlib.import_module("wandb").init(
            project=project,
            name=folder.resolve().name,
            id=_id(folder),
            resume="allow",
            config=dict(config),
            dir=str(folder),
        )
        self._run.define_metric("*", step_metric="step")  # its own count would rise with every call

    def log(self, network: str, step: int, numbers: Numbers) -> None:
        """Log the numbers under the network's name."""
        self._run.log({"step": step, **_named(network, numbers)})

    def finish(self, results: Numbers, *, succeeded: bool) -> None:
        """Put the final results into the summary."""
        self._run.summary.update(dict(results))
        self._run.finish(exit_code=0 if succeeded else 1)

    def close(self) -> None:
        """End the run as one that failed."""
        self._run.finish(exit_code=1)


class Trackio:
    """A run of Trackio, which later sessions of the same folder go on with."""

    repeats = False

    def __init__(self, project: str, folder: Path, config: Mapping[str, Any]) -> None:
        """Begin the run, or go on with it."""
        name = f"{folder.resolve().name}-{_id(folder)}"
        self._trackio = importlib.import_module("trackio")
        self._trackio.init(project, name=name, config=flatten(config), resume="allow", embed=False)

    def log(self, network: str, step: int, numbers: Numbers) -> None:
        """Log the numbers under the network's name."""
        self._trackio.log(_named(network, numbers), step=step)

    def finish(self, results: Numbers, *, succeeded: bool) -> None:
        """Log the final results."""
        del succeeded
        if results:
            self._trackio.log({f"result/{name}": number for name, number in results.items()})
        self.close()

    def close(self) -> None:
        """End the run."""
        self._trackio.finish()


_SINKS = {"tensorboard": TensorBoard, "wandb": WandB, "trackio": Trackio}


class Feed:
    """Gives the rows of a run to the sinks that its config asks for."""

    def __init__(self, options: Mapping[str, Any], folder: Path, config: Mapping[str, Any]) -> None:
        """Open the sinks.

        Args:
          options: the table `log`.
          folder: of the run.
          config: what was asked.

        Raises:
          SinkError: if one cannot begin, as for want of an account.
        """
        self._steps: dict[str, int] = {}  # of every network, for rows that do not say
        self._shown: set[str] = set()
        self._sinks: dict[str, Sink] = {}
        for name in _asked(options):
            try:
                self._sinks[name] = _SINKS[name](options[name], folder, config)
            except Exception as error:  # of whatever kind its package raises
                for begun in self._sinks.values():
                    _close(begun)
                raise SinkError(f"log.{name}: {_first_line(error)}") from error

    def log(self, rows: Sequence[Row], *, earlier: bool = False) -> None:
        """Show rows of training and evaluation.

        What a resumed run repeats it repeats as it was, so a row that was shown is left out.

        Args:
          rows: of metrics.jsonl.
          earlier: whether another session has logged them.
        """
        if not self._sinks:
            return
        for network, step, numbers in self._new(rows):
            for name, sink in list(self._sinks.items()):
                if earlier and not sink.repeats:
                    continue
                try:
                    sink.log(network, step, numbers)
                except Exception as error:  # of whatever kind its package raises
                    self._leave(name, error)

    def finish(self, results: Mapping[str, Any], *, succeeded: bool) -> None:
        """Show the final results, those that are numbers, and close the sinks."""
        numbers = {key: value for key, value in results.items() if is_number(value)}
        for name, sink in list(self._sinks.items()):
            try:
                sink.finish(numbers, succeeded=succeeded)
            except Exception as error:  # of whatever kind its package raises
                self._leave(name, error)
        self._sinks = {}

    def _new(self, rows: Sequence[Row]) -> Iterator[tuple[str, int, Numbers]]:
        for row in rows:
            kind, network = row.get("kind"), network_of(row)
            if kind not in ("train", "evaluate"):
                continue
            step = self._steps[network] = row.get("step", self._steps.get(network, 0))
            key = json.dumps([kind, network, step])
            if key in self._shown:
                continue
            self._shown.add(key)
            numbers = {k: v for k, v in row.items() if k not in _NO_NUMBERS and is_number(v)}
            yield network, step, {f"{kind}/{key}": number for key, number in numbers.items()}

    def _leave(self, name: str, error: Exception) -> None:
        _close(self._sinks.pop(name))
        print(f"log.{name}: {_first_line(error)}; the run goes on without it", file=sys.stderr)


def check_installed(options: Mapping[str, Any]) -> None:
    """Check that the packages are there that a table `log` asks for.

    Raises:
      ValueError: naming the extra that installs what is missing.
    """
    for name in _asked(options):
        try:
            importlib.import_module(PACKAGES[name])
        except ImportError as error:
            raise ValueError(
                f"log.{name}: expected the package {PACKAGES[name]}, which the extra installs: "
                f"pip install -c constraints.txt -e '.[{name}]' ({error})"
            ) from None


def _close(sink: Sink) -> None:
    with contextlib.suppress(Exception):  # what went wrong with it is told already
        sink.close()


def _asked(options: Mapping[str, Any]) -> list[str]:
    return [name for name in PACKAGES if options.get(name)]


def _id(folder: Path) -> str:
    """Return what tells the run of a folder from others, the same in all its sessions."""
    began = json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8"))
    about = [folder.resolve().name, *(began[key] for key in ("time", "command", "platform"))]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:12]


def _named(network: str, numbers: Numbers) -> dict[str, float]:
    return {f"{name}/{network}" if network else name: value for name, value in numbers.items()}


def _scalars(config: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """Return a config flat, with what has no one value written as JSON."""
    flat = flatten(config)
    return {
        k: v if isinstance(v, bool | int | float | str) else json.dumps(v) for k, v in flat.items()
    }


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
