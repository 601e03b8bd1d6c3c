"""Columns made ready for each family of models, fitted on training rows alone: linear, forest, native, text or raw."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from kgl.arrays import Array
from kgl.columns import is_code
from kgl.errors import usage
from kgl.tabular.columns import Typed
from kgl.tabular.text import Words, join_texts

EXACT_IN_FLOAT32 = 2**24
MOST_RANKS = 10


def as_numbers(values: pd.Series) -> Array:
    """A column as floats; dates and spans become days, infinite values missing."""
    if values.dtype.kind == "M":
        values = pd.to_datetime(values, utc=True) - pd.Timestamp(0, tz="UTC")
    if values.dtype.kind == "m":
        values = values.dt.total_seconds() / 86_400
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def float_type(rows: pd.DataFrame, columns: list[str]) -> type[np.float32] | type[np.float64]:
    """float32, which halves the memory, unless large whole numbers would lose digits."""
    large = any(np.nanmax(np.abs(as_numbers(rows[c])), initial=0) > EXACT_IN_FLOAT32 for c in columns)
    return np.float64 if large else np.float32


def as_codes(values: pd.Series) -> tuple[Array, list[str]]:
    """Each row's place in the levels (-1: missing), and these as plain texts, however kept: 1 and 1.0 are '1'."""
    codes, levels = pd.factorize(values)
    return codes, [str(int(x)) if isinstance(x, float) and x.is_integer() else str(x) for x in levels]


def as_texts(values: pd.Series) -> Array:
    """Each row's level as plain text, 'missing' where it has none."""
    codes, levels = as_codes(values)
    return np.array([*levels, "missing"], dtype=object)[codes]


def numbers_of(rows: pd.DataFrame, columns: list[str], kind: type[Any]) -> Array:
    """(n, columns) of `as_numbers`."""
    return fill_columns(np.empty((len(rows), len(columns)), kind), (as_numbers(rows[column]) for column in columns))


def texts_of(rows: pd.DataFrame, columns: list[str]) -> Array:
    """(n, columns) of `as_texts`."""
    return fill_columns(np.empty((len(rows), len(columns)), object), (as_texts(rows[column]) for column in columns))


def fill_columns(table: Array, columns: Iterable[Array]) -> Array:
    """The table, filled column by column: nothing of its size is held beside it."""
    for i, column in enumerate(columns):
        table[:, i] = column
    return table


class Dense:
    """Numbers with their gaps filled and flagged, levels one-hot: for linear models, forests and models of one's own.

    Args:
        scale: whether numbers are squeezed (arcsinh of robust units, so that outliers and skew do no harm) and scaled.
    """

    def __init__(self, scale: bool) -> None:
        self.scale = scale

    def fit_transform(self, rows: pd.DataFrame, y: Array | None = None) -> Array:
        """Learn medians, scales and levels from training rows; (n, features) float array of them."""
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, RobustScaler, StandardScaler

        self.typed = Typed()
        rows = self.typed.fit_transform(rows, y)
        self.numbers = self.typed.numbers
        # a line through the numbers of shops says nothing of a shop; a few numbers are ranks rather than names
        codes = [c for c in self.numbers if self.scale and is_code(rows[c]) and rows[c].nunique() > MOST_RANKS]
        self.levels = [*self.typed.levels, *codes]
        self.float = float_type(rows, self.numbers)
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
        return self._beside(rows, "fit_transform")

    def transform(self, rows: pd.DataFrame) -> Array:
        """The same for other rows; levels not seen in training count as the rare ones, or as none."""
        return self._beside(self.typed.transform(rows), "transform")

    def _beside(self, rows: pd.DataFrame, way: str) -> Array:
        parts = [getattr(self.fill, way)(numbers_of(rows, self.numbers, self.float))] if self.numbers else []
        parts += [getattr(self.one_hot, way)(texts_of(rows, self.levels))] if self.levels else []
        return np.hstack(parts)


class Native:
    """Numbers as they are, levels as codes, gaps and unseen levels as NaN: for boosted trees, which split on all of it.

    Args:
        max_levels: rarer levels beyond that many count as missing (HistGradientBoosting takes 255).
    """

    def __init__(self, max_levels: int | None = None) -> None:
        self.max_levels = max_levels

    def fit_transform(self, rows: pd.DataFrame, y: Array | None = None) -> Array:
        """Learn the levels from training rows; (n, columns) float array, the levels' columns last."""
        self.typed = Typed()
        rows = self.typed.fit_transform(rows, y)
        self.numbers = self.typed.numbers
        self.float = float_type(rows, self.numbers)
        found = {column: as_codes(rows[column]) for column in self.typed.levels}
        self.codes = {column: self._common(*found[column]) for column in found}
        return self._table(rows, found)

    def _common(self, codes: Array, levels: list[str]) -> dict[str, int]:
        counts = pd.Series(np.bincount(codes[codes >= 0], minlength=len(levels)), levels)  # '1' may stand there twice
        counts = counts.groupby(level=0, sort=False).sum().sort_values(ascending=False, kind="stable")
        return {level: code for code, level in enumerate(sorted(counts.index[: self.max_levels]))}

    def transform(self, rows: pd.DataFrame) -> Array:
        """The same for other rows."""
        rows = self.typed.transform(rows)
        return self._table(rows, {column: as_codes(rows[column]) for column in self.codes})

    def _table(self, rows: pd.DataFrame, found: dict[str, tuple[Array, list[str]]]) -> Array:
        table = np.empty((len(rows), len(self.numbers) + len(found)), self.float, order="F")
        numbers = (as_numbers(rows[column]) for column in self.numbers)
        return fill_columns(table, chain(numbers, (self._known(column, *found[column]) for column in found)))

    def _known(self, column: str, codes: Array, levels: list[str]) -> Array:
        known = self.codes[column]
        return np.array([*(known.get(level, np.nan) for level in levels), np.nan])[codes]

    @property
    def categorical(self) -> list[int]:
        """The places of the columns that hold codes."""
        return list(range(len(self.numbers), len(self.numbers) + len(self.codes)))


class Sparse:
    """Words and letters of texts, and levels one-hot, as sparse rows of numbers above 0: for linear models of texts."""

    def fit_transform(self, rows: pd.DataFrame, y: Array | None = None) -> Any:
        """Learn frequencies and levels from training rows; (n, columns) sparse array of them.

        Raises:
            KglError: neither texts nor levels (status 2).
        """
        from sklearn.preprocessing import OneHotEncoder

        self.typed = Typed()
        wide = self.typed.fit_transform(rows)
        if not (self.typed.texts or self.typed.levels):
            raise usage("the columns hold numbers alone, and this model reads texts; use logistic, ridge or lightgbm.")
        self.words = Words()
        self.one_hot = OneHotEncoder(min_frequency=3, handle_unknown="infrequent_if_exist", dtype=np.float32)
        return self._beside(wide, "fit_transform")

    def transform(self, rows: pd.DataFrame) -> Any:
        """The same for other rows."""
        return self._beside(self.typed.transform(rows), "transform")

    def _beside(self, wide: pd.DataFrame, way: str) -> Any:
        texts, levels = self.typed.texts, self.typed.levels
        parts = [getattr(self.words, way)(join_texts(wide, texts))] if texts else []
        parts += [getattr(self.one_hot, way)(texts_of(wide, levels))] if levels else []
        return sparse.csr_array(sparse.hstack(parts))
