"""The contest's pictures as rows: which file each id has, and its label, in the three layouts; nothing is moved."""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kgl.competition import Competition, data_root, load_competition
from kgl.errors import KglError, usage
from kgl.image.pixels import unfold
from kgl.paths import Workspace, find_workspace
from kgl.table_file import read_table
from kgl.tables import ID, Data, labels_of, with_ids

PATH = "path"
SUFFIX = re.compile(r"\.(jpe?g?|jfif|png|webp|gif|bmp|tiff?|avif|jp2|ppm|pgm)$", re.IGNORECASE)
PACKED = re.compile(r"\.(7z|zip|tar|tgz|tar\.\w+)$", re.IGNORECASE)
Part = Literal["train", "test"]


def read_images(part: Part) -> pd.DataFrame:
    """The rows of this workspace's contest, for load() in contest.py; see `image_rows`."""
    workspace = find_workspace()
    rows, target = image_rows(workspace, competition := load_competition(workspace), part), competition.target
    return rows.dropna(subset=list(target)) if part == "train" and len(target) == 1 and target[0] in rows else rows


def image_rows(workspace: Workspace, competition: Competition, part: Part) -> pd.DataFrame:
    """A row a picture: `__id__`, the table's own columns, `path`, and in train the target.

    `path` is relative to the contest's folder with forward slashes, and empty where a table names a file that is not
    there. Test rows without a table are those of the sample submission, else a row a file.

    Raises:
        KglError: facts are not known yet (2); no folder, no pictures, or names that do not fit the pattern (1).
    """
    root = data_root(workspace, competition)
    if competition.images.column.endswith("*"):
        return _rows_of_pixels(workspace, root, competition, part)
    competition.require("images.layout", f"images.{part}_dir")
    folder = getattr(competition.images, f"{part}_dir")
    files, others = list_files(root, folder)
    if not files:
        raise KglError(f"no pictures in {root / folder}; {unpack_first(root)} or correct images.{part}_dir.")
    if others:
        click.echo(f"{folder}: {len(others)} other files are left out (the first: {others[0]})", err=True)
    table = getattr(competition.files, part)
    if competition.images.layout == "csv" and part == "train":
        competition.require("files.train", "images.column")
    if competition.images.layout == "csv" and table:
        return _rows_of_table(root / table, files, folder, competition)
    sample = competition.files.sample_submission
    if part == "test" and sample:
        return _rows_of_sample(root / sample, files, folder, competition)
    rows = _rows_of_files(files, folder, competition)
    if part == "train":
        competition.require("target")
        rows[competition.target[0]] = _labels(files, folder, competition)
        rows = rows[rows[competition.target[0]] != ""].reset_index(drop=True)
    return rows


def list_files(root: Path, folder: str) -> tuple[list[str], list[str]]:
    """The pictures below a folder, by their ending or without one, and the other files: sorted, relative to `root`."""
    found: tuple[list[str], list[str]] = [], []
    for base, folders, names in os.walk(root / folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        for name in names:
            stray = name.startswith(".") or not ("." not in name or SUFFIX.search(name))
            found[stray].append(Path(base, name).relative_to(root).as_posix())
    return sorted(found[0]), sorted(found[1])


def unpack_first(root: Path) -> str:
    """What to do where there are no pictures: archives are still packed, zip where it was not `kgl download`."""
    packed = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if PACKED.search(path.name))
    if not packed:
        return "run kgl download,"
    tools = {".7z": "uvx py7zr x {}", ".zip": "python -m zipfile -e {} ."}
    tool = tools.get(Path(packed[0]).suffix.lower(), "tar xf {}").format(packed[0])
    return f"{packed[0]} is still packed: in {root}, run {tool} (and so for others),"


class Lookup:
    """Files by the names that tables give them: with or without folders and endings."""

    def __init__(self, files: Iterable[str], folder: str) -> None:
        self._exact: dict[str, str] = {}
        self._loose: Mapping[str, list[str]] = defaultdict(list)
        for file in files:
            whole, name = inside(file, folder), PurePosixPath(file).name
            self._exact |= {file: file, whole: file}
            for key in {_bare(file), _bare(whole), name, _bare(name)}:
                self._loose[key].append(file)

    def __call__(self, value: str) -> str:
        """The file's path, or nothing.

        Raises:
            KglError: the name fits several files.
        """
        name = value.strip().replace("\\", "/").removeprefix("./")
        if name in self._exact:
            return self._exact[name]
        last = PurePosixPath(name).name
        for key in (name, _bare(name), last, _bare(last)):
            fitting = self._loose.get(key, [])
            if len(fitting) > 1:
                raise KglError(f"'{value}' may be {fitting[0]} or {fitting[1]}; correct the folder or images.column.")
            if fitting:
                return fitting[0]
        return ""


def _bare(path: str) -> str:
    """Without a picture's ending; other dots belong to the name."""
    return SUFFIX.sub("", path)


def inside(file: str, folder: str) -> str:
    """A path relative to `root` as one relative to `folder`."""
    return PurePosixPath(file).relative_to(folder).as_posix()


def _rows_of_table(table: Path, files: Sequence[str], folder: str, competition: Competition) -> pd.DataFrame:
    column, one_label = competition.images.column, competition.task in ("binary", "multiclass")
    rows, texts = read_table(table), read_table(table, text="all")
    if column not in rows:
        there = ", ".join(map(str, rows))
        raise usage(f"images.column: {table.name} has no column '{column}', it has {there}; correct competition.toml.")
    for name in {column, *competition.id} & set(rows):
        rows[name] = texts[name].astype("str")
    for name in set(competition.target if one_label else ()) & set(rows):
        rows[name] = labels_of(texts[name].astype("str"))
    rows = with_ids(rows, competition.id or (column,))
    return rows.assign(**{PATH: _find(rows[column], files, folder, table.name)})


def _rows_of_pixels(workspace: Workspace, root: Path, competition: Competition, part: Part) -> pd.DataFrame:
    competition.require(f"files.{part}")
    table = root / getattr(competition.files, part)
    rows, folder = unfold(table, competition.images.column, workspace.cache, text=competition.id)
    same_disk = folder.drive == root.drive
    below = PurePosixPath(Path(os.path.relpath(folder, root) if same_disk else folder).as_posix())
    rows[PATH] = [str(below / name) for name in rows[PATH]]
    return with_ids(rows, competition.id)


def _rows_of_sample(sample: Path, files: Sequence[str], folder: str, competition: Competition) -> pd.DataFrame:
    names = read_table(sample, text="all")
    column = next((name for name in competition.id if name in names), str(names.columns[0]))
    rows = with_ids(names[[column]], (column,))
    return rows.assign(**{PATH: _find(rows[column], files, folder, sample.name)})


def _rows_of_files(files: Sequence[str], folder: str, competition: Competition) -> pd.DataFrame:
    ids = next(ids for ids in _ids_of_files(files, folder, competition.images.pattern) if len(set(ids)) == len(files))
    columns = dict.fromkeys((ID, *competition.id[:1]), ids)
    return pd.DataFrame({**columns, PATH: list(files)}).astype("str")


def _ids_of_files(files: Sequence[str], folder: str, pattern: str) -> Iterator[list[str]]:
    """The pattern's `id`, the stem, the path: the first that is different for every file is taken."""
    matches = [re.search(pattern, inside(file, folder)) for file in files] if "(?P<id>" in pattern else []
    if matches and all(matches):
        yield [match["id"] for match in matches if match]
    yield [_bare(PurePosixPath(file).name) for file in files]
    yield [_bare(inside(file, folder)) for file in files]
    yield [inside(file, folder) for file in files]


def _labels(files: Sequence[str], folder: str, competition: Competition) -> list[str]:
    """The label of each file; empty for a few that have none, which are named.

    Raises:
        KglError: more than a tenth have none.
    """
    by_folder = competition.images.layout == "folder"
    if not by_folder:
        competition.require("images.pattern")
    pattern = r"^(?P<label>[^/]+)/" if by_folder else competition.images.pattern
    matches = [re.search(pattern, inside(file, folder)) for file in files]
    labels = [match.groupdict().get("label") or "" if match else "" for match in matches]
    if stray := [file for file, label in zip(files, labels, strict=True) if not label]:
        what = "lies in no class folder" if by_folder else f"does not fit images.pattern {pattern!r}"
        if len(stray) > len(files) / 10:
            advice = "images.train_dir or layout" if by_folder else r"it; it finds a group 'label': (?P<label>cat|dog)"
            raise KglError(f"{stray[0]} {what}, like {len(stray) - 1} others; correct {advice} in competition.toml.")
        click.echo(f"{folder}: {len(stray)} of {len(files)} pictures are left out: {stray[0]} {what}", err=True)
    return labels


def _find(values: pd.Series, files: Sequence[str], folder: str, table: str) -> list[str]:
    find = Lookup(files, folder)
    paths = [find(str(value)) for value in values]
    missing = [str(value) for value, path in zip(values, paths, strict=True) if not path]
    if len(missing) == len(paths):
        raise KglError(
            f"no row of {table} names a picture in {folder} (the first row: {missing[0]!r}, "
            f"the first file: {files[0]}); correct images.column or the folder in competition.toml."
        )
    if missing:
        click.echo(f"{table}: {len(missing)} rows have no picture in {folder} (the first: {missing[0]!r})", err=True)
    return paths


def equal_rows(data: Data) -> NDArray[np.int64] | None:
    """A code for each training row, the same where pictures are equal to the byte; None where no two are.

    Pictures that only look alike are not searched for.
    """
    if PATH not in data.full:
        return None
    root = data_root(find_workspace(), data.competition)
    codes = equal_files(data.full[PATH].astype(str).tolist(), root=root)
    counts = np.bincount(codes)
    if counts.max(initial=0) < 2:
        return None
    what = f"{counts[counts > 1].sum():,} pictures are equal to another ({(counts > 1).sum():,} sets)"
    click.echo(f"{what}: each set is kept in one fold; pictures that only look alike are not searched for", err=True)
    return codes


def equal_files(paths: Sequence[str], *, root: Path) -> NDArray[np.int64]:
    """A code a file: the same for files of equal content, so that a split can keep them together.

    A file that is not there has a code of its own.
    """
    by_size: Mapping[int, list[int]] = defaultdict(list)
    for i, path in enumerate(paths):
        if path and (root / path).is_file():
            by_size[(root / path).stat().st_size].append(i)
    codes = np.arange(len(paths), dtype=np.int64)
    for group in by_size.values():
        first: dict[bytes, int] = {}
        for i in group if len(group) > 1 else ():  # only files of equal size are read
            digest = hashlib.blake2b((root / paths[i]).read_bytes(), digest_size=16).digest()
            codes[i] = first.setdefault(digest, i)
    return codes
