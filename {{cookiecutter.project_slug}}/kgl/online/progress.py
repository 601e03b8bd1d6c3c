"""How far a long transfer is: a bar with rate and time left on a terminal, plain lines elsewhere (standard error)."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY = 10.0
"""Seconds between two plain lines."""


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Gives `report(done, total)` in bytes, to be called after each piece; total 0 is unknown."""
    if sys.stderr.isatty():
        with _bar(label) as report:
            yield report
    else:
        yield _lines(label)


def size_text(count: float) -> str:
    """A number of bytes for people: `58 KiB`."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if count >= 10 or unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable")


@contextmanager
def _bar(label: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


def _lines(label: str) -> Callable[[int, int], None]:
    began = last = time.monotonic()
    first: int | None = None

    def report(done: int, total: int) -> None:
        nonlocal last, first
        first = done if first is None else first
        now = time.monotonic()
        if now - last < EVERY:
            return
        last = now
        rate = (done - first) / (now - began)
        left = f", {(total - done) / rate:.0f} s left" if total and rate else ""
        print(
            f"{label}: {size_text(done)} of {size_text(total) if total else '?'}, {size_text(rate)}/s{left}",
            file=sys.stderr,
        )

    return report
