"""How far a long transfer is: a bar with rate and time left on a terminal, plain lines elsewhere (standard error)."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY = 10.0  # seconds between two plain lines


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Gives `report(done, total)` in bytes, to be called after each piece; total 0 is unknown."""
    if not sys.stderr.isatty():
        yield _lines(label)
        return
    from rich import progress as bars
    from rich.console import Console

    columns = (bars.BarColumn(), bars.DownloadColumn(), bars.TransferSpeedColumn(), bars.TimeRemainingColumn())
    with bars.Progress("{task.description}", *columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


def size_text(count: float) -> str:
    """A number of bytes for people: `58 KiB`."""
    units = ["bytes", "KiB", "MiB", "GiB"]
    while count >= 1024 and len(units) > 1:
        count, units = count / 1024, units[1:]
    return f"{count:.1f} {units[0]}" if count < 10 and units[0] != "bytes" else f"{count:.0f} {units[0]}"


def _lines(label: str) -> Callable[[int, int], None]:
    began = last = time.monotonic()
    first = -1

    def report(done: int, total: int) -> None:
        nonlocal last, first
        first = done if first < 0 else first
        now = time.monotonic()
        if now - last >= EVERY:
            last, rate = now, max((done - first) / (now - began), 1.0)
            left = f"of {size_text(total)}, {(total - done) / rate:.0f} s left" if total else ""
            print(f"{label}: {size_text(done)} {left} ({size_text(rate)}/s)", file=sys.stderr)

    return report
