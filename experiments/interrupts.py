"""Signals that ask a run to stop: a flag for the training loop instead of an end in the middle."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """A run that stopped where it was asked to, all of it saved."""

    def __init__(self, signum: int) -> None:
        """Keep the number of the signal."""
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class Interrupt:
    """Whether a signal has asked the run to stop, and which one."""

    def __init__(self) -> None:
        """Begin without one."""
        self.signum: int | None = None

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return self.signum is not None

    def leave(self) -> None:
        """Leave, if a signal has asked for it.

        Raises:
          Interrupted: with the number of the signal.
        """
        if self.signum is not None:
            raise Interrupted(self.signum)

    def receive(self, signum: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        del frame
        if self.signum is not None and signum == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signum is None:
            with contextlib.suppress(OSError):  # no print: that may be what was interrupted
                os.write(2, b"\nstopping after this interval; Ctrl-C leaves at once\n")
        self.signum = self.signum or signum


@contextlib.contextmanager
def deferred() -> Iterator[Interrupt]:
    """Turn SIGTERM and the first Ctrl-C into a flag; a second Ctrl-C leaves at once.

    A signal that is ignored, as by `nohup` or in a script's background, stays so. Python handles
    signals in the main thread only: elsewhere the flag is never set.

    Yields:
      The flag, for the loop to ask after every interval.

    Raises:
      Interrupted: at the end, if the flag was set and the loop did not ask again.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    unheard = (signal.SIG_IGN, None)  # None is no handler of Python's
    handlers = {number: handler for number, handler in handlers.items() if handler not in unheard}
    try:
        for number in handlers:
            signal.signal(number, interrupt.receive)
        yield interrupt
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    interrupt.leave()
