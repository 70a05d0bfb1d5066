"""Signals that ask a run to stop: a flag for the training loop instead of an end in the middle."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from conv_jax import devices


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
        self._agreed = 0

    def asked(self) -> bool:
        """Tell whether a signal has come, to any process of the run; all of them must ask."""
        self._agreed = devices.largest(self.signum or 0)
        return self._agreed > 0

    def leave(self) -> None:
        """Leave, if the last answer of `asked` was yes.

        Raises:
          Interrupted: with the number of the signal.
        """
        if self._agreed:
            raise Interrupted(self._agreed)

    def receive(self, signum: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        del frame
        if self.signum is not None and signum == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signum is None:
            with contextlib.suppress(OSError):  # no print: that may be what was interrupted
                os.write(
                    sys.stderr.fileno(), b"\nstopping after this interval; Ctrl-C leaves at once\n"
                )
        self.signum = self.signum or signum


@contextlib.contextmanager
def deferred() -> Iterator[Interrupt]:
    """Turn SIGTERM and the first Ctrl-C into a flag; a second Ctrl-C leaves at once.

    A signal that is ignored, as by `nohup` or in a script's background, stays so. Python handles
    signals in the main thread only: elsewhere the flag is never set.

    Yields:
      The flag, for the loop to ask after every interval.

    Raises:
      Interrupted: at the end, if the flag was set and the loop did not leave.
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
    if interrupt.asked():
        interrupt.leave()
