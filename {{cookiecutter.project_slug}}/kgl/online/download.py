"""kgl download: every file of the contest, whole, checked, unpacked, and nothing of the user's overwritten."""

import errno
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from kgl.config import nearest
from kgl.errors import KglError, usage
from kgl.online.client import Kaggle
from kgl.online.extract import CORRUPT, Unpacked, check_space, folder_for, members_of, move_tree, unpack
from kgl.online.fetch import digest, discard, fetch, part_of
from kgl.online.manifest import Manifest, Remote
from kgl.online.progress import progress, size_text

if TYPE_CHECKING:
    from requests import Response

T = TypeVar("T")
STAGING, LOCK = ".kgl-unpacking", ".kgl-lock"


@dataclass(frozen=True)
class Downloaded:
    """What a download did: the contest's files that were asked for, those fetched now, and edited ones left alone."""

    files: list[Remote]
    fetched: list[Remote]
    kept: list[str]


def download(
    kaggle: Kaggle,
    root: Path,
    patterns: Iterable[str] = (),
    *,
    overwrite: Callable[[list[str]], bool],
    say: Callable[[str], None],
) -> Downloaded:
    """Bring the contest's files (those that match a pattern, if there are any) below `root`.

    Args:
        overwrite: asked before edited files are replaced, with their names; False keeps them.
        say: takes a line about what is done.

    Raises:
        KglError: refused by Kaggle (3); no network, a full disk, corrupt or unsafe archives (1); an unknown pattern (2).
    """
    from filelock import FileLock, Timeout

    root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / LOCK, timeout=0):
            return _download(kaggle, root, list(patterns), overwrite, say)
    except Timeout:
        raise KglError(f"another kgl download is at work in {root}; wait for it to end.") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise KglError(
                f"the disk of {root} is full; what came is kept: free some space and run this again."
            ) from error
        raise


def list_files(kaggle: Kaggle) -> list[Remote]:
    """All files of the contest, from all pages of Kaggle's list."""
    return [
        Remote(file.name, file.total_bytes, file.creation_date.isoformat() if file.creation_date else "")
        for file in kaggle.every("list_data_files", "files")
    ]


def select(files: list[Remote], patterns: list[str]) -> list[Remote]:
    """The files whose path or name matches one of the patterns (all without patterns).

    Raises:
        KglError: a pattern matches nothing (status 2).
    """
    for pattern in patterns:
        if not any(_matches(file.name, pattern) for file in files):
            names = [file.name for file in files]
            shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
            raise usage(f"no file of this contest matches '{pattern}'.{nearest(pattern, names)} There are: {shown}")
    return [file for file in files if not patterns or any(_matches(file.name, p) for p in patterns)]


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(PurePosixPath(name).name, pattern)


def _download(
    kaggle: Kaggle, root: Path, patterns: list[str], overwrite: Callable[[list[str]], bool], say: Callable[[str], None]
) -> Downloaded:
    files = select(list_files(kaggle), patterns)
    manifest = Manifest.load(root)
    missing, edited = manifest.states(files)
    keep = set(edited) if edited and not overwrite(list(edited)) else set()
    if not keep:
        missing = [f for f in files if f in missing or f in edited.values()]
    work = _Work(kaggle, manifest, keep, say)
    fetched = missing = [remote for remote in missing if remote.path not in keep]
    if len(missing) > 1 and not patterns and _bytes(missing) > _bytes(files) / 2:
        say(f"{len(files):,} files, {size_text(_bytes(files))}: the whole archive is fetched")
        work.fetch_archive(files)
        missing = [remote for remote in manifest.states(missing)[0] if remote.path not in keep]
    for remote in missing:
        work.fetch_one(remote)
    manifest.save()
    return Downloaded(files, fetched, sorted(keep))


def _bytes(files: list[Remote]) -> int:
    return sum(file.size for file in files)


@dataclass(frozen=True)
class _Work:
    """Fetching and unpacking into the manifest's folder; files in `keep` stay as they are."""

    kaggle: Kaggle
    manifest: Manifest
    keep: set[str]
    say: Callable[[str], None]

    def fetch_archive(self, files: list[Remote]) -> None:
        """The contest's one archive: each listed file is noted with what came out of it."""
        unpacked = self._twice(f"{self.kaggle.slug}.zip", _bytes(files), self._unpack_all, "download_data_files")
        of: dict[str, dict[str, str]] = {}
        for path, file in unpacked.items():
            if path not in self.keep:
                of.setdefault(file.origin, {})[path] = file.sha256
        for remote in files:
            came = of.get(remote.path, {})
            if came and (remote.path not in came or self._size(remote.path) == remote.size):
                self.manifest.record(remote, came)
        self.manifest.save()

    def fetch_one(self, remote: Remote) -> None:
        """One file of the list; Kaggle sends large ones zipped, and zips of the list are unpacked too."""

        def place(part: Path) -> None:
            self.manifest.record(remote, self._place(part, remote))

        self._twice(remote.path, remote.size, place, "download_data_file", file_name=remote.name)
        self.manifest.save()

    def _twice(self, name: str, size: int, use: Callable[[Path], T], method: str, **fields: str) -> T:
        """Fetch and use; what turns out corrupt is fetched once more. `size` is what it takes when unpacked."""
        target = self.manifest.root / name

        def start() -> "Response":
            response: Response = self.kaggle.call(method, attempts=6, **fields)
            there = part_of(target).stat().st_size if part_of(target).exists() else 0
            check_space(self.manifest.root, int(response.headers.get("Content-Length", 0)) - there + size)
            return response

        for _ in range(2):
            with progress(name) as report:
                part = fetch(start, target, report=report, sleep=self.kaggle.sleep)
            try:
                used = use(part)
            except CORRUPT:
                self.say(f"{name} arrived corrupt: it is fetched once more")
            else:
                return used
            finally:
                shutil.rmtree(self._staging, ignore_errors=True)
            discard(target)
        raise KglError(f"{name} arrived corrupt twice; try again later, and if it stays so tell the contest's hosts.")

    def _unpack_all(self, part: Path) -> dict[str, Unpacked]:
        with progress("unpacking") as report:
            unpacked = unpack(part, self._staging, report=report)
        move_tree(self._staging, self.manifest.root, keep=self.keep)
        discard(self.manifest.root / f"{self.kaggle.slug}.zip")
        return unpacked

    def _place(self, part: Path, remote: Remote) -> dict[str, str]:
        """Move or unpack a part that is whole; returns the hash of each file that it became."""
        if not _is_packed(part, remote):
            hashes = {remote.path: digest(part)}
            os.replace(part, self.manifest.root / remote.path)
        else:
            wrapped = not remote.path.lower().endswith(".zip")
            below = PurePosixPath(remote.path).parent.as_posix() if wrapped else folder_for(remote.path, part)
            unpacked = unpack(part, self._staging, report=lambda done, total: None)
            move_tree(self._staging, self.manifest.root / below, keep=self._kept_below(below))
            hashes = {(PurePosixPath(below) / path).as_posix(): file.sha256 for path, file in unpacked.items()}
        discard(self.manifest.root / remote.path)
        return {path: sha256 for path, sha256 in hashes.items() if path not in self.keep}

    def _kept_below(self, folder: str) -> list[str]:
        return [os.path.relpath(path, folder) for path in self.keep]

    def _size(self, path: str) -> int:
        return (self.manifest.root / path).stat().st_size

    @property
    def _staging(self) -> Path:
        return self.manifest.root / STAGING


def _is_packed(part: Path, remote: Remote) -> bool:
    """Whether the bytes are a zip to unpack: one of the list, or one around the file that was asked for."""
    if remote.path.lower().endswith(".zip"):
        return True
    with part.open("rb") as file:
        if file.read(4) != b"PK\3\4" or part.stat().st_size == remote.size:
            return False
    names = [info.filename for info in members_of(part)]
    return len(names) == 1 and PurePosixPath(names[0]).name == PurePosixPath(remote.path).name
