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
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY:
            last = time.monotonic()
            print(f"{label}: {size_text(done)}" + (f" of {size_text(total)}" if total else ""), file=sys.stderr)

    return report
