"""What is predicted: the labels, their order, and the columns that predictions have everywhere."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kgl.arrays import Array
from kgl.competition import Competition
from kgl.config import missing_column
from kgl.errors import KglError, usage


@dataclass(frozen=True)
class Target:
    """The target columns, and the labels in the order that all predictions keep.

    `labels` are those of one column: a row has one of them or, where the task is multilabel, a cell holds several,
    parted by blanks. `y` is: codes 0..k-1 of shape (n,) for binary and multiclass; 0/1 of shape (n, labels) for
    multilabel; floats (n,) for ordinal and one regression target, (n, targets) for several. Labels of an ordinal are
    its values.
    Predictions are (n, columns): a probability a class (both for binary) or label, else values on the original scale.
    """

    task: str
    names: tuple[str, ...]
    labels: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The prediction columns of oof.parquet and test.parquet."""
        if self.one_label or self.task == "multilabel":
            return tuple(f"p_{name}" for name in self.labels or self.names)
        return self.names

    @property
    def one_label(self) -> bool:
        """Whether each row has exactly one label (binary, multiclass)."""
        return self.task in ("binary", "multiclass")

    def encode(self, rows: pd.DataFrame) -> Array:
        """`y` of the rows; labels that this target does not know are refused."""
        if self.one_label:
            codes = pd.Index(self.labels).get_indexer(pd.Index(as_labels(rows[self.names[0]])))
            if (codes < 0).any():
                raise KglError(f"target '{self.names[0]}' has labels beyond {', '.join(self.labels[:10])}.")
            return np.asarray(codes, dtype=np.int64)
        if self.task == "multilabel" and self.labels:
            words = as_labels(rows[self.names[0]]).str.get_dummies(sep=" ")
            return words.reindex(columns=list(self.labels), fill_value=0).to_numpy(dtype=np.int64)
        values = np.column_stack([_numbers(rows[name]) for name in self.names])
        if self.task == "multilabel":
            if not np.isin(values, (0, 1)).all():
                raise KglError(f"task is multilabel, but {', '.join(self.names[:5])} hold other values than 0 and 1.")
            return values.astype(np.int64)
        return values[:, 0] if len(self.names) == 1 else values

    def as_predictions(self, y: Array) -> Array:
        """(n, columns): the truth as a perfect model predicts it; 0 and 1 for classes and labels."""
        return np.eye(len(self.labels))[y] if self.one_label else y.reshape(len(y), -1).astype(float)


def find_target(train: pd.DataFrame, competition: Competition) -> Target:
    """The target as the training rows show it.

    Raises:
        KglError: a target column is missing, empty in some row, infinite, or has a single label.
    """
    task, names = competition.task, competition.target
    for name in names:
        _check_column(train, name)
    if task == "multilabel" and len(names) == 1 and not pd.api.types.is_numeric_dtype(train[names[0]]):
        return Target(task, names, in_label_order({word for cell in train[names[0]] for word in str(cell).split()}))
    if task in ("multilabel", "regression"):
        return Target(task, names)
    if len(names) != 1:
        raise usage(f"competition.toml: task {task} takes one target column, got {', '.join(names)}.")
    values = train[names[0]]
    labels = in_label_order(as_labels(pd.Series(_numbers(values)) if task == "ordinal" else values).unique())
    if len(labels) < 2 or (task == "binary" and len(labels) != 2):
        raise KglError(
            f"target '{names[0]}' has {len(labels)} labels in train ({', '.join(labels[:5])}), but task {task} needs "
            f"{'two' if task == 'binary' else 'two or more'}; correct task or target in competition.toml."
        )
    return Target(task, names, labels)


def _check_column(train: pd.DataFrame, name: str) -> None:
    if name not in train:
        raise missing_column("train", name, train.columns, "target")
    for what, wrong in (("missing", train[name].isna()), ("infinite", train[name].isin([np.inf, -np.inf]))):
        if wrong.any():
            advice = "drop or fill these rows in contest.py (texts such as NA and None are read as missing)."
            raise KglError(f"target '{name}' is {what} in {wrong.sum()} of {len(train)} training rows; {advice}")


def as_labels(values: pd.Series) -> pd.Series:
    """Labels as text: 1, 1.0 and '1' are '1'; True is 'True'; other text stays as it is."""
    if pd.api.types.is_bool_dtype(values):
        return values.map({True: "True", False: "False"}).astype(str)
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        return values.astype("Int64").astype(str)
    return values.astype(str)


def in_label_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels by number if all are numbers ('2' before '10'), else by text."""
    labels = list(labels)
    try:
        return tuple(sorted(labels, key=float))
    except ValueError:
        return tuple(sorted(labels))


def _numbers(values: pd.Series) -> Array:
    try:
        return pd.to_numeric(values).to_numpy(dtype=float)
    except (ValueError, TypeError):
        sample = values[pd.to_numeric(values, errors="coerce").isna()].iloc[0]
        raise KglError(f"target '{values.name}' should be numbers, got {sample!r}; correct task or target.") from None
