"""What columns hold: dates and codes give parts, running numbers and copies are left out, sentences are told apart."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgl.errors import KglError
from kgl.tabular.columns import Typed, sort_columns

RNG = np.random.default_rng(0)
N = 200
WORDS = np.array(["fire", "flood", "storm", "sun", "cat", "dog", "tree", "house", "river", "road"])


def sentences(n: int = N) -> list[str]:
    return [" ".join(RNG.choice(WORDS, 6)) + f" {i}" for i in range(n)]


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns)


@pytest.mark.parametrize("dtype", ["str", "object", "category", "string"])
def test_text_is_levels_whatever_pandas_keeps_it_as(dtype: str) -> None:
    rows = frame(port=pd.Series(["S", None, "Q", "S"], dtype=dtype))
    assert sort_columns(rows) == ([], ["port"], [])


def test_sentences_of_few_rows_are_texts_and_few_names_are_levels() -> None:
    rows = frame(said=sentences(40), city=[f"city {i % 30}" for i in range(40)], code=[f"c{i}" for i in range(40)])
    assert sort_columns(rows) == ([], ["code"], ["said", "city"])
    assert sort_columns(rows.assign(city=[f"city {i % 9}" for i in range(40)]))[1] == ["city", "code"]


def test_empty_columns_names_of_rows_and_a_single_value_are_left_out() -> None:
    rows = frame(x=RNG.random(N), nothing=[None] * N, gaps=[np.nan] * N, name=[f"n{i}" for i in range(N)], same=[7] * N)
    assert sort_columns(rows) == (["x"], [], [])
    with pytest.raises(KglError, match="of columns nothing none can be learnt from; see columns, drop"):
        Typed().fit_transform(rows[["nothing"]])
    with pytest.raises(KglError, match=r"of columns \(none\) none"):
        Typed().fit_transform(rows[[]])


def test_a_value_beside_gaps_tells_something() -> None:
    assert sort_columns(frame(x=[1.0, np.nan, 1.0])) == (["x"], [], [])


def test_numbers_that_count_the_rows_are_left_out_and_others_stay() -> None:
    count = np.arange(N)
    rows = frame(count=count, gappy=3 + count * 3 // 2, price=RNG.permutation(N), far=count * 1000, half=count / 2)
    assert sort_columns(rows)[0] == ["price", "far", "half"]


def test_copies_of_a_column_are_left_out() -> None:
    x = RNG.random(N)
    rows = frame(x=x, again=x, nearly=np.where(np.arange(N) == 100, 9, x))
    assert sort_columns(rows)[0] == ["x", "nearly"]


@pytest.mark.parametrize(
    ("written", "month"),
    [("%Y-%m-%d", 2), ("%d/%m/%Y", 2), ("%m/%d/%Y", 2), ("%Y-%m-%d %H:%M:%S", 2), ("%d.%m.%Y", 2)],
)
def test_dates_written_as_text_give_their_parts(written: str, month: int) -> None:
    days = pd.date_range("2023-01-01", periods=N, freq="27h")
    rows = frame(when=days.strftime(written))
    typed = Typed()
    wide = typed.fit_transform(rows)
    assert typed.levels == [] and {"when time", "when month", "when day"} <= set(typed.numbers)
    assert wide["when month"].tolist() == days.month.tolist()
    other = typed.transform(frame(when=[days[40].strftime(written), "no date", None]))
    assert other["when month"].iloc[0] == month and other["when month"].isna().tolist() == [False, True, True]


def test_dates_that_are_dates_stay_numbers_and_give_the_parts_that_vary() -> None:
    typed = Typed()
    typed.fit_transform(frame(when=pd.date_range("2023-01-01", periods=N)))
    assert typed.numbers == ["when", "when month", "when day", "when day_of_week"]


def test_codes_give_their_letters_as_levels_and_their_digits_as_numbers() -> None:
    cabins = [f"{deck}/{number}/{side}" for deck, number, side in zip("ABCD" * 50, range(N), "PS" * 100, strict=True)]
    typed = Typed()
    typed.fit_transform(frame(cabin=RNG.permutation(cabins)))
    assert (typed.numbers, typed.levels, typed.texts) == (["cabin 1"], ["cabin 0", "cabin 2"], [])
    other = typed.transform(frame(cabin=["C/7/S", None, "what", "E/1/P/9"]))
    assert other["cabin 1"].fillna(-1).tolist() == [7, -1, -1, 1]
    assert other["cabin 0"].fillna("").tolist() == ["C", "", "", "E"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ([f"{i:,}" for i in range(900, 900 + N)], range(900, 900 + N)),
        ([f"{i / 2}%" for i in range(N)], np.arange(N) / 2),
        ([f"$ {i * 10:,}.50" for i in range(N)], np.arange(N) * 10 + 0.5),
        ([f"{i},25" if i else "0,125" for i in range(N)], [0.125, *(np.arange(1, N) + 0.25)]),
        (["unknown", "none", *map(str, range(2, N))], [np.nan, np.nan, *range(2, N)]),
    ],
    ids=["thousands", "percent", "currency", "decimal commas", "two words"],
)
def test_numbers_that_are_written_as_text_are_numbers_and_their_words_levels(written: list[str], read: Any) -> None:
    rows, order = frame(paid=written * 3), RNG.permutation(3 * N)
    typed = Typed()
    wide = typed.fit_transform(rows.iloc[order])
    assert (typed.numbers, "paid" in typed.levels, typed.texts) == (["paid as number"], False, [])
    assert (typed.levels == ["paid as word"]) == (written[0] == "unknown")
    np.testing.assert_array_equal(wide["paid as number"], np.tile(read, 3)[order])
    other = typed.transform(frame(paid=[written[50], "what", None]))
    np.testing.assert_array_equal(other["paid as number"], [read[50], np.nan, np.nan])


@pytest.mark.parametrize(
    "values",
    [
        [f"{i % 70:04d}" for i in range(N)],
        [str(i % 70) for i in range(N)],
        [f"{i % 40}%" for i in range(N)],
        [f"{i % 9},{i % 8},7" for i in range(N)],
        [f"{i % 9} {i % 8}" for i in range(N)],
        ["many", *(str(i % 40) for i in range(N - 1))],
        pd.Series([f"{i % 70}%" for i in range(N)], dtype="category"),
    ],
    ids=[
        "zeros in front",
        "plain ones that somebody made text",
        "few",
        "lists",
        "pairs",
        "few and a word",
        "a category",
    ],
)
def test_codes_and_few_levels_are_no_amounts(values: Any) -> None:
    typed = Typed()
    assert "code as number" not in typed.fit_transform(frame(code=values)) and typed.levels[:1] == ["code"]


@pytest.mark.parametrize(
    "values",
    [[f"{i:012x}" for i in RNG.integers(2**40, 2**47, N)], [f"n{i}" for i in range(N)], [f"{i}" for i in range(N)]],
    ids=["hexadecimal", "letter and counter", "digits"],
)
def test_ids_are_no_codes(values: list[str]) -> None:
    assert sort_columns(Typed().fit_transform(frame(x=RNG.random(N), id=values)))[1:] == ([], [])
    assert Typed().fit_transform(frame(x=RNG.random(N), id=values)).shape[1] <= 4


def test_sentences_are_texts_and_names_of_one_word_are_not() -> None:
    rows = frame(text=sentences(), name=[f"{a}{i}x" for i, a in enumerate("abcd" * 50)], few=["a b c", "d e f"] * 100)
    assert sort_columns(rows)[2] == ["text"]


def test_texts_are_learnt_where_targets_are_given_and_left_out_where_not() -> None:
    rows = frame(x=RNG.random(N), text=sentences())
    y = rows["text"].str.contains("fire").to_numpy().astype(int)[:, None]
    plain, learnt = Typed(), Typed()
    plain.fit_transform(rows)
    learnt.fit_transform(rows, y)
    assert plain.numbers == ["x"]
    assert learnt.numbers == [
        "x",
        *(f"text {name}" for name in ("letters", "words", "capitals", "digits", "signs", 0, 1)),
    ]
    assert list(learnt.transform(rows.head(3)).columns) == list(learnt.fit_transform(rows, y).columns)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=12)), min_size=60, max_size=80), st.integers(1, 20))
def test_any_text_is_read_and_a_row_does_not_depend_on_those_beside_it(values: list[str | None], few: int) -> None:
    rows = frame(x=np.arange(len(values)) % 7, any=pd.Series(values, dtype="str"))
    typed = Typed()
    typed.fit_transform(rows)
    pd.testing.assert_frame_equal(typed.transform(rows).iloc[:few], typed.transform(rows.iloc[:few]), check_dtype=False)
