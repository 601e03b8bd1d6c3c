"""The contest's tables: files read with their ids as text, and the data that experiments get."""

import hashlib
import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kgl.competition import Competition, data_root, load_competition
from kgl.config import nearest
from kgl.errors import KglError
from kgl.paths import Workspace, find_workspace, use_workspace
from kgl.target import Target, find_target

ID = "__id__"
EXTERNAL = "external"


@dataclass(frozen=True)
class Data:
    """What experiments learn from and predict.

    `train` and `test` have the same columns: those of both files without the target, and the text column `__id__`.
    `full` is the training table with every column, for folds. Rows stand as load() gave them, indexed 0..n-1.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    full: pd.DataFrame
    y: NDArray[Any]
    target: Target
    competition: Competition
    train_only: tuple[str, ...]

    @property
    def ids(self) -> pd.Series:
        """The ids of the training rows."""
        return self.train[ID]

    @property
    def external(self) -> NDArray[np.bool_]:
        """Which training rows came from elsewhere: they always train and are never validated."""
        if EXTERNAL not in self.full:
            return np.zeros(len(self.full), dtype=bool)
        return self.full[EXTERNAL].fillna(False).to_numpy(dtype=bool)

    def hash(self) -> str:
        """A hash of all that experiments see, rows in their order."""
        digest = hashlib.sha256(repr(self.y.shape).encode() + np.ascontiguousarray(self.y).tobytes())
        digest.update(self.external.tobytes())
        for frame in (self.train, self.test):
            digest.update(repr([(str(name), str(kind)) for name, kind in frame.dtypes.items()]).encode())
            digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
        return digest.hexdigest()[:16]


def load_data(workspace: Workspace) -> Data:
    """Run contest.py's load() and check what it gives.

    Raises:
        KglError: facts are not known yet (2), files or columns are missing, load() lost the ids, test is empty (1).
    """
    competition = load_competition(workspace)
    competition.require("task", "metric", "target")  # the files, where load() reads them
    use_workspace(workspace)
    loaded = importlib.import_module("contest").load()
    if not (isinstance(loaded, tuple) and len(loaded) == 2 and all(isinstance(x, pd.DataFrame) for x in loaded)):
        raise KglError(f"contest.py: load() should return two tables (train, test), got {type(loaded).__name__}.")
    train, test = _with_external_ids(loaded[0]).reset_index(drop=True), loaded[1].reset_index(drop=True)
    _check_rows(train, "train")
    _check_rows(test, "test")
    target = find_target(train, competition)
    hidden = {*target.names, EXTERNAL}
    shared = [c for c in train.columns if c in test.columns and c not in hidden]
    return Data(
        train=train[shared],
        test=test[shared],
        full=train,
        y=target.encode(train),
        target=target,
        competition=competition,
        train_only=tuple(str(c) for c in train.columns if c not in test.columns and c not in hidden),
    )


def _with_external_ids(train: pd.DataFrame) -> pd.DataFrame:
    """Rows from elsewhere come without ids: x0000001 and so on."""
    if EXTERNAL not in train or ID not in train or not train[ID].isna().any():
        return train
    missing = train[ID].isna() & train[EXTERNAL].fillna(False).astype(bool)
    train = train.copy()
    train.loc[missing, ID] = [f"x{i:07d}" for i in range(1, int(missing.sum()) + 1)]
    return train


def _check_rows(rows: pd.DataFrame, name: str) -> None:
    if not len(rows):
        raise KglError(f"{name} has no rows; look at the file and at load() in contest.py.")
    if ID not in rows:
        raise KglError(f"contest.py: load() lost the column {ID} of {name}; keep it, joins are by id.")
    if rows[ID].isna().any():
        raise KglError(f"contest.py: {int(rows[ID].isna().sum())} rows of {name} have no {ID}; keep it in every join.")
    if rows[ID].duplicated().any():
        first = rows.loc[rows[ID].duplicated(), ID].iloc[0]
        raise KglError(f"contest.py: load() gives the id {first!r} of {name} twice; a join has repeated rows.")
    if not rows.columns.is_unique:
        raise KglError(f"{name} has the column {rows.columns[rows.columns.duplicated()][0]!r} twice; mend contest.py.")


def read_train() -> pd.DataFrame:
    """The training file as it is, with the text column `__id__`."""
    return _read_rows("train")


def read_test() -> pd.DataFrame:
    """The test file as it is, with the text column `__id__`."""
    return _read_rows("test")


def read_sample_submission() -> pd.DataFrame | None:
    """The sample submission with every value as text, exactly as in the file; None if the contest has none."""
    workspace = find_workspace()
    competition = load_competition(workspace)
    if not competition.files.sample_submission:
        return None
    path = data_root(workspace, competition) / competition.files.sample_submission
    return read_table(path, text="all")


def _read_rows(name: str) -> pd.DataFrame:
    workspace = find_workspace()
    competition = load_competition(workspace)
    competition.require(f"files.{name}")
    path = data_root(workspace, competition) / getattr(competition.files, name)
    rows = read_table(path, text=competition.id)
    absent = [column for column in competition.id if column not in rows]
    if absent and name == "test":  # a training file may come without ids, they are never submitted
        hint = nearest(absent[0], map(str, rows.columns))
        raise KglError(f"{path.name} has no id column '{absent[0]}'.{hint} Correct id in competition.toml.")
    return give_ids(rows, competition.id)


def give_ids(rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Put the text column `__id__` first: one id column as text, several as a JSON list, row numbers where that fails.

    Row numbers (`r0000001`, ...) stand in where there is no id column, or where ids repeat.
    """
    ids = text_ids(rows, columns)
    if ids is None or ids.duplicated().any():
        ids = pd.Series([f"r{i:07d}" for i in range(1, len(rows) + 1)], index=rows.index, dtype="str")
    return rows.drop(columns=[ID], errors="ignore").assign(**{ID: ids})[[ID, *rows.columns.drop(ID, errors="ignore")]]


def text_ids(rows: pd.DataFrame, columns: Sequence[str]) -> pd.Series | None:
    """The ids of rows read by `read_table` as one text each; None where a column is absent."""
    if not columns or any(column not in rows for column in columns):
        return None
    if len(columns) == 1:
        return rows[columns[0]].astype("str")
    parts = [rows[column].astype("str") for column in columns]
    return pd.Series([json.dumps(list(row)) for row in zip(*parts, strict=True)], index=rows.index, dtype="str")


def read_table(path: Path, *, text: Sequence[str] | str = ()) -> pd.DataFrame:
    """Read csv, tsv, json, jsonl or parquet, zipped or not.

    Args:
        path: the file; the format is told by its ending.
        text: columns to read as text exactly as they are ('0001', 'NA'), or "all".

    Raises:
        KglError: the file is missing, empty or cannot be read.
    """
    if not path.is_file():
        there = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise KglError(f"{path} is missing; run kgl download, or put it there.{nearest(path.name, there)}")
    try:
        return _read_any(path, text)
    except pd.errors.EmptyDataError:
        raise KglError(f"{path} is empty; download it again.") from None
    except (ValueError, pd.errors.ParserError) as error:
        raise KglError(f"{path} cannot be read: {str(error).strip().splitlines()[0]}.") from None


def _read_any(path: Path, text: Sequence[str] | str) -> pd.DataFrame:
    kind = next((s for s in reversed(path.suffixes) if s not in (".zip", ".gz", ".bz2", ".xz")), ".csv").lower()
    if kind == ".parquet":
        return pd.read_parquet(path)
    if kind in (".json", ".jsonl"):
        return pd.read_json(path, lines=kind == ".jsonl", dtype=not text)
    options: dict[str, Any] = {"sep": "\t" if kind == ".tsv" else ","}
    if text == "all":
        options |= {"dtype": "str", "keep_default_na": False}
    else:
        options |= {"converters": {column: str for column in text}, "low_memory": False}
    try:
        return pd.read_csv(path, encoding="utf-8-sig", **options)
    except UnicodeDecodeError:
        return pd.read_csv(path, encoding="cp1252", **options)
