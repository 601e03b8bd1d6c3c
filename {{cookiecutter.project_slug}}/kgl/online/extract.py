"""Unpacking archives safely: nothing outside the folder, no links, each byte checked, hashes taken on the way."""

import hashlib
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Collection
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from kgl.errors import KglError
from kgl.online.progress import size_text

CHUNK = 1 << 20
SPARE = 100 << 20  # bytes that are left free on the disk
NESTED = 3  # how deep zips in zips are unpacked
CORRUPT = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)  # the last: a password, an unknown method


class Unpacked(NamedTuple):
    """A file that was unpacked: its hash, and the member of the outer archive that it came from (itself, or a zip)."""

    sha256: str
    origin: str


def unpack(
    archive: Path, folder: Path, *, report: Callable[[int, int], None] | None = None, nested: int = NESTED
) -> dict[str, Unpacked]:
    """Unpack a zip, and zips in it, into `folder`; returns what came, by its path in the folder.

    A nested zip is unpacked beside itself if it holds one file or a folder of its own name, else into such a folder,
    and removed; one that cannot be read (a password, an unknown method, corrupt) stays as it is.

    Raises:
        zipfile.BadZipFile, zlib.error, EOFError, RuntimeError: the archive cannot be read (`CORRUPT`).
        KglError: it holds a link or a path that leads outside, or the disk is too small; nothing was written.
    """
    found: dict[str, Unpacked] = {}
    made: set[str] = set()
    with zipfile.ZipFile(archive) as packed:
        members = [(info, _safe(info, archive.name)) for info in packed.infolist() if not info.is_dir()]
        total, done = sum(info.file_size for info, _ in members), 0
        folder.mkdir(parents=True, exist_ok=True)
        check_space(folder, total)
        for info, name in members:
            found[name] = Unpacked(_write(packed, info, os.path.join(folder, name), made), name)
            done += info.file_size
            if report:
                report(done, total)
    for name in [name for name in found if nested and name.lower().endswith(".zip")]:
        if inside := _unpack_nested(folder, name, nested - 1):
            del found[name]
            found |= {path: Unpacked(file.sha256, name) for path, file in inside.items()}
    return found


def check_space(folder: Path, needed: int) -> None:
    """Refuse to begin what does not fit.

    Raises:
        KglError: fewer than `needed` bytes (and a little more) are free (status 1).
    """
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE:
        lack = f"the disk of {folder} has {size_text(free)} free and {size_text(needed)} are needed"
        raise KglError(f"{lack}. Free some, or set [files] root in competition.toml to a folder on another disk.")


def safe_name(name: str, where: str) -> str:
    """`name` as a relative path with `/` between its parts; on Windows without characters that no file may have.

    Raises:
        KglError: it is absolute or leads outside.
    """
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or name[:1] in ("/", "\\") or name[1:2] == ":" or "\0" in name:
        raise KglError(f"{where} holds {name!r}, which leads outside the data folder: refused, nothing was unpacked.")
    kept = PurePosixPath(*(part for part in parts if part not in ("", "."))).as_posix()
    return kept if os.name != "nt" else kept.translate(str.maketrans('<>:"|?*', "_______"))


def names_in(archive: Path) -> list[str]:
    """The names of the files in a zip, as they stand there."""
    with zipfile.ZipFile(archive) as packed:
        return [info.filename for info in packed.infolist() if not info.is_dir()]


def folder_for(name: str, archive: Path) -> str:
    """Where the members of a zip that lies at `name` go: into the folder that it lies in, or one of its own name."""
    names, path = names_in(archive), PurePosixPath(name)
    beside = len(names) == 1 or all(member.startswith(f"{path.stem}/") for member in names)
    return (path.parent if beside else path.with_suffix("")).as_posix()


def move_tree(source: Path, target: Path, *, keep: Collection[Path] = ()) -> None:
    """Move all files below `source` to the same places below `target`, but for the targets in `keep`; `source` goes.

    A folder that the target lacks is moved in one piece, so that thousands of images cost nothing.
    """
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)
        return
    for entry in os.scandir(source):
        place = target / entry.name
        if entry.is_dir():
            move_tree(Path(entry.path), place, keep=keep)
        elif place not in keep:
            os.replace(entry.path, place)
    shutil.rmtree(source)


def _safe(info: zipfile.ZipInfo, archive: str) -> str:
    if stat.S_ISLNK(info.external_attr >> 16):
        raise KglError(f"{archive} holds a link ({info.filename!r}): refused, nothing was unpacked.")
    return safe_name(info.filename, archive)


def _unpack_nested(folder: Path, name: str, nested: int) -> dict[str, Unpacked]:
    inner, aside = folder / name, folder / f"{name}.unpacked"
    try:
        below = folder_for(name, inner)
        found = unpack(inner, aside, nested=nested)
    except CORRUPT:
        shutil.rmtree(aside, ignore_errors=True)
        return {}
    inner.unlink()
    move_tree(aside, folder / below)
    return {(PurePosixPath(below) / path).as_posix(): file for path, file in found.items()}


def _write(packed: zipfile.ZipFile, info: zipfile.ZipInfo, path: str, made: set[str]) -> str:
    """Write one member and return its sha256; zipfile compares its CRC while it is read. Folders are made once."""
    parent = os.path.dirname(path)
    if parent not in made:
        os.makedirs(parent, exist_ok=True)
        made.add(parent)
    hashed = hashlib.sha256()
    with packed.open(info) as source, open(path, "wb") as out:
        while piece := source.read(CHUNK):
            out.write(piece)
            hashed.update(piece)
    return hashed.hexdigest()
