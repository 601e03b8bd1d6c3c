"""Runs a notebook's cells in one process, as Kaggle would: `kgl.notebook.check` starts this file as a script.

It imports nothing of the workspace: the engine must come from the notebook's own data sets.
"""

import json
import os
import sys
import time
import traceback
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

NO_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
CHANGES = ("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "os.rename", "os.symlink", "os.link")
HERE = ("", "localhost", "127.0.0.1", "::1")


class Image(PathFinder):
    """Finds modules as Python does, but those that Kaggle's image lacks."""

    lacks: frozenset[str] = frozenset()

    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """None for a module that is not there."""
        return None if fullname.partition(".")[0] in cls.lacks else super().find_spec(fullname, path, target)


def fence(may_write: list[str], tried: list[str]) -> None:
    """From here on, refuse connections and writing anywhere else, each with a sentence that is also kept in `tried`."""
    inside = tuple(os.path.realpath(folder) + os.sep for folder in may_write)

    def refuse(error: type[OSError], what: str) -> None:
        tried.append(what)
        raise error(f"{what}, which Kaggle does not allow")

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in NO_NETWORK:
            address = arguments[-1] if event.endswith(("connect", "sendto")) else arguments[0]
            host = address[0] if isinstance(address, tuple) else address if event.startswith("socket.get") else ""
            host = host.decode() if isinstance(host, bytes) else str(host or "")
            if host not in HERE:
                refuse(ConnectionError, f"tried to reach {host}")
            return
        if event == "open" and not isinstance(arguments[0], int):
            paths = arguments[:1] if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC) else ()
        elif event in CHANGES:
            paths = arguments[:2] if event == "os.rename" else arguments[1:2] if "link" in event else arguments[:1]
        else:
            return
        for path in paths:
            if isinstance(path, (str, bytes, os.PathLike)):
                whole = os.path.join(os.path.realpath(os.path.dirname(os.fsdecode(path)) or "."), "")
                if not (whole + os.path.basename(os.fsdecode(path))).startswith(inside):
                    refuse(PermissionError, f"tried to write {os.fsdecode(path)}, outside the working folder")

    sys.addaudithook(watch)


def limit_memory(gigabytes: float) -> None:
    """Make allocating more than that fail, where the system can."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_DATA, (int(gigabytes * 2**30), resource.RLIM_INFINITY))


def run(cells: list[str], report: dict[str, Any], save: Any) -> None:
    """Run the cells in order; what goes wrong is put into `report`."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, code in enumerate(cells, start=1):
        report["cell"] = number
        save()
        try:
            exec(compile(code, f"cell {number}", "exec"), names)
        except BaseException as error:
            traceback.print_exc()
            where = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if "cell " in frame.filename]
            report["line"] = where[-1] if where else getattr(error, "lineno", None)
            report["error"] = f"{type(error).__name__}: {error}".strip().splitlines()[0]
            report["module"] = error.name if isinstance(error, ModuleNotFoundError) else None
            return
    report["done"] = True


def main(path: str) -> None:
    """Run what the JSON file says, and leave a report where it says."""
    with open(path, encoding="utf-8") as file:
        task = json.load(file)
    with open(task["report"], encoding="utf-8") as file:
        report: dict[str, Any] = json.load(file)
    began = time.perf_counter()

    def save() -> None:
        report["seconds"] = time.perf_counter() - began
        with open(task["report"], "w", encoding="utf-8") as file:
            json.dump(report, file)

    Image.lacks = frozenset(task["lacks"])
    sys.meta_path[:] = [Image if finder is PathFinder else finder for finder in sys.meta_path]
    sys.path[:] = [folder for folder in sys.path if os.path.realpath(folder) != os.path.realpath(task["workspace"])]
    sys.argv = ["ipykernel_launcher.py", "-f", "kernel.json"]  # as a notebook has it
    sys.dont_write_bytecode = True
    limit_memory(task["memory_gb"])
    fence([*task["may_write"], "/dev", "/proc"], report["tried"])
    run(task["cells"], report, save)
    save()


if __name__ == "__main__":
    main(sys.argv[1])
