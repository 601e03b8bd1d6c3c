"""A kgl command in a process of its own."""

import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kgl.session import Say

GRACE = 600.0  # seconds from Ctrl-C to the end of the process


def run_kgl(
    words: Sequence[str], folder: Path, env: Mapping[str, str], say: Say, *, seconds: float | None = None
) -> tuple[int, str]:
    """Run `kgl` with these words: its exit status and the last line that it said; it ends with this process.

    Args:
        words, folder, env: command line, current folder and environment.
        say: takes each line as it comes.
        seconds: after them it is stopped as by Ctrl-C.
    """
    streams: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    streams |= {"encoding": "utf-8", "errors": "replace"}
    command = [sys.executable, "-m", "kgl", *words]
    process: subprocess.Popen[str] = subprocess.Popen(command, cwd=folder, env=env, **streams)
    timers = [threading.Timer(seconds, process.send_signal, [signal.SIGINT])] if seconds else []
    timers += [threading.Timer(seconds + GRACE, process.kill)] if seconds else []
    line = ""
    try:
        for timer in timers:
            timer.start()
        for line in process.stdout or ():
            say(line.rstrip())
        return process.wait(), line.strip()
    finally:
        for timer in timers:
            timer.cancel()
        process.kill()  # nothing happens where it has ended
        process.wait()
