"""How the contest's pictures are laid out, found from folders, tables and names, for `kgl init`."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from kgl.errors import KglError
from kgl.image.files import Lookup, inside, list_files
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
    if not any("." in file for file in files):  # files without any ending are pictures only beside others
        return {}
    train_dir, test_dir = _part_dir(files, "train"), _part_dir(files, "test")
    if not train_dir:
        train_dir = test_dir = _common_dir(files)
    facts: dict[str, Any] = {"images.train_dir": train_dir, "images.test_dir": test_dir or train_dir}
    tables = dict(_tables(root))
    sample = _named(tables, ("sample", "submission"))
    id_column = str(tables[sample].columns[0]) if sample else ""
    if sample:
        facts["files.sample_submission"] = sample
        facts["target"] = tuple(str(name) for name in tables[sample].columns[1:])
    others = {name: table for name, table in tables.items() if name != sample}
    train_files = _below(files, train_dir)
    if found := _find_table(others, train_files, train_dir):
        return facts | _facts_of_table(others, found, id_column, facts, files)
    return facts | _facts_of_names(train_files, train_dir, id_column, facts)


def _facts_of_table(
    tables: Mapping[str, pd.DataFrame],
    found: tuple[str, str],
    id_column: str,
    facts: Mapping[str, Any],
    files: Sequence[str],
) -> dict[str, Any]:
    train, column = found
    columns = [str(name) for name in tables[train].columns]
    rest = {name: table for name, table in tables.items() if name != train and column in table}
    test = _find_table(rest, _below(files, facts["images.test_dir"]), facts["images.test_dir"])
    id_column = id_column if id_column in columns else column
    target = tuple(name for name in facts.get("target", ()) if name in columns)
    free = [name for name in columns if name not in (column, id_column) and not (test and name in tables[test[0]])]
    return {
        "images.layout": "csv",
        "images.column": column,
        "files.train": train,
        **({"files.test": test[0]} if test else {}),
        "id": (id_column,),
        "target": target or tuple(free[:1]),
    }


def _facts_of_names(files: Sequence[str], folder: str, id_column: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    target = facts.get("target", ())
    common = {"id": (id_column or "id",), "target": target if len(target) == 1 else ("label",)}
    names = [inside(file, folder) for file in files]
    classes = Counter(name.split("/")[0] for name in names if "/" in name)
    if len(classes) > 1 and classes.total() >= ENOUGH * len(names):
        return {"images.layout": "folder", **common}
    for pattern in PATTERNS:
        matches = [re.search(pattern, name) for name in names]
        labels = Counter(match["label"] for match in matches if match)
        if labels.total() >= ENOUGH * len(names) and 1 < len(labels) <= len(names) / 2:
            return {"images.layout": "filename", "images.pattern": pattern, **common}
    return {}


def _part_dir(files: Iterable[str], word: str) -> str:
    """The uppermost folder with this word in its name and pictures in or below it: the one with most of them."""
    held: Counter[str] = Counter()
    for file in files:
        parents = PurePosixPath(file).parts[:-1]
        first = next((i for i, name in enumerate(parents) if word in name.lower()), None)
        if first is not None:
            held["/".join(parents[: first + 1])] += 1
    return held.most_common(1)[0][0] if held else ""


def _common_dir(files: Iterable[str]) -> str:
    """The lowest folder that holds them all."""
    parents = [PurePosixPath(file).parts[:-1] for file in files]
    first, last = min(parents), max(parents)
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return "/".join(first[:same]) or "."


def _below(files: Iterable[str], folder: str) -> list[str]:
    return [file for file in files if folder == "." or file.startswith(folder + "/")]


def _tables(root: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    paths = (path for ending in ("csv", "tsv", "parquet") for path in root.rglob(f"*.{ending}"))
    for path in sorted(
        paths, key=lambda p: ("train" not in p.name.lower(), "test" in p.name.lower(), len(p.parts), p.name)
    ):
        try:
            yield path.relative_to(root).as_posix(), read_table(path, text="all")
        except KglError:  # not a table after all; another will do, or the user is asked
            continue


def _named(names: Iterable[str], words: Sequence[str]) -> str:
    return next((name for name in names if any(word in PurePosixPath(name).name.lower() for word in words)), "")


def _find_table(tables: Mapping[str, pd.DataFrame], files: Sequence[str], folder: str) -> tuple[str, str] | None:
    """The first table with a column whose values name these files, and that column."""
    find = Lookup(files, folder)
    for name, table in tables.items():
        for column in table.columns[:20]:
            values = table[column].astype("str")[:LOOK_AT]
            if len(values) and values.is_unique and _share(find, values) >= ENOUGH:
                return name, str(column)
    return None


def _share(find: Lookup, values: Iterable[str]) -> float:
    try:
        found = [bool(find(value)) for value in values]
    except KglError:  # names that fit several files name none
        return 0.0
    return sum(found) / len(found)
