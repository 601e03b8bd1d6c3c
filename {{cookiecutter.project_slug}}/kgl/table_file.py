"""Read a table from a file of any usual format; a large text file is parsed once and kept as parquet."""

import contextlib
import ctypes
import hashlib
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.types import is_object_dtype

from kgl.config import nearest
from kgl.errors import KglError, reason
from kgl.paths import replacing

ARCHIVES = (".zip", ".gz", ".bz2", ".xz")
WORTH_KEEPING = 20 * 2**20  # bytes; smaller files are parsed in no time


def read_parsed(path: Path, *, text: Sequence[str], cache: Path) -> pd.DataFrame:
    """What `read_table` gives, from `cache` where this file was read so before; its name there is a hash of the bytes.

    What cannot be kept (a full disk, columns of mixed values) is parsed each time.
    """
    if not path.is_file() or path.stat().st_size < WORTH_KEEPING or path.suffix == ".parquet":
        return read_table(path, text=text)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(repr((pd.__version__, *text)).encode())
    name = "-".join(path.parts[-2:])
    kept = cache / f"{name}-{digest.hexdigest()[:16]}.parquet"
    with contextlib.suppress(OSError, ValueError):  # not there yet, or torn
        rows = pd.read_parquet(kept)
        for column in [name for name in rows if is_object_dtype(rows[name])]:
            rows[column] = rows[column].where(rows[column].notna(), np.nan)  # parquet makes a missing value None
        give_back()
        return rows
    rows = read_table(path, text=text)
    with contextlib.suppress(OSError, ValueError, TypeError):
        with replacing(kept) as temporary:
            rows.to_parquet(temporary, compression=None, use_dictionary=False)  # a third of the time to read
        for older in {*cache.glob(f"{name}-*.parquet")} - {kept}:
            older.unlink()
    return rows


def read_table(path: Path, *, text: Sequence[str] | str = (), most: int | None = None) -> pd.DataFrame:
    """Read csv, tsv, json, jsonl or parquet, zipped or not.

    Args:
        path: the file; the format is told by its ending.
        text: columns to read as text exactly as they are ('0001', 'NA'), or "all".
        most: rows of a csv or tsv to read; None for all.

    Raises:
        KglError: the file is missing, empty or cannot be read.
    """
    if not path.is_file():
        there = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise KglError(f"{path} is missing; run kgl download, or put it there.{nearest(path.name, there)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # convert_dates, which pandas before 4 still needs
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header would lose cells
            rows = _read_any(path, text, most)
    except pd.errors.EmptyDataError:
        raise KglError(f"{path} is empty; download or make it again.") from None
    except Exception as error:  # each format and archive has errors of its own
        raise KglError(f"{path} cannot be read: {reason(error)}.") from error
    wanted = [str(column) for column in rows if text == "all" or column in text]
    return rows.assign(**{column: rows[column].astype("str").fillna("") for column in wanted})


def _read_any(path: Path, text: Sequence[str] | str, most: int | None) -> pd.DataFrame:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = next((suffix for suffix in reversed(suffixes) if suffix not in ARCHIVES), ".csv")
    if kind == ".parquet":
        return pd.read_parquet(path)
    if kind in (".json", ".jsonl"):
        return _read_json(path, lines=kind == ".jsonl")
    options: dict[str, Any] = {"sep": "\t" if kind == ".tsv" else ",", "index_col": False, "low_memory": False}
    options |= {"nrows": most, "na_values": ["?"]}
    try:
        return _read_csv(path, text, options | {"encoding": "utf-8-sig"})
    except UnicodeDecodeError:
        return _read_csv(path, text, options | {"encoding": "cp1252"})


def _read_json(path: Path, *, lines: bool) -> pd.DataFrame:
    """Its numbers and texts are told apart already; a list of texts becomes one, words joined by blanks."""
    try:
        rows = pd.read_json(path, lines=lines, dtype=False, convert_dates=False)
    except ValueError:
        if lines:
            raise
        return _read_json(path, lines=True)  # a value a line under the other ending
    for column in rows.select_dtypes("object"):
        rows[column] = [_plain(cell) for cell in rows[column]]
    return rows


def _plain(cell: Any) -> Any:
    if isinstance(cell, list):
        return " ".join(map(str, cell))
    return json.dumps(cell) if isinstance(cell, dict) else cell


def _read_csv(path: Path, text: Sequence[str] | str, options: dict[str, Any]) -> pd.DataFrame:
    """Text columns are read by themselves: beside others, pandas takes 'NA' and blanks for missing even there.

    A header without commas may have other signs between its names; its rows may have commas, those of decimals.
    """
    header = pd.read_csv(path, **options | {"nrows": 1, "header": None, "dtype": "str"}).iloc[0]
    other = [sign for sign in ";\t|" if len(header) == 1 and sign in str(header[0])]
    options = options | ({"sep": other[0]} if other else {})
    exact = options | {"dtype": "str", "keep_default_na": False, "na_values": None, "low_memory": True}
    rows: pd.DataFrame = pd.read_csv(path, **exact) if text == "all" else _read_typed(path, options)
    for column in [*rows.select_dtypes("str")] if ";" in other and text != "all" else []:
        texts = rows[column].str.replace(",", ".", regex=False)
        numbers = pd.to_numeric(texts, errors="coerce")
        if numbers.count() > 0.95 * texts.count():  # beside a few words they stay texts, written as elsewhere
            rows[column] = numbers if numbers.count() == texts.count() else texts
    if text != "all" and (wanted := [str(column) for column in rows if column in text]):
        rows[wanted] = pd.read_csv(path, usecols=wanted, **exact)[wanted]
    return rows


def _read_typed(path: Path, options: dict[str, Any]) -> pd.DataFrame:
    """Read in pieces, which takes half the memory; as a whole where pieces disagree on what a column holds."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.DtypeWarning)
            rows: pd.DataFrame = pd.read_csv(path, **options | {"low_memory": True})
    except pd.errors.DtypeWarning:
        rows = pd.read_csv(path, **options)
    give_back()
    return rows


def give_back() -> None:
    """Let go of freed memory: arrow and the C library of Linux keep it, and reading frees about what a table holds."""
    pa.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # other systems
        ctypes.CDLL(None).malloc_trim(0)
