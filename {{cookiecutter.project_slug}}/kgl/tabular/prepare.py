"""Columns made ready for each family of models, fitted on training rows alone: linear, forest, native or raw."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kgl.errors import KglError

Array = NDArray[Any]
MISSING = "missing"
FEW_LEVELS = 50
EXACT_IN_FLOAT32 = 2**24


def split_columns(rows: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The columns that are numbers, and those that are levels.

    Left out: columns without any value, and texts that are nearly different in every row (names, ticket numbers).
    """
    numbers, levels = [], []
    for column in rows:
        values = rows[column]
        if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_datetime64_any_dtype(values):
            if values.notna().any():
                numbers.append(str(column))
        elif (different := values.nunique()) and (different <= FEW_LEVELS or different <= values.notna().sum() / 2):
            levels.append(str(column))
    if not numbers and not levels:
        raise KglError(f"no column is left to learn from, of {', '.join(map(str, rows.columns)) or 'none'}; look at columns and drop.")
    return numbers, levels


def as_numbers(rows: pd.DataFrame, columns: list[str]) -> Array:
    """(n, columns) floats; dates become days, infinite values missing. float32 unless whole numbers would lose digits."""
    days = {c: rows[c].astype("int64") / 86_400e9 for c in columns if pd.api.types.is_datetime64_any_dtype(rows[c])}
    values = rows[columns].assign(**days).to_numpy(dtype=np.float64, na_value=np.nan)
    values = np.where(np.isfinite(values), values, np.nan)  # pandas may give a read-only view
    with np.errstate(invalid="ignore"):
        exact = not (np.abs(values) > EXACT_IN_FLOAT32).any()
    return values.astype(np.float32) if exact else values


def as_texts(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The columns as plain texts, missing ones as 'missing'."""
    return pd.DataFrame({c: rows[c].astype(object).where(rows[c].notna(), MISSING).astype(str) for c in columns}, index=rows.index)


class Dense:
    """Numbers with their gaps filled and flagged, levels one-hot: for linear models, forests and models of one's own.

    Args:
        scale: whether numbers are squeezed (arcsinh of robust units, so that outliers and skew do no harm) and scaled.
    """

    def __init__(self, scale: bool) -> None:
        self.scale = scale

    def fit_transform(self, rows: pd.DataFrame) -> Array:
        """Learn medians, scales and levels from training rows; (n, features) float array of them."""
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, RobustScaler, StandardScaler

        self.numbers, self.levels = split_columns(rows)
        steps: list[Any] = [SimpleImputer(strategy="median", add_indicator=True)]
        if self.scale:
            steps += [RobustScaler(), FunctionTransformer(np.arcsinh), StandardScaler()]
        self.fill = make_pipeline(*steps)
        self.one_hot = OneHotEncoder(
            min_frequency=3, max_categories=100, handle_unknown="infrequent_if_exist", sparse_output=False, dtype=np.float32
        )
        parts = []
        if self.numbers:
            parts.append(self.fill.fit_transform(as_numbers(rows, self.numbers)))
        if self.levels:
            parts.append(self.one_hot.fit_transform(as_texts(rows, self.levels)))
        return np.hstack(parts)

    def transform(self, rows: pd.DataFrame) -> Array:
        """The same for other rows; levels not seen in training count as the rare ones, or as none."""
        parts = []
        if self.numbers:
            parts.append(self.fill.transform(as_numbers(rows, self.numbers)))
        if self.levels:
            parts.append(self.one_hot.transform(as_texts(rows, self.levels)))
        return np.hstack(parts)


class Native:
    """Numbers as they are, levels as codes, gaps and unseen levels as NaN: for boosted trees, which split on all of it.

    Args:
        max_levels: rarer levels beyond that many count as missing (HistGradientBoosting takes 255).
    """

    def __init__(self, max_levels: int | None = None) -> None:
        self.max_levels = max_levels

    def fit_transform(self, rows: pd.DataFrame) -> Array:
        """Learn the levels from training rows; (n, columns) float array, the levels' columns last."""
        self.numbers, levels = split_columns(rows)
        counts = {c: as_texts(rows, [c])[c][rows[c].notna()].value_counts() for c in levels}
        self.codes = {c: {level: code for code, level in enumerate(sorted(n.index[: self.max_levels]))} for c, n in counts.items()}
        return self.transform(rows)

    def transform(self, rows: pd.DataFrame) -> Array:
        """The same for other rows."""
        parts = [as_numbers(rows, self.numbers)] if self.numbers else []
        for column, codes in self.codes.items():
            parts.append(as_texts(rows, [column])[column].map(codes).to_numpy(dtype=np.float32)[:, None])
        return np.hstack(parts)

    @property
    def categorical(self) -> list[int]:
        """The places of the columns that hold codes."""
        return list(range(len(self.numbers), len(self.numbers) + len(self.codes)))

    @property
    def names(self) -> list[str]:
        """The columns in order."""
        return [*self.numbers, *self.codes]


class Raw:
    """The frame as it is, for estimators that prepare columns themselves."""

    def fit_transform(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows."""
        return rows

    def transform(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows."""
        return rows
