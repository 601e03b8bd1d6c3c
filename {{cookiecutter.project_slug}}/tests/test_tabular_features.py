"""Features: functions of one row, and transformers that learn from training rows alone."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.preprocessing import OneHotEncoder

from kgl.errors import KglError
from kgl.tabular.features import add_functions, apply_transformers, fit_transformers

ROWS = pd.DataFrame({"x": np.arange(40.0), "name": ["a b", "c d"] * 20, "day": ["2024-01-01", "2024-05-06"] * 20})


def double(rows: pd.DataFrame) -> pd.Series:
    return (2 * rows["x"]).rename("double")


def words(rows: pd.DataFrame) -> pd.DataFrame:
    return rows["name"].str.split(" ", expand=True).set_axis(["first", "second"], axis=1)


def date(rows: pd.DataFrame) -> pd.Series:
    """All at midnight in some rows, and not in others."""
    dates: pd.Series = pd.to_datetime(rows["day"]) + pd.to_timedelta(rows["x"] // 30, unit="h")
    return dates


def size_class(rows: pd.DataFrame) -> pd.Series:
    classes: pd.Series = pd.cut(rows["x"], [-1, 10, 20, 99], labels=["s", "m", "l"])
    return classes


def unnamed(rows: pd.DataFrame) -> pd.Series:
    return rows["x"] + 1


def test_functions_become_columns() -> None:
    made = add_functions(ROWS, (double, words, date, size_class))
    assert list(made.columns) == ["x", "name", "day", "double", "first", "second", "date", "size_class"]
    assert made["double"].tolist() == (2 * ROWS["x"]).tolist() and "double" not in ROWS


def rank(rows: pd.DataFrame) -> pd.Series:
    return rows["x"].rank().rename("rank")


def is_largest(rows: pd.DataFrame) -> pd.Series:
    return pd.Series(rows["x"] == rows["x"].max())


def share_of_name(rows: pd.DataFrame) -> pd.Series:
    return rows["name"].map(rows["name"].value_counts(normalize=True)).rename("share")


def number(rows: pd.DataFrame) -> pd.Series:
    return pd.Series(np.arange(len(rows)), rows.index, name="number")


def before(rows: pd.DataFrame) -> pd.Series:
    return rows["name"].shift().rename("before")


def chance(rows: pd.DataFrame) -> pd.Series:
    return pd.Series(np.random.default_rng().random(len(rows)), rows.index, name="chance")


@pytest.mark.parametrize("feature", [rank, is_largest, share_of_name, number, before, chance])
def test_a_function_that_looks_at_other_rows_is_refused(feature: Any) -> None:
    with pytest.raises(KglError, match=f"feature '{feature.__name__}' gives a row another value when other rows"):
        add_functions(ROWS, (feature,))


@pytest.mark.parametrize("place", range(0, 40, 3))
def test_a_single_row_that_tells_on_a_function_is_enough(place: int) -> None:
    rows = ROWS.assign(x=0.0)
    rows.loc[place, "x"] = 1.0
    with pytest.raises(KglError, match="feature 'is_largest' gives a row another value"):
        add_functions(rows, (is_largest,))


@pytest.mark.parametrize(
    ("feature", "sentence"),
    [
        (lambda rows: rows["x"].iloc[:-1], "feature '<lambda>' returns 39 rows for 40; give one for each, in order"),
        (lambda rows: rows["x"].iloc[::-1], "returns rows in another order or index; keep the index"),
        (lambda rows: rows["x"].reset_index(drop=True).add_prefix("r"), "returns rows in another order or index"),
        (lambda rows: rows["x"].to_numpy(), "should return a Series or a DataFrame, got ndarray"),
        (lambda rows: rows["label"], "asks for column 'label', which the rows lack"),
        (lambda rows: rows["x"] / "a", "feature '<lambda>' raises TypeError"),
        (lambda rows: rows[["x"]], "two features, or a feature and a column, are called 'x'; rename one"),
    ],
)
def test_a_wrong_function_is_told_in_one_sentence(feature: Any, sentence: str) -> None:
    with pytest.raises(KglError, match=sentence) as refused:
        add_functions(ROWS, (feature,))
    assert "\n" not in refused.value.message


def test_a_function_cannot_change_the_rows_that_others_see() -> None:
    def careless(rows: pd.DataFrame) -> pd.Series:
        rows["x"] = 0.0
        return rows["x"].rename("zero")

    made = add_functions(ROWS, (careless, double))
    assert made["double"].max() == 78 and made["x"].max() == 39


def test_a_test_of_one_row_works() -> None:
    assert add_functions(ROWS.head(1), (double,))["double"].tolist() == [0.0]


class Mean(TransformerMixin, BaseEstimator):
    """The mean label, the row left out in training."""

    def fit(self, X: pd.DataFrame, y: Any) -> "Mean":
        self.mean_ = float(np.mean(y))
        return self

    def fit_transform(self, X: pd.DataFrame, y: Any) -> Any:
        self.fit(X, y)
        return ((y.sum() - y) / (len(y) - 1))[:, None]

    def transform(self, X: pd.DataFrame) -> Any:
        return np.full((len(X), 1), self.mean_)


def test_training_rows_get_what_fit_transform_gives_and_others_what_transform_gives() -> None:
    y = (np.arange(40) < 10).astype(int)
    fitted, train = fit_transformers((double, Mean()), ROWS, y)
    assert train["Mean-0_0"].tolist() == [9 / 39] * 10 + [10 / 39] * 30
    assert apply_transformers(fitted, ROWS.head(2))["Mean-0_0"].tolist() == [0.25, 0.25]


def test_two_transformers_of_one_kind_make_columns_of_their_own() -> None:
    both = [make_column_transformer((OneHotEncoder(), [column])) for column in ("name", "day")]
    made = fit_transformers(both, ROWS, np.zeros(40))[1]
    assert made.columns.is_unique and made.shape == (40, 3 + 2 + 2)


class Gives(BaseEstimator):
    """A transformer that gives what it is told."""

    def __init__(self, made: Any) -> None:
        self.made = made

    def fit_transform(self, X: pd.DataFrame, y: Any) -> Any:
        return self.made

    def transform(self, X: pd.DataFrame) -> Any:
        return self.made


@pytest.mark.parametrize(
    "made",
    [
        np.ones(40),
        np.ones((40, 1)),
        csr_array(np.ones((40, 1))),
        pd.Series(np.ones(40)),
        pd.DataFrame({"own": np.ones(40)}, index=range(100, 140)),
        np.full((40, 1), 1.0, dtype=object),
    ],
)
def test_whatever_a_transformer_gives_becomes_a_column_of_numbers(made: Any) -> None:
    column = fit_transformers((Gives(made),), ROWS, np.zeros(40))[1].iloc[:, -1]
    assert column.tolist() == [1.0] * 40 and column.dtype.kind == "f"


def test_a_transformer_that_loses_rows_is_refused() -> None:
    with pytest.raises(KglError, match="transformer 'Gives' returns 39 rows for 40; give one for each, in order"):
        fit_transformers((Gives(np.ones(39)),), ROWS, np.zeros(40))
