"""Unpacking archives safely: nothing outside the folder, no links, each byte checked, hashes taken on the way."""

import hashlib
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from kgl.errors import KglError
from kgl.online.progress import size_text

CHUNK = 1 << 20
SPARE = 100 << 20
"""Bytes that are left free on the disk."""
NESTED = 4
"""How deep zips in zips are unpacked."""
CORRUPT = (zipfile.BadZipFile, zlib.error, EOFError)


class Unpacked(NamedTuple):
    """A file that was unpacked: its hash, and the member of the outer archive that it came from (itself, or a zip)."""

    sha256: str
    origin: str


Report = Callable[[int, int], None]


def unpack(archive: Path, folder: Path, *, report: Report, depth: int = NESTED) -> dict[str, Unpacked]:
    """Unpack a zip, and zips in it, into `folder`; returns what came, by its path in the folder.

    A nested zip is unpacked beside itself if it holds one file or a folder of its own name, else into such a folder,
    and removed. Links, absolute paths and paths that lead outside are refused before anything is written.

    Raises:
        zipfile.BadZipFile, zlib.error, EOFError: the archive is cut or corrupt (`CORRUPT`).
        RuntimeError: it needs a password, or its method of compression is unknown.
        KglError: it holds what is refused, or is larger than the free disk.
    """
    found: dict[str, Unpacked] = {}
    with zipfile.ZipFile(archive) as packed:
        members = [(info, safe_path(info, archive.name)) for info in packed.infolist() if not info.is_dir()]
        total, done = sum(info.file_size for info, _ in members), 0
        folder.mkdir(parents=True, exist_ok=True)
        check_space(folder, total)
        made: set[str] = set()
        for info, name in members:
            found[name] = Unpacked(_write(packed, info, _place(folder, name, made)), name)
            done += info.file_size
            report(done, total)
    for name in [name for name in found if name.lower().endswith(".zip") and depth > 1]:
        if inside := _unpack_nested(folder, name, depth - 1):
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
        raise KglError(
            f"the disk of {folder} has {size_text(free)} free and {size_text(needed)} are needed; free some, or set "
            "[files] root in competition.toml to a folder on another disk."
        )


def safe_path(info: zipfile.ZipInfo, archive: str) -> str:
    """The path of a member below the target folder, with `/` between its parts.

    Raises:
        KglError: a link, an absolute path, or one that leads outside.
    """
    if stat.S_ISLNK(info.external_attr >> 16):
        raise KglError(f"{archive} holds a link ({info.filename!r}); refused, nothing was unpacked.")
    return safe_name(info.filename, archive)


def safe_name(name: str, where: str) -> str:
    """`name` as a relative path with `/` between its parts; on Windows without characters that no file may have.

    Raises:
        KglError: it is absolute or leads outside.
    """
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or name[:1] in ("/", "\\") or name[1:2] == ":" or "\0" in name:
        raise KglError(f"{where} holds {name!r}, which leads outside the data folder; refused, nothing was unpacked.")
    kept = PurePosixPath(*[part for part in parts if part not in ("", ".")]).as_posix()
    return kept if os.name != "nt" else kept.translate(str.maketrans('<>:"|?*', "_______"))


def members_of(archive: Path) -> list[zipfile.ZipInfo]:
    """The files in a zip, without its folders."""
    with zipfile.ZipFile(archive) as packed:
        return [info for info in packed.infolist() if not info.is_dir()]


def folder_for(name: str, archive: Path) -> str:
    """Where the members of `archive` go, that belongs at `name`: the folder it lies in, or one of its own name there."""
    names, path = [info.filename for info in members_of(archive)], PurePosixPath(name)
    stem = path.name[:-4]
    beside = len(names) == 1 or all(member.startswith(f"{stem}/") for member in names)
    return (path.parent if beside else path.parent / stem).as_posix()


def move_tree(source: Path, target: Path, *, keep: Iterable[str] = ()) -> None:
    """Move all files below `source` to the same places below `target`, but for the paths in `keep`; `source` goes.

    A folder that the target lacks is moved in one piece: thousands of images cost nothing.
    """
    _merge(source, target, {target / name for name in keep})
    shutil.rmtree(source)


def _merge(source: Path, target: Path, keep: set[Path]) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)
        source.mkdir()
        return
    for entry in os.scandir(source):
        place = target / entry.name
        if entry.is_dir():
            _merge(Path(entry.path), place, keep)
        elif place not in keep:
            os.replace(entry.path, place)


def _unpack_nested(folder: Path, name: str, depth: int) -> dict[str, Unpacked]:
    """Unpack a zip in place. One that cannot be read (a password, an unknown method, corrupt) stays as it is."""
    inner, aside = folder / name, folder / f"{name}.unpacked"
    try:
        below = folder_for(name, inner)
        found = unpack(inner, aside, report=lambda done, total: None, depth=depth)
    except (RuntimeError, *CORRUPT):
        shutil.rmtree(aside, ignore_errors=True)
        return {}
    inner.unlink()
    move_tree(aside, folder / below)
    return {(PurePosixPath(below) / path).as_posix(): file for path, file in found.items()}


def _place(folder: Path, name: str, made: set[str]) -> str:
    """The full path of a member as text, its folder made once (20,000 pathlib joins would cost more than the files)."""
    path = os.path.join(folder, name)
    parent = os.path.dirname(path)
    if parent not in made:
        os.makedirs(parent, exist_ok=True)
        made.add(parent)
    return path


def _write(packed: zipfile.ZipFile, info: zipfile.ZipInfo, path: str) -> str:
    """Write one member and return its sha256; the zip module compares its CRC while it is read."""
    with packed.open(info) as source, open(path, "wb") as out:
        if info.file_size <= CHUNK:
            content = source.read()
            out.write(content)
            return hashlib.sha256(content).hexdigest()
        hashed = hashlib.sha256()
        while piece := source.read(CHUNK):
            out.write(piece)
            hashed.update(piece)
    return hashed.hexdigest()
