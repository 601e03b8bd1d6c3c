"""Where the workspace's files lie, and writing them whole or not at all."""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kgl.errors import KglError, usage

MARKER = "competition.toml"


@dataclass(frozen=True)
class Workspace:
    """The folder that holds competition.toml, and the places in it."""

    root: Path

    @property
    def competition_toml(self) -> Path:
        return self.root / MARKER

    @property
    def experiments(self) -> Path:
        return self.root / "experiments"

    @property
    def cache(self) -> Path:
        return self.root / "data" / "cache"

    @property
    def folds(self) -> Path:
        return self.root / "data" / "folds.parquet"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def submissions(self) -> Path:
        return self.root / "submissions.jsonl"


def find_workspace() -> Workspace:
    """The workspace that the current folder lies in, found upwards.

    Raises:
        KglError: no folder from here upwards has a competition.toml (status 2).
    """
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / MARKER).is_file():
            return Workspace(folder)
    raise usage(f"no {MARKER} in {here} or above it; run this inside a workspace")


def use_workspace(workspace: Workspace) -> None:
    """Make `features`, `contest` and `experiments` of the workspace importable, before anything else of that name."""
    root = str(workspace.root)
    if root not in sys.path[:1]:
        sys.path.insert(0, root)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, and vanishes when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(folder: Path, *, anew: bool = False) -> Iterator[Path]:
    """A folder beside `folder` that takes its name when the block ends well; one that is there stays, unless `anew`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{folder.name}.*") if anew else ():  # by a killed process
        shutil.rmtree(left, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield temporary
        temporary.chmod(0o755)
        if anew:
            shutil.rmtree(folder, ignore_errors=True)
        if not folder.is_dir():  # a worker whose parent was killed may have been first, with the same predictions
            os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all. NaN is refused by the format: give None."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def digest(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        KglError: the file is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise KglError(f"{path} is not valid JSON ({error}); restore it from git or delete it") from None
