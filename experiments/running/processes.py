"""A run of several processes: how they join, and one line when another of them is lost."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from experiments.tables.distributed import Distributed

LOST = "lost another process of the run"
_HEARTBEAT = 10  # seconds without a sign of life after which a process is lost
_INHERITED = "CONV_JAX_INHERITED"  # file descriptors of a child: the terminal, its parent's pipe
_LOSS = re.compile("gloo|nccl|coordination|heartbeat|unavailable|connection|socket", re.IGNORECASE)


def join(options: Distributed) -> None:
    """Connect this process with the others of the run, before JAX starts.

    Args:
      options: where to find the others; without them, what SLURM or Open MPI tell JAX.

    Raises:
      ValueError: if options are missing, or nothing tells them.
    """
    import jax

    given = options.model_dump(exclude_none=True)
    missing = sorted(Distributed.model_fields.keys() - given.keys())
    if given and missing:
        keys = " and ".join(f"distributed.{key}" for key in missing)
        raise ValueError(f"{keys}: expected beside distributed.{', distributed.'.join(given)}")
    if given and given["process_id"] >= given["num_processes"]:
        raise ValueError(
            f"distributed.process_id: expected a number below the {given['num_processes']} "
            f"processes, got {given['process_id']}"
        )
    if given:
        _check_coordinator(given["coordinator"], listens=given["process_id"] == 0)
        print(
            f"process {given['process_id']} of {given['num_processes']}: waiting for the others "
            f"at {given['coordinator']}",
            file=sys.stderr,
        )
    jax.config.update("jax_enable_preemption_service", False)  # it swallows SIGTERM
    try:
        jax.distributed.initialize(
            coordinator_address=options.coordinator,
            num_processes=options.num_processes,
            process_id=options.process_id,
            heartbeat_timeout_seconds=_HEARTBEAT,
        )
    except ValueError:
        raise ValueError(
            "distributed: expected coordinator, num_processes and process_id, for neither SLURM "
            "nor Open MPI has started this process"
        ) from None


def _check_coordinator(address: str, *, listens: bool) -> None:
    host, _, port = address.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        if listens:
            with socket.socket(found[0][0]) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("", int(port)))
    except (OSError, OverflowError) as error:
        raise ValueError(f"distributed.coordinator: {address}: {error}") from None


def words(options: Distributed) -> list[str]:
    """Return the table as overrides for a command line."""
    given = options.model_dump(exclude_none=True)
    return [f"distributed.{key}={value}" for key, value in given.items()] or ["distributed={}"]


def is_loss(error: BaseException) -> bool:
    """Tell whether an error of JAX is about the connection to another process."""
    import jax

    from experiments.running.run_folder import FolderError

    if isinstance(error, FolderError) or not isinstance(error, RuntimeError | ValueError):
        return False  # jitted functions raise either
    return jax.process_count() > 1 and _LOSS.search(str(error)) is not None


def cause(error: BaseException) -> str:
    """Return the first sentence of what an error of a lost connection came from."""
    while below := error.__cause__ or error.__context__:
        error = below
    first = str(error).partition("\n")[0].partition(". ")[0]
    return re.sub(r"\[external/[^]]*\] ", "", first)


def supervise(arguments: Sequence[str], *, how_to_go_on: Callable[[], str]) -> int:
    """Run a command in a child of this process, and say in one line what ended it.

    When XLA loses another process it aborts this one, with pages of C++ that Python cannot catch.
    The child leaves them in a file, and its parent says what they mean.

    Args:
      arguments: of the command line.
      how_to_go_on: gives the end of that line, "" if the run cannot.

    Returns:
      The exit status: of a child that a signal ended 128 and its number, but 1 for XLA's abort.
    """
    reader, writer = os.pipe()
    stderr = os.dup(2)
    with tempfile.NamedTemporaryFile(prefix="conv_jax-", suffix=".log", delete=False) as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "experiments", *arguments],
            env={**os.environ, _INHERITED: f"{stderr},{reader}"},
            stderr=log,
            pass_fds=(stderr, reader),
            start_new_session=True,  # Ctrl-C comes here alone, and is passed on
        )
    with _passing_signals_on(child):
        status = child.wait()
    for descriptor in (reader, writer, stderr):
        os.close(descriptor)
    if status >= 0:
        Path(log.name).unlink()
        return status
    said = Path(log.name).read_text(encoding="utf-8", errors="replace")
    aborted = -status == signal.SIGABRT
    what = LOST if aborted and _LOSS.search(said) else f"ended by {signal.Signals(-status).name}"
    parts = [f"{what} (what XLA says of it: {log.name})" if said else what, how_to_go_on()]
    print("; ".join(filter(None, parts)), file=sys.stderr)
    if not said:
        Path(log.name).unlink()
    return 1 if aborted else 128 - status


def adopt() -> bool:
    """Take what `supervise` gives its child, which ends when its parent does.

    Returns:
      Whether this process is such a child.
    """
    inherited = os.environ.pop(_INHERITED, None)
    if inherited is None:
        return False
    stderr, pipe = map(int, inherited.split(","))
    sys.stderr = os.fdopen(stderr, "w", buffering=1, encoding="utf-8")
    threading.Thread(target=_end_with_parent, args=(pipe,), daemon=True).start()
    return True


def leave(status: int) -> None:
    """End at once: without the others, the end of JAX would wait for them, or abort."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _end_with_parent(pipe: int) -> None:
    os.read(pipe, 1)  # nobody writes: this returns when the other end is closed
    os._exit(1)


@contextlib.contextmanager
def _passing_signals_on(child: subprocess.Popen[Any]) -> Iterator[None]:
    def send(signum: int, frame: FrameType | None) -> None:
        del frame
        child.send_signal(signum)

    numbers = [signal.SIGTERM, signal.SIGINT]
    handlers = {number: signal.getsignal(number) for number in numbers}
    heard = [number for number in numbers if handlers[number] not in (signal.SIG_IGN, None)]
    for number in heard:
        signal.signal(number, send)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, handlers[number])
