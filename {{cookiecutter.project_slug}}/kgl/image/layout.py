"""How the contest's pictures are laid out, found from folders, tables and names, for `kgl init`."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from kgl.errors import KglError
from kgl.image.files import SUFFIX, Lookup, inside, list_files
from kgl.tables import read_table

PATTERNS = (  # the label before the number, behind it, and with nothing between
    r"^(?P<label>[^/]*?[A-Za-z])[._ -]+(?P<id>\d+)\.",
    r"^(?P<id>\d+)[._ -]+(?P<label>[A-Za-z][^/.]*)\.",
    r"^(?P<label>[A-Za-z]+)(?P<id>\d+)\.",
)
LOOK_AT = 2000  # rows of a table, or files
ENOUGH = 0.9  # of these must fit


def find_layout(root: Path) -> dict[str, Any]:
    """Facts by dotted key, as far as they are found: `images.*`, `files.*`, `id` and `target`. Empty: no pictures.

    A table whose column names the files comes first, then a folder a class, then labels in the files' names.
    """
    files, _ = list_files(root, "")
    if not any(SUFFIX.search(file) for file in files):  # files without any ending are pictures only beside others
        return {}
    train_dir = _part_dir(files, "train") or os.path.commonpath([os.path.dirname(file) for file in files])
    test_dir = _part_dir(files, "test") or train_dir
    facts: dict[str, Any] = {"images.train_dir": train_dir or ".", "images.test_dir": test_dir or "."}
    tables = dict(_tables(root))
    sample = next((name for name in tables if re.search("sample|submission", Path(name).name, re.IGNORECASE)), "")
    columns = [str(name) for name in tables.pop(sample)] if sample else ["id", "label"]
    if sample:
        facts["files.sample_submission"] = sample
    train_files = _below(files, train_dir)
    if found := _find_table(tables, train_files, train_dir):
        return facts | _facts_of_table(
            tables, found, columns, _below(files, test_dir or train_dir), test_dir or train_dir
        )
    named = {"id": (columns[0],), "target": tuple(columns[1:]) if len(columns) == 2 else ("label",)}
    return facts | _facts_of_names([inside(file, train_dir) for file in train_files]) | named


def _facts_of_table(
    tables: Mapping[str, pd.DataFrame], found: tuple[str, str], wanted: Sequence[str], files: Sequence[str], folder: str
) -> dict[str, Any]:
    """Facts of the training table and its column; `wanted` are the columns of the submission, `files` those of test."""
    train, column = found
    test = _find_table({name: t for name, t in tables.items() if name != train and column in t}, files, folder)
    known = {column, *wanted[:1], *(tables[test[0]] if test else ())}
    target = [name for name in wanted[1:] if name in tables[train]] or [c for c in tables[train] if c not in known][:1]
    return {
        "images.layout": "csv",
        "images.column": column,
        "files.train": train,
        **({"files.test": test[0]} if test else {}),
        "id": (wanted[0] if wanted[0] in tables[train] else column,),
        "target": tuple(map(str, target)),
    }


def _facts_of_names(names: Sequence[str]) -> dict[str, Any]:
    """A folder a class, or the first pattern that fits the files' names with labels that repeat."""
    classes = Counter(name.split("/")[0] for name in names if "/" in name)
    if len(classes) > 1 and classes.total() >= ENOUGH * len(names):
        return {"images.layout": "folder"}
    for pattern in PATTERNS:
        labels = Counter(match["label"] for name in names if (match := re.search(pattern, name)))
        if labels.total() >= ENOUGH * len(names) and 1 < len(labels) <= len(names) / 2:
            return {"images.layout": "filename", "images.pattern": pattern}
    return {}


def _part_dir(files: Iterable[str], word: str) -> str:
    """The uppermost folder with this word in its name and pictures in or below it: the one with most of them."""
    found = (re.search(rf"^(.*?[^/]*{word}[^/]*)/", file, re.IGNORECASE) for file in files)
    return next((folder for folder, _ in Counter(match[1] for match in found if match).most_common(1)), "")


def _below(files: Iterable[str], folder: str) -> list[str]:
    return [file for file in files if not folder or file.startswith(folder + "/")]


def _tables(root: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """Tables that can be read as text, those called train first and those called test last."""
    paths = (path for ending in ("csv", "tsv", "parquet") for path in root.rglob(f"*.{ending}"))
    for path in sorted(paths, key=lambda p: ("train" not in p.name.lower(), "test" in p.name.lower(), p.parts)):
        with suppress(KglError):  # not a table after all; another will do, or the user is asked
            yield path.relative_to(root).as_posix(), read_table(path, text="all")


def _find_table(tables: Mapping[str, pd.DataFrame], files: Sequence[str], folder: str) -> tuple[str, str] | None:
    """The first table with a column whose values name these files, and that column."""
    find = Lookup(files, folder)
    for name, table in tables.items():
        for column in table.columns[:20]:
            values = table[column].astype("str")[:LOOK_AT]
            with suppress(KglError):  # names that fit several files name none
                if len(values) and values.is_unique and sum(bool(find(v)) for v in values) >= ENOUGH * len(values):
                    return name, str(column)
    return None
