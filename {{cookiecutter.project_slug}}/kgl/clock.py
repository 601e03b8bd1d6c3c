"""A limit of time that holds: work that runs over it is stopped as Ctrl-C would stop it."""

import _thread
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

AGAIN = 10.0  # seconds until a work that swallowed the interruption gets another


class OutOfTime(KeyboardInterrupt):
    """Raised in the main thread when the time is over."""


@dataclass
class Clock:
    """The time that some work has; `is_over` says whether something was stopped for it."""

    ends: float = math.inf
    is_over: bool = False

    @classmethod
    def of(cls, seconds: float) -> "Clock":
        """A clock that starts now; 0: no limit."""
        return cls(time.monotonic() + seconds if seconds else math.inf)

    @property
    def left(self) -> float:
        """Seconds, infinite without a limit."""
        return self.ends - time.monotonic()

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """Run the block until it ends or the time is over, which ends it quietly; in the main thread alone.

        What native code computes is stopped when it returns, or asks for signals as Ctrl-C's.
        """
        if math.isinf(self.ends):
            yield
            return
        done = threading.Event()
        before = signal.getsignal(signal.SIGINT)

        def interrupted(number: int, frame: FrameType | None) -> Any:
            if self.is_over:
                raise OutOfTime
            return before(number, frame) if callable(before) else None  # Ctrl-C itself, ignored in the background

        watch = threading.Thread(target=self._watch, args=(done,), daemon=True)
        signal.signal(signal.SIGINT, interrupted)
        try:
            try:
                watch.start()
                yield
            finally:
                done.set()
                watch.join()
        except KeyboardInterrupt:
            if not self.is_over:
                raise
        finally:
            signal.signal(signal.SIGINT, before)

    def _watch(self, done: threading.Event) -> None:
        wait = max(0.0, self.left)
        while not done.wait(wait):
            self.is_over = True
            _interrupt_main_thread()
            wait = AGAIN


def _interrupt_main_thread() -> None:
    if sys.platform == "win32":
        _thread.interrupt_main()
    else:  # a signal ends waiting too, which an interruption that Python only makes believe does not
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
