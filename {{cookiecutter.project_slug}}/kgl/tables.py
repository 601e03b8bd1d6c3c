"""The contest's tables: files read with their ids as text, and the data that experiments get."""

import hashlib
import importlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from kgl.competition import Competition, data_root, load_competition
from kgl.config import missing_column
from kgl.errors import KglError, reason
from kgl.paths import Workspace, find_workspace, use_workspace
from kgl.table_file import read_parsed, read_table
from kgl.target import Target, find_target

ID = "__id__"
AGAIN = " #"  # between an id and a number, where several rows (pictures of a patient) share the id
EXTERNAL = "external"
NO_VALUE = ("nan", "NaN", "<NA>", "#N/A")
_dealt = list[bool]()  # see `dealt_targets`
MAYBE_LABELS = ("NA", "N/A", "n/a", "None", "none", "null", "NULL")  # labels among texts, missing among numbers


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
        return self.full[EXTERNAL].isin([True]).to_numpy()

    def hash(self) -> str:
        """A hash of all that experiments see, rows in their order."""
        digest = hashlib.sha256(repr((self.target, self.y.shape)).encode() + np.ascontiguousarray(self.y).tobytes())
        digest.update(self.external.tobytes())
        for frame in (self.train, self.test):
            digest.update(repr([(str(name), str(kind)) for name, kind in frame.dtypes.items()]).encode())
            try:
                digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
            except TypeError as error:
                said = f"contest.py: load() gives a column of lists or the like ({error}); take it apart there."
                raise KglError(said) from error
        return digest.hexdigest()[:16]


def load_data(workspace: Workspace) -> Data:
    """Run contest.py's load() and check what it gives.

    Raises:
        KglError: facts are not known yet (2), files or columns are missing, load() lost the ids, test is empty (1).
    """
    competition = load_competition(workspace)
    competition.require("task", "metric", "target")  # the files, where load() reads them
    use_workspace(workspace)
    loaded = call_contest("load")
    if not (isinstance(loaded, tuple) and len(loaded) == 2 and all(isinstance(x, pd.DataFrame) for x in loaded)):
        raise KglError(f"contest.py: load() should return two tables (train, test), got {type(loaded).__name__}.")
    train, test = _checked(_with_external_ids(loaded[0]), "train"), _checked(loaded[1], "test")
    target = find_target(train, competition)
    hidden = {*target.names, EXTERNAL}
    shared = [c for c in train.columns if c in test.columns and c not in hidden and not is_withheld(train[c], test[c])]
    if not set(shared) - {ID, *competition.id}:
        raise KglError("train and test share no column to learn from: join further tables in load() of contest.py.")
    for column in shared:
        if is_numeric_dtype(train[column]) != is_numeric_dtype(test[column]):
            test = test.assign(**{str(column): _of_one_kind(train[column], test[column])})
    seen = train[shared]
    return Data(
        train=seen,
        test=test[shared],
        full=pd.concat([seen, train.drop(columns=shared)], axis=1),  # shares the memory of what is seen
        y=target.encode(train),
        target=target,
        competition=competition,
        train_only=tuple(str(c) for c in train.columns if c not in shared and c not in hidden),
    )


def is_withheld(train: pd.Series, test: pd.Series) -> bool:
    """Whether test has no value of a column where train makes ten or more likely: it is not known before the target."""
    return bool(test.isna().all() and train.notna().mean() * len(test) > 10)


def call_contest(name: str, *arguments: Any) -> Any:
    """What a function of contest.py gives.

    Raises:
        KglError: contest.py cannot be imported, lacks the function, or it raises.
    """
    try:
        return getattr(importlib.import_module("contest"), name)(*arguments)
    except KglError:
        raise
    except (Exception, SystemExit) as error:  # of exit(), too
        said = f"{type(error).__name__}: {reason(error)}"
        raise KglError(f"contest.py: {name}(): {said}. --debug shows where.") from error


def _with_external_ids(train: pd.DataFrame) -> pd.DataFrame:
    """Rows from elsewhere come without ids: x0000001 and so on."""
    if EXTERNAL not in train or ID not in train:
        return train
    missing = train[ID].isna() & train[EXTERNAL].isin([True])
    return train.assign(**{ID: train[ID].astype(object).where(~missing, numbered("x", missing.cumsum()))})


def _of_one_kind(train: pd.Series, test: pd.Series) -> pd.Series:
    """A column of test as numbers or as text, as in train: blanks in one file alone make pandas read it otherwise.

    Raises:
        KglError: train has numbers and test has texts that are none.
    """
    if not is_numeric_dtype(train):
        return test.astype(train.dtype)
    numbers = pd.to_numeric(test, errors="coerce")
    strange = test[numbers.isna() & test.notna()]
    if len(strange) and train.notna().any():
        what = f"column '{train.name}' holds numbers in train, but {strange.iloc[0]!r} in test"
        raise KglError(f"{what}; drop it in contest.py or make it numbers or text in both tables.")
    return numbers


def numbered(letter: str, numbers: Iterable[int]) -> list[str]:
    """Ids made of row numbers, such as r0000001."""
    return [f"{letter}{i:07d}" for i in numbers]


def _checked(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows with ids as text, indexed 0..n-1."""
    if not len(rows):
        raise KglError(f"{name} has no rows; look at the file and at load() in contest.py.")
    if not rows.columns.is_unique:
        raise KglError(f"{name} has the column {rows.columns[rows.columns.duplicated()][0]!r} twice; mend contest.py.")
    if ID not in rows:
        raise KglError(f"contest.py: load() lost the column {ID} of {name}; keep it, joins are by id.")
    if rows[ID].isna().any():
        raise KglError(f"contest.py: {rows[ID].isna().sum()} rows of {name} have no {ID}; keep it in every join.")
    ids = rows[ID].astype("str")
    if ids.duplicated().any():
        twice = ids[ids.duplicated()].iloc[0]
        raise KglError(f"{name} has the id {twice!r} twice; load() in contest.py should give one row an id.")
    return rows.assign(**{ID: ids}).reset_index(drop=True)


def read_train() -> pd.DataFrame:
    """The training file as it is, with the text column `__id__`, without rows that lack the (one) target."""
    return _read_rows("train")


def read_test() -> pd.DataFrame:
    """The test file as it is, with the text column `__id__`; of a file that is both, the rows without a target."""
    return _read_rows("test")


def read_sample_submission() -> pd.DataFrame | None:
    """The sample submission with every value as text, exactly as in the file; None if the contest has none."""
    workspace = find_workspace()
    competition = load_competition(workspace)
    if not competition.files.sample_submission:
        return None
    path = data_root(workspace, competition) / competition.files.sample_submission
    return read_table(path, text="all")


@contextmanager
def dealt_targets() -> Iterator[None]:
    """While this lasts the targets of the training file stand in other rows: what load() makes of them changes."""
    _dealt.append(True)
    try:
        yield
    finally:
        _dealt.pop()


def _read_rows(name: str) -> pd.DataFrame:
    workspace = find_workspace()
    competition = load_competition(workspace)
    competition.require(f"files.{name}")
    path = data_root(workspace, competition) / getattr(competition.files, name)
    target, one_file = competition.target, competition.files.train == competition.files.test
    labels = target if competition.task in ("binary", "multiclass") and (name == "train" or one_file) else ()
    rows = read_parsed(path, text=(*competition.id, *labels), cache=workspace.cache / "tables")
    for label in set(labels) & set(rows):
        rows[label] = labels_of(rows[label])
    absent = next((column for column in competition.id if column not in rows), None)
    if name == "test" and absent is not None:  # a training file may lack them, they are never submitted
        raise missing_column(path.name, absent, rows.columns, "id")
    rows = with_ids(rows, competition.id)
    for column in set(target) & set(rows) if _dealt else ():
        known = rows[column].dropna()
        rows[column] = known.sample(frac=1, random_state=0).set_axis(known.index).reindex(rows.index)
    if len(target) != 1 or target[0] not in rows or not (name == "train" or one_file):
        return rows
    known = rows[target[0]].notna()  # a row without it teaches nothing
    return rows[known if name == "train" else ~known]


def with_ids(rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The rows behind a column `__id__`: the id, its number besides where rows share it (`AGAIN`); r0000001 without."""
    ids = text_ids(rows, columns)
    if ids is None:
        ids = pd.Series(numbered("r", range(1, len(rows) + 1)), index=rows.index, dtype="str")
    elif ids.duplicated().any():
        ids = ids + AGAIN + ids.groupby(ids).cumcount().astype("str")
    return pd.concat([ids.rename(ID), rows.drop(columns=ID, errors="ignore")], axis=1)


def labels_of(cells: pd.Series) -> pd.Series:
    """Labels read as text: numbers where none would change ('001' would); an empty cell is missing, a label NA not."""
    cells = cells.mask(cells.isin(("", *NO_VALUE)))
    numbers = pd.to_numeric(cells, errors="coerce")
    texts = cells[numbers.isna() & cells.notna()]
    keep = not texts.isin(MAYBE_LABELS).all() or numbers.isna().all() or cells.str.fullmatch(r"0\d+").any()
    return cells if keep else numbers


def text_ids(rows: pd.DataFrame, columns: Sequence[str]) -> pd.Series | None:
    """The ids of rows read by `read_table` as one text each; None where a column is absent."""
    if not columns or any(column not in rows for column in columns):
        return None
    if len(columns) == 1:
        return rows[columns[0]].astype("str")
    parts = [rows[column].astype("str") for column in columns]
    return pd.Series([json.dumps(list(row)) for row in zip(*parts, strict=True)], index=rows.index, dtype="str")
