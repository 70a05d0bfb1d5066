import signal
import threading

import pytest

from experiments.running import interrupts
from experiments.running.interrupts import Interrupted

TERM, CTRL_C = signal.SIGTERM, signal.SIGINT


def handlers():
    return [signal.getsignal(number) for number in (TERM, CTRL_C)]


def loop(*numbers, error=None):
    """Receive signals, tell how the flag stood before and after each, and ask in the end."""
    with interrupts.deferred() as interrupt:
        seen = [interrupt.asked()]
        for number in numbers:
            signal.raise_signal(number)
            seen.append(interrupt.asked())
        if error:
            raise error
        interrupt.leave()
    return seen


@pytest.mark.parametrize("number", [TERM, CTRL_C], ids=["term", "ctrl_c"])
def test_the_first_signal_leaves_when_the_loop_asks(number):
    with pytest.raises(Interrupted) as caught:
        loop(number)
    assert caught.value.signum == number


def test_a_signal_that_the_loop_did_not_ask_for_leaves_at_the_end():
    with pytest.raises(Interrupted), interrupts.deferred():
        signal.raise_signal(TERM)


def test_without_a_signal_there_is_nothing_to_leave():
    assert loop() == [False]


@pytest.mark.parametrize("first", [TERM, CTRL_C], ids=["after_term", "after_ctrl_c"])
def test_a_further_ctrl_c_leaves_at_once(first):
    with pytest.raises(KeyboardInterrupt) as caught:
        loop(first, CTRL_C, error=AssertionError("went on"))
    assert not isinstance(caught.value, Interrupted)


def test_a_further_term_changes_nothing():
    with pytest.raises(Interrupted) as caught:
        loop(CTRL_C, TERM)
    assert caught.value.signum == CTRL_C


def test_an_error_of_the_loop_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        loop(TERM, error=ZeroDivisionError())


@pytest.mark.parametrize("error", [None, ZeroDivisionError()], ids=["as_usual", "by_an_error"])
def test_the_handlers_are_restored(error):
    before = handlers()
    try:
        loop(error=error)
    except ZeroDivisionError:
        assert error
    assert handlers() == before


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(CTRL_C, signal.SIG_IGN)
    try:
        assert loop(CTRL_C) == [False, False]
    finally:
        signal.signal(CTRL_C, before)


def test_outside_the_main_thread_nothing_is_installed():
    before, seen = handlers(), []

    def look():
        with interrupts.deferred():
            seen.append(handlers())

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]
