"""Columns for each family of models: gaps, dates, infinite values, levels by whatever name and type."""

from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from kgl.tabular.columns import sort_columns
from kgl.tabular.prepare import Dense, Native, as_numbers, as_texts


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns)


@pytest.mark.parametrize("dtype", ["str", "object", "category", "string"])
def test_text_is_levels_whatever_pandas_keeps_it_as(dtype: str) -> None:
    rows = frame(port=pd.Series(["S", None, "Q", "S"], dtype=dtype))
    native = Native().fit_transform(rows)
    np.testing.assert_array_equal(native[:, 0], [1, np.nan, 0, 1])


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([True, False, True]),
        pd.Series([True, None, False], dtype="boolean"),
        pd.Series([1, None, 3], dtype="Int64"),
        pd.Series([1.5, np.nan, 3], dtype="Float64"),
        pd.Series(pd.to_datetime(["2024-01-01", "", "2024-01-03"])),
        pd.Series(pd.to_datetime(["2024-01-01", "2024-01-02", ""], utc=True)),
        pd.Series(pd.to_timedelta(["1 day", None, "3 days"])),
    ],
    ids=lambda column: str(column.dtype),
)
def test_numbers_flags_dates_and_spans_are_numbers(column: pd.Series) -> None:
    rows = frame(column=column)
    assert sort_columns(rows) == (["column"], [], [])
    values = as_numbers(rows["column"])
    np.testing.assert_array_equal(np.isnan(values), column.isna())


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_dates_are_days_in_every_resolution_and_time_zone(unit: Literal["s", "ms", "us", "ns"]) -> None:
    dates = pd.Series(pd.to_datetime(["1970-01-03 12:00", "1969-12-31 00:00"])).dt.as_unit(unit)
    np.testing.assert_array_equal(as_numbers(dates), [2.5, -1])
    there = dates.dt.tz_localize("Asia/Tokyo")
    np.testing.assert_allclose(as_numbers(there), [2.5 - 9 / 24, -1 - 9 / 24])


def test_infinite_values_are_missing() -> None:
    rows = frame(x=[1.0, np.inf, -np.inf, 4.0])
    np.testing.assert_array_equal(as_numbers(rows["x"]), [1, np.nan, np.nan, 4])
    for way in (Native(), Dense(scale=True), Dense(scale=False)):
        assert not np.isinf(way.fit_transform(rows)).any()


def test_large_whole_numbers_keep_their_digits_and_other_rows_their_precision() -> None:
    large = frame(x=[20_000_001.0, 20_000_002.0])
    assert Native().fit_transform(large).dtype == np.float64
    small = Native()
    assert small.fit_transform(frame(x=[0.1, 0.2])).dtype == np.float32
    # a row must not be read more precisely because another row beside it is large
    assert small.transform(frame(x=[0.1, 3e7]))[0, 0] == np.float32(0.1)


@pytest.mark.parametrize("values", [[1, 2], [1.0, 2.0], ["1", "2"], pd.Categorical([1, 2]), pd.Categorical([1.0, 2.0])])
def test_levels_that_are_written_alike_are_the_same_level(values: Any) -> None:
    assert as_texts(pd.Series(values)).tolist() == ["1", "2"]


def test_a_level_called_missing_is_not_a_gap() -> None:
    rows = frame(x=["missing", None, "a"])
    np.testing.assert_array_equal(Native().fit_transform(rows)[:, 0], [1, np.nan, 0])


def test_unseen_levels_are_gaps_for_trees_and_rare_or_none_for_linear_models() -> None:
    train, new = frame(x=["a", "b"] * 5), frame(x=["c", None, "a"])
    native = Native()
    native.fit_transform(train)
    np.testing.assert_array_equal(native.transform(new)[:, 0], [np.nan, np.nan, 0])
    dense = Dense(scale=False)
    dense.fit_transform(train)
    np.testing.assert_array_equal(dense.transform(new), [[0, 0], [0, 0], [1, 0]])


def test_the_most_frequent_levels_stay_where_there_are_too_many() -> None:
    levels = [f"l{i:03d}" for i in range(300) for _ in range(2)] + ["l299"] * 5
    native = Native(254)
    codes = native.fit_transform(frame(x=levels))[:, -1]
    assert np.nanmax(codes) == 253 and len(native.codes["x"]) == 254
    assert not np.isnan(codes[-1]) and np.isnan(codes).sum() == (300 - 254) * 2


def test_a_column_that_is_empty_in_training_does_no_harm_later() -> None:
    train, new = frame(x=[1.0, 2.0], y=[np.nan, np.nan]), frame(x=[3.0], y=[7.0])
    for way in (Native(), Dense(scale=True)):
        way.fit_transform(train)
        assert way.transform(new).shape == (1, 1)


def test_gaps_are_filled_with_the_median_and_flagged_and_outliers_squeezed() -> None:
    rows = frame(x=[1.0, 2.0, 3.0, np.nan, 1e6])
    plain = Dense(scale=False).fit_transform(rows)
    np.testing.assert_array_equal(plain, [[1, 0], [2, 0], [3, 0], [2.5, 1], [1e6, 0]])
    scaled = Dense(scale=True).fit_transform(rows)
    assert np.abs(scaled[:, 0]).max() < 3 and np.allclose(scaled.mean(axis=0), 0, atol=1e-6)


def test_numbers_that_are_names_are_levels_of_linear_models_as_well() -> None:
    rows = frame(shop_id=np.arange(240) % 12, pclass=np.arange(240) % 3, price=np.linspace(0, 1, 240))
    dense, native = Dense(scale=True), Native()
    assert dense.fit_transform(rows).shape[1] == 3 + 12 and dense.levels == ["shop_id"]
    assert native.fit_transform(rows).shape[1] == 3 and native.categorical == []
