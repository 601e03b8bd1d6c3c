"""The floor: rules of one column. An ensemble that does not beat them is an alarm."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

Array = NDArray[Any]


class _OneColumn(BaseEstimator):  # type: ignore[misc]
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
        self.column_ = self.column or self._best_column(rows, means)
        self._learn(rows[self.column_], means)

    def _best_column(self, rows: pd.DataFrame, targets: Array) -> str:
        half = np.random.default_rng(0).random(len(rows)) < 0.5
        errors = {}
        for column in rows:
            self._learn(rows.loc[half, column], targets[half])
            errors[str(column)] = float(np.mean((self._look_up(rows.loc[~half, column]) - targets[~half]) ** 2))
        return min(errors, key=errors.__getitem__)

    def _learn(self, values: pd.Series, targets: Array) -> None:
        many = pd.api.types.is_numeric_dtype(values) and values.nunique() > self.bins
        self.edges_ = np.unique(np.nanquantile(values.astype(float), np.linspace(0, 1, self.bins + 1)[1:-1])) if many else None
        self.mean_ = targets.mean(axis=0)
        frame = pd.DataFrame(targets).groupby(self._levels(values).to_numpy())
        count = frame.size().to_numpy()[:, None]
        self.table_ = (frame.sum() + self.smoothing * self.mean_) / (count + self.smoothing)

    def _levels(self, values: pd.Series) -> pd.Series:
        if self.edges_ is not None:
            numbers = values.astype(float)
            return pd.Series(np.digitize(numbers, self.edges_)).where(numbers.notna().to_numpy(), -1).astype(str)
        return values.astype(object).where(values.notna(), "missing").astype(str)

    def _look_up(self, values: pd.Series) -> Array:
        found = self.table_.reindex(self._levels(values).to_numpy()).to_numpy()
        return np.where(np.isnan(found), self.mean_, found)


class OneColumnClassifier(ClassifierMixin, _OneColumn):  # type: ignore[misc]
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


class OneColumnRegressor(RegressorMixin, _OneColumn):  # type: ignore[misc]
    """The mean of the target by level of one column."""

    def fit(self, X: pd.DataFrame, y: ArrayLike) -> "OneColumnRegressor":
        """Learn the means."""
        self._fit_means(X, np.asarray(y, dtype=float)[:, None])
        return self

    def predict(self, X: pd.DataFrame) -> Array:
        """(n,) means."""
        return np.asarray(self._look_up(X[self.column_])[:, 0])
