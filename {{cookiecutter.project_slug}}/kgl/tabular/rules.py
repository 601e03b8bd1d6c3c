"""The floor: rules of one column. An ensemble that does not beat them is an alarm."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from kgl.arrays import Array
from kgl.config import nearest
from kgl.errors import usage
from kgl.tabular.prepare import as_numbers, as_texts


class _OneColumn(BaseEstimator):
    """The mean of the target by level of one column; numbers are cut into `bins` by their quantiles.

    Args:
        column: its name; empty: the one that predicts best, chosen on halves of the training rows.
        bins: levels of a column of numbers.
        smoothing: how many rows of the overall mean are added to each level.
    """

    def __init__(self, column: str = "", bins: int = 10, smoothing: float = 5.0) -> None:
        self.column = column
        self.bins = bins
        self.smoothing = smoothing

    def _fit_means(self, rows: pd.DataFrame, means: Array) -> None:
        """Learn from targets of shape (n, outputs)."""
        if self.column and self.column not in rows:
            raise usage(f"one_column: there is no column '{self.column}'.{nearest(self.column, map(str, rows))}")
        self.column_ = self.column or self._best_column(rows, means)
        self._learn(rows[self.column_], means)

    def _best_column(self, rows: pd.DataFrame, targets: Array) -> str:
        half = np.random.default_rng(0).random(len(rows)) < 0.5
        errors = {}
        for column in map(str, rows):
            self._learn(rows[column][half], targets[half])
            errors[column] = float(np.mean((self._look_up(rows[column][~half]) - targets[~half]) ** 2))
        return min(errors, key=errors.__getitem__)

    def _learn(self, values: pd.Series, targets: Array) -> None:
        self.edges_ = None
        if values.dtype.kind in "biufMm" and values.nunique() > self.bins:
            self.edges_ = np.unique(np.nanquantile(as_numbers(values), np.linspace(0, 1, self.bins + 1)[1:-1]))
        self.mean_ = targets.mean(axis=0)
        frame = pd.DataFrame(targets).groupby(self._levels(values))
        count = frame.size().to_numpy()[:, None]
        self.table_ = (frame.sum() + self.smoothing * self.mean_) / (count + self.smoothing)

    def _levels(self, values: pd.Series) -> Array:
        if self.edges_ is None:
            return as_texts(values)
        numbers = as_numbers(values)
        return np.where(np.isnan(numbers), -1, np.digitize(numbers, self.edges_))

    def _look_up(self, values: pd.Series) -> Array:
        found = self.table_.reindex(self._levels(values)).to_numpy()
        return np.asarray(np.where(np.isnan(found), self.mean_, found))


class OneColumnClassifier(ClassifierMixin, _OneColumn):
    """The share of each class by level of one column."""

    def fit(self, X: pd.DataFrame, y: ArrayLike) -> "OneColumnClassifier":
        """Learn the shares."""
        self.classes_ = np.unique(y)
        self._fit_means(X, (np.asarray(y)[:, None] == self.classes_).astype(float))
        return self

    def predict_proba(self, X: pd.DataFrame) -> Array:
        """(n, classes) shares."""
        return self._look_up(X[self.column_])

    def predict(self, X: pd.DataFrame) -> Array:
        """The likeliest class."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


class OneColumnRegressor(RegressorMixin, _OneColumn):
    """The mean of the target by level of one column."""

    def fit(self, X: pd.DataFrame, y: ArrayLike) -> "OneColumnRegressor":
        """Learn the means."""
        self._fit_means(X, np.asarray(y, dtype=float)[:, None])
        return self

    def predict(self, X: pd.DataFrame) -> Array:
        """(n,) means."""
        return np.asarray(self._look_up(X[self.column_])[:, 0])
