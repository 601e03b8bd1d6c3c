"""Columns made ready for each family of models, fitted on training rows alone: linear, forest, native or raw."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kgl.errors import KglError

Array = NDArray[Any]
FEW_LEVELS = 50
EXACT_IN_FLOAT32 = 2**24


def split_columns(rows: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The columns that are numbers or dates, and those that are levels.

    Left out: columns without any value, and texts that are nearly different in every row (names, ticket numbers).
    """
    numbers, levels = [], []
    for column in map(str, rows):
        values = rows[column]
        if values.dtype.kind in "biufMm":
            if values.notna().any():
                numbers.append(column)
        elif (different := values.nunique()) and (different <= FEW_LEVELS or different <= values.notna().sum() / 2):
            levels.append(column)
    if not numbers and not levels:
        raise KglError(
            f"of columns {', '.join(map(str, rows)) or '(none)'} none can be learnt from; see columns, drop."
        )
    return numbers, levels


def as_numbers(rows: pd.DataFrame, columns: list[str]) -> Array:
    """(n, columns) floats; dates and spans become days, infinite values missing."""
    values = np.empty((len(rows), len(columns)))
    for i, column in enumerate(columns):
        series = rows[column]
        if series.dtype.kind == "M":
            series = pd.to_datetime(series, utc=True) - pd.Timestamp(0, tz="UTC")
        if series.dtype.kind == "m":
            series = series.dt.total_seconds() / 86_400
        values[:, i] = series.to_numpy(dtype=float, na_value=np.nan)
    values[~np.isfinite(values)] = np.nan
    return values


def float_type(values: Array) -> type[np.float32] | type[np.float64]:
    """float32, which halves the memory, unless large whole numbers would lose digits."""
    return np.float64 if np.nanmax(np.abs(values), initial=0) > EXACT_IN_FLOAT32 else np.float32


def as_texts(values: pd.Series, missing: str | None) -> pd.Series:
    """Levels as plain texts, whatever they are kept as: 1 and 1.0 are '1'."""
    codes, levels = pd.factorize(values.astype(object))
    texts = [str(int(x)) if isinstance(x, float) and x.is_integer() else str(x) for x in levels]
    return pd.Series(np.array([*texts, missing], dtype=object)[codes], index=values.index)


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
        numbers = as_numbers(rows, self.numbers)
        self.float = float_type(numbers)
        steps: list[Any] = [SimpleImputer(strategy="median", add_indicator=True)]
        if self.scale:
            steps += [RobustScaler(), FunctionTransformer(np.arcsinh), StandardScaler()]
        self.fill = make_pipeline(*steps)
        self.one_hot = OneHotEncoder(
            min_frequency=3,
            max_categories=100,
            handle_unknown="infrequent_if_exist",
            sparse_output=False,
            dtype=np.float32,
        )
        parts = [self.fill.fit_transform(numbers.astype(self.float))] if self.numbers else []
        parts += [self.one_hot.fit_transform(self._texts(rows))] if self.levels else []
        return np.hstack(parts)

    def transform(self, rows: pd.DataFrame) -> Array:
        """The same for other rows; levels not seen in training count as the rare ones, or as none."""
        parts = [self.fill.transform(as_numbers(rows, self.numbers).astype(self.float))] if self.numbers else []
        parts += [self.one_hot.transform(self._texts(rows))] if self.levels else []
        return np.hstack(parts)

    def _texts(self, rows: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({column: as_texts(rows[column], "missing") for column in self.levels})


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
        self.float = float_type(as_numbers(rows, self.numbers))
        common = {c: as_texts(rows[c], None).value_counts().index[: self.max_levels] for c in levels}
        self.codes = {c: {level: code for code, level in enumerate(sorted(known))} for c, known in common.items()}
        return self.transform(rows)

    def transform(self, rows: pd.DataFrame) -> Array:
        """The same for other rows."""
        codes = [as_texts(rows[column], None).map(codes) for column, codes in self.codes.items()]
        parts = [as_numbers(rows, self.numbers).astype(self.float), *(c.to_numpy(np.float32)[:, None] for c in codes)]
        return np.hstack(parts)

    @property
    def categorical(self) -> list[int]:
        """The places of the columns that hold codes."""
        return list(range(len(self.numbers), len(self.numbers) + len(self.codes)))


class Raw:
    """The frame as it is, for estimators that prepare columns themselves."""

    def fit_transform(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows."""
        return rows

    def transform(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows."""
        return rows
