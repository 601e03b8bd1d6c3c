"""A limit of time: work that runs over it is stopped, other interruptions go their way."""

import math
import signal
import time

import pytest

from kgl.clock import Clock


def busy(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))


def test_work_that_runs_over_the_time_is_stopped() -> None:
    clock, began, finished = Clock.of(0.2), time.monotonic(), False
    with clock.stopping():
        busy(20)
        finished = True
    assert not finished and clock.is_over and clock.left < 0 and time.monotonic() - began < 2


def test_work_that_ends_in_time_is_left_alone() -> None:
    clock, before = Clock.of(30), signal.getsignal(signal.SIGINT)
    with clock.stopping():
        busy(0.05)
    assert not clock.is_over and 29 < clock.left < 30 and signal.getsignal(signal.SIGINT) is before


def test_no_limit_is_no_limit() -> None:
    clock = Clock.of(0)
    with clock.stopping():
        pass
    assert clock.left == math.inf and not clock.is_over


def test_ctrl_c_and_errors_are_not_taken_for_the_end_of_the_time() -> None:
    clock = Clock.of(30)
    with pytest.raises(KeyboardInterrupt), clock.stopping():
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), clock.stopping():
        _ = 1 / 0
    assert not clock.is_over


def test_the_time_ends_where_ctrl_c_is_ignored_as_in_the_background_of_a_shell() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        clock, began = Clock.of(0.2), time.monotonic()
        with clock.stopping():
            signal.raise_signal(signal.SIGINT)
            busy(20)
        assert clock.is_over and time.monotonic() - began < 2
    finally:
        signal.signal(signal.SIGINT, before)
