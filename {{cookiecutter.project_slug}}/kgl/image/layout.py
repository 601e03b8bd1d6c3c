"""How the contest's pictures are laid out, found from folders, tables and names, for `kgl init`."""

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from kgl.competition import Competition, data_root
from kgl.errors import KglError, some
from kgl.image.files import SUFFIX, Lookup, inside, list_files, unpack_first
from kgl.image.pixels import pixel_columns
from kgl.paths import Workspace
from kgl.table_file import read_table

PATTERNS = (  # the label before the number, behind it, and with nothing between
    r"^(?P<label>[^/]*?[A-Za-z])[._ -]+(?P<id>\d+)\.",
    r"^(?P<id>\d+)[._ -]+(?P<label>[A-Za-z][^/.]*)\.",
    r"^(?P<label>[A-Za-z]+)(?P<id>\d+)\.",
)
LOOK_AT = 2000  # rows of a table, or files
ENOUGH = 0.9  # of these must fit
PIXELS = re.compile(r"^(pix\w*?)\d+$", re.IGNORECASE)
DRAWN = re.compile(r"(?<![a-z])rle(?![a-z])|encoded_?pixels|prediction_?string|bbox", re.IGNORECASE)
Found = tuple[str, Any, str]  # a dotted key, its value, and why
Tables = Mapping[str, pd.DataFrame]


def find_layout(workspace: Workspace, competition: Competition) -> Iterator[Found]:
    """`images.*`, `files.*`, and as far as the layout decides them `id` and `target`; known facts lead to the others.

    A table whose column names the files comes first, then a folder a class, then labels in the files' names.

    Raises:
        KglError: there are no pictures, or masks or boxes are asked for.
    """
    root, known = data_root(workspace, competition), competition.images
    files = [file for file in list_files(root, "")[0] if SUFFIX.search(file)]
    tables = dict(_tables(root))
    sample = competition.files.sample_submission or _named(tables, "sample|submission") or _named(tables, "benchmark")
    if sample:
        yield "files.sample_submission", sample, "by its name"
    asked = tables.pop(sample, pd.DataFrame(columns=["id", "label"]))
    wanted, train = list(map(str, asked)), competition.files.train
    tables = dict(sorted(tables.items(), key=lambda t: (t[0] != train, -len({*wanted[1:]} & {*t[1]}))))  # labels first
    if not competition.target and (drawn := next(filter(DRAWN.search, wanted), "")):
        raise KglError(f"{sample} asks for {drawn}: masks and boxes are not supported, labels of whole pictures are.")
    if not files:
        yield from _pixels(tables, root)
        return
    train_dir, test_dir = known.train_dir or _part_dir(files, "train"), known.test_dir or _part_dir(files, "test")
    train_dir = train_dir or _common(file for file in files if not test_dir or not file.startswith(test_dir + "/"))
    test_dir = test_dir or _common(file for file in files if not file.startswith(train_dir + "/")) or train_dir
    test_dir = known.test_dir or _with_all(asked.iloc[:, 0], files, test_dir)
    train_files, test_files = _below(files, train_dir), _below(files, test_dir)
    found = None if known.layout in ("folder", "filename") else _find_table(tables, train_files, train_dir)
    if not found and not known.train_dir:
        train_dir = _common(train_files)  # down while there is one way
    for part, folder, inside_it in (("train", train_dir, train_files), ("test", test_dir, test_files)):
        yield f"images.{part}_dir", folder or ".", _kinds(inside_it)
    if found:
        train, column = found
        yield "images.layout", "csv", f"{train} names the pictures"
        yield "images.column", column, f"its values are files in {train_dir or root.name}"
        yield "files.train", train, "it names the training pictures"
        others = {name: table for name, table in tables.items() if column in table and not {*tables[train]} <= {*table}}
        if test := _find_table(others, test_files, test_dir):
            yield "files.test", test[0], "it names the test pictures"
        alike = (name for name in tables[test[0] if test else train] if str(name).lower() == wanted[0].lower())
        yield "id", (str(next(alike, column)),), "it names the rows"
        return
    yield from _from_names([inside(file, train_dir) for file in train_files])
    yield "id", (wanted[0],), "first column of the sample submission" if sample else "the files' names"
    yield "target", tuple(wanted[1:]) if len(wanted) == 2 else ("label",), "the labels of the layout"


def _from_names(names: Sequence[str]) -> Iterator[Found]:
    """A folder a class, or the first pattern that fits the files' names with labels that repeat."""
    classes = Counter(name.split("/")[0] for name in names if "/" in name)
    if len(classes) > 1 and classes.total() >= ENOUGH * len(names):
        yield "images.layout", "folder", f"{len(classes)} folders of pictures: {some(sorted(classes), 4)}"
        return
    for pattern in PATTERNS:
        labels = Counter(match["label"] for name in names if (match := re.search(pattern, name)))
        if labels.total() >= ENOUGH * len(names) and 1 < len(labels) <= len(names) / 2:
            yield "images.layout", "filename", f"files such as {names[0]}"
            yield "images.pattern", pattern, f"{len(labels)} labels: {some(sorted(labels), 4)}"
            return
    raise KglError(
        "no labels found: no table names the training pictures, they lie in no class folders, and their names "
        f"({', '.join(names[:3])}) hold none. Pictures as targets and several files a row are not supported; "
        "else say images.train_dir=, images.layout=, images.column= or images.pattern=."
    )


def _pixels(tables: Tables, root: Path) -> Iterator[Found]:
    """Pictures that stand in columns: pixel0, pixel1 and so on."""
    for name, table in tables.items():
        match = next(filter(None, map(PIXELS.match, map(str, table))), None)
        if match and len(pixel_columns(table.columns, match[1])) >= 16:
            part = "test" if "test" in Path(name).name.lower() else "train"
            yield "images.layout", "csv", f"{name} holds pictures, a column a pixel"
            yield "images.column", f"{match[1]}*", "they are written to data/cache once, as PNG files"
            yield f"files.{part}", name, "by its name"
    if not any(PIXELS.match(str(column)) for table in tables.values() for column in table):
        raise KglError(
            f"{root} has no pictures; {unpack_first(root)} or put files there (.dcm, .tfrec, .hdf5 are none)."
        )


def _part_dir(files: Iterable[str], word: str) -> str:
    """The uppermost folder with this word in its name and pictures in or below it: the one with most of them."""
    name = rf"^((?:[^/]+/)*?[^/]*(?:(?<![A-Za-z])(?i:{word})|{word.title()})[^/]*)/"
    found = Counter(match[1] for file in files if (match := re.search(name, file)))
    other = {"train": "test", "test": "train"}[word]
    for folder, _ in found.most_common():
        below = _below(files, folder)
        if not any(re.search(rf"(?i)/[^/]*{other}[^/]*/", file[len(folder) :]) for file in below):
            return folder
    return ""


def _with_all(names: Iterable[str], files: Sequence[str], folder: str) -> str:
    """The folder, or the one above it with every picture that is asked for, where parts lie beside each other."""
    find = Lookup(files, ".")
    with suppress(KglError):  # names that fit several files
        if all(found := [find(name) for name in names]) and not set(found) <= {*_below(files, folder)}:
            return _common(found) or "."
    return folder


def _common(files: Iterable[str]) -> str:
    folders = {posixpath.dirname(file) for file in files}
    return posixpath.commonpath(folders) if folders else ""


def _below(files: Iterable[str], folder: str) -> list[str]:
    return [file for file in files if folder in ("", ".") or file.startswith(folder + "/")]


def _kinds(files: Sequence[str]) -> str:
    endings = Counter(posixpath.splitext(file)[1].lower() for file in files)
    return f"{len(files):,} pictures ({', '.join(ending for ending, _ in endings.most_common(3))})"


def _named(tables: Iterable[str], words: str) -> str:
    return next((name for name in tables if re.search(words, Path(name).name, re.IGNORECASE)), "")


def _tables(root: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """Tables that can be read as text, those called train first and those called test last."""
    paths = (path for ending in ("csv", "tsv", "parquet") for path in root.rglob(f"*.{ending}"))
    for path in sorted(paths, key=lambda p: ("train" not in p.name.lower(), "test" in p.name.lower(), p.parts)):
        with suppress(KglError):  # not a table after all; another will do, or the user is asked
            yield path.relative_to(root).as_posix(), read_table(path, text="all")


def _find_table(tables: Tables, files: Sequence[str], folder: str) -> tuple[str, str] | None:
    """The first table with a column whose values name these files, and that column."""
    find = Lookup(files, folder or ".")
    for name, table in tables.items():
        for column in table.columns[:20]:
            values = table[column].astype("str")[:LOOK_AT]
            enough = ENOUGH * len(values)
            with suppress(KglError):  # names that fit several files name none
                if values.nunique() > enough and sum(bool(find(value)) for value in values) >= enough:
                    return name, str(column)
    return None
