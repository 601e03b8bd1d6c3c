"""kgl download: every file of the contest, whole, checked, unpacked, and nothing of the user's overwritten."""

import errno
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from zipfile import is_zipfile

from kgl.config import nearest
from kgl.errors import KglError, some, usage
from kgl.online.client import Kaggle
from kgl.online.extract import CORRUPT, Unpacked, check_space, folder_for, move_tree, names_in, unpack
from kgl.online.fetch import discard, fetch, part_of, size_of
from kgl.online.manifest import Manifest, Remote
from kgl.online.progress import progress, size_text
from kgl.paths import digest

if TYPE_CHECKING:
    from requests import Response

Files = tuple[list[Remote], list[Remote]]  # asked for, fetched now
STAGING, LOCK = ".kgl-unpacking", ".kgl-lock"


def download(
    kaggle: Kaggle, root: Path, patterns: Collection[str] = (), *, overwrite: Callable[[list[str]], bool]
) -> Files:
    """Bring the contest's files (those that match a pattern, if there are any) below `root`.

    Args:
        overwrite: asked before edited files are replaced, with their names; False keeps them.

    Returns:
        The files that were asked for, and those of them that were fetched now.

    Raises:
        KglError: refused by Kaggle (3); no network, disk full, corrupt or unsafe archives (1); unknown pattern (2).
    """
    from filelock import FileLock, Timeout

    root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / LOCK, timeout=0):
            return _Work(kaggle, root).run(patterns, overwrite)
    except Timeout:
        raise KglError(f"another kgl download is at work in {root}; wait for it to end.") from None
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise KglError(f"the disk of {root} is full. What came is kept; free some space and run this again.") from error


def list_files(kaggle: Kaggle) -> list[Remote]:
    """All files of the contest, from all pages of Kaggle's list."""
    files = kaggle.every("list_data_files", "files")
    return [Remote(file.name, int(file.total_bytes or 0), f"{file.total_bytes} {file.creation_date}") for file in files]


def select(files: list[Remote], patterns: Collection[str]) -> list[Remote]:
    """The files whose path or name matches one of the patterns (all without patterns).

    Raises:
        KglError: there are none (1); a pattern matches nothing (2).
    """
    if not files:
        raise KglError("Kaggle lists no files: look at the contest's Data page, and at slug in competition.toml.")
    chosen = {pattern: [file for file in files if _matches(file.name, pattern)] for pattern in patterns}
    for pattern in (pattern for pattern, found in chosen.items() if not found):
        names = [file.name for file in files]
        raise usage(f"no file of this contest matches '{pattern}'.{nearest(pattern, names)} There are: {some(names)}")
    return [file for file in files if not patterns or any(file in found for found in chosen.values())]


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(PurePosixPath(name).name, pattern)


def total_size(files: list[Remote]) -> int:
    """Bytes of files of the list."""
    return sum(file.size for file in files)


class _Work:
    """One download into a folder; `keep` are the files in it that stay as they are."""

    def __init__(self, kaggle: Kaggle, root: Path) -> None:
        self.kaggle, self.root = kaggle, root
        self.manifest = Manifest(root)
        self.staging = root / STAGING
        self.keep: set[Path] = set()

    def run(self, patterns: Collection[str], overwrite: Callable[[list[str]], bool]) -> Files:
        files = select(list_files(self.kaggle), patterns)
        missing, edited = self.manifest.compare(files)
        if edited and overwrite(list(edited)):
            missing = [file for file in files if file in missing or file in edited.values()]
        else:
            self.keep = {self.root / path for path in edited}
        fetched = left = [file for file in missing if self.root / file.path not in self.keep]
        if not patterns and len(left) > 1 and total_size(left) > total_size(files) / 2:
            self.kaggle.say(f"{len(files):,} files, {size_text(total_size(files))}: the whole archive is fetched")
            left = self.fetch(f"{self.kaggle.slug}.zip", left, "download_data_files")
        for file in left:
            self.fetch(file.path, [file], "download_data_file", file_name=file.name)
        self.manifest.save()
        return files, fetched

    def fetch(self, name: str, files: list[Remote], method: str, **fields: str) -> list[Remote]:
        """Fetch one file, or the archive of all, and put it in place; what turns out corrupt is fetched once more.

        Returns:
            The files that it did not bring, or not in the size of the list.
        """
        target = self.root / name

        def start() -> "Response":
            response: Response = self.kaggle.call(method, attempts=6, **fields)
            coming = int(response.headers.get("Content-Length", 0)) - size_of(part_of(target))
            check_space(self.root, coming + total_size(files))
            return response

        for again in (f"{name} arrived corrupt; it is fetched once more", ""):
            with progress(name) as report:
                part = fetch(start, target, report)
            shutil.rmtree(self.staging, ignore_errors=True)  # what a run that was stopped left
            try:
                came = self.unpack_file(part, files[0]) if fields else self.unpack_archive(part)
            except CORRUPT:
                discard(target)
                if again:
                    self.kaggle.say(again)
            else:
                move_tree(self.staging, self.root, keep=self.keep)
                discard(target)
                return self.record(files, came)
        raise KglError(f"{name} arrived corrupt twice. Try again later; if it stays so, tell the contest's hosts.")

    def unpack_archive(self, part: Path) -> dict[str, Unpacked]:
        """The contest's one archive."""
        with progress("unpacking") as report:
            return unpack(part, self.staging, report=report)

    def unpack_file(self, part: Path, remote: Remote) -> dict[str, Unpacked]:
        """One file of the list. Kaggle sends large ones zipped; zips of the list are unpacked too."""
        folder = _unpacks_to(part, remote)
        if folder is not None:
            try:
                found = unpack(part, self.staging / folder).items()
                return {
                    (PurePosixPath(folder) / path).as_posix(): one._replace(origin=remote.path) for path, one in found
                }
            except RuntimeError:  # it needs a password, or an unknown method: it stays a zip
                shutil.rmtree(self.staging)
        sha256, place = digest(part), self.staging / remote.path
        place.parent.mkdir(parents=True)
        os.replace(part, place)
        return {remote.path: Unpacked(sha256, remote.path)}

    def record(self, files: list[Remote], came: dict[str, Unpacked]) -> list[Remote]:
        """Note what came with each file; returns the files with which nothing came, or not what the list says."""
        hashes: dict[str, dict[str, str]] = defaultdict(dict)
        for path, one in came.items():
            hashes[one.origin][path] = one.sha256
        left = []
        for remote in files:
            found = hashes[remote.path]
            is_whole = remote.path not in found or size_of(self.root / remote.path) == remote.size
            if found and (is_whole or len(files) == 1):
                self.manifest.record(remote, found, keep=self.keep)
            else:
                left.append(remote)
        self.manifest.save()
        return left


def _unpacks_to(part: Path, remote: Remote) -> str | None:
    """The folder for the content of a zip: of one in the list, or of one around the file that was asked for."""
    path = PurePosixPath(remote.path)
    if path.suffix.lower() == ".zip":
        return folder_for(remote.path, part) if is_zipfile(part) else None
    with part.open("rb") as file:
        if file.read(4) != b"PK\3\4" or size_of(part) == remote.size:
            return None
    return path.parent.as_posix() if [PurePosixPath(name).name for name in names_in(part)] == [path.name] else None
