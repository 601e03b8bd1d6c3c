"""What the columns are: words, dates, time order and groups, told from their values."""

import pandas as pd

from kgl.columns import find_group, find_notes, find_time, is_date, is_prose


def test_text_dates_and_plain_words_are_told_apart() -> None:
    texts = [f"a sentence of several words, number {i}" for i in range(30)]
    assert is_prose(pd.Series(texts)) and not is_date(pd.Series(texts))
    for dates in (["2024-01-05 10:00", "2024-02-06 11:30"], ["5/1/2024", "6/2/2024"], ["Jan 5, 2024", "Feb 6, 2024"]):
        assert is_date(pd.Series(dates * 20)), dates
    for plain in (
        ["A/5 21171", "PC 17599"],
        ["B/0/P", "F/1/S"],
        ["0001_01", "0002_01"],
        ["8353e4690948", "a"],
        ["", "x"],
    ):
        assert not is_date(pd.Series(plain * 20)) and not is_prose(pd.Series(plain * 20)), plain


def test_time_order_is_found_only_where_all_of_test_comes_later() -> None:
    days = pd.Series(pd.date_range("2020-01-01", periods=100).strftime("%Y-%m-%d"))
    early, late = (
        pd.DataFrame({"day": days[:80], "n": range(80)}),
        pd.DataFrame({"day": days[80:], "n": range(80, 100)}),
    )
    assert find_time(early, late, ()) == "day"
    mixed = pd.DataFrame({"day": days[::2]}), pd.DataFrame({"day": days[1::2]})
    assert find_time(*mixed, ()) == ""
    assert find_time(early.drop(columns="day"), late.drop(columns="day"), ()) == ""  # n only numbers the rows
    assert (
        find_time(
            early.rename(columns={"day": "x", "n": "week"}), late.rename(columns={"day": "x", "n": "week"}), ("x",)
        )
        == "week"
    )


def test_groups_are_found_only_where_none_is_in_both() -> None:
    train = pd.DataFrame({"patient": [i // 3 for i in range(90)], "ward": [i % 15 for i in range(90)], "x": 0.5})
    test = pd.DataFrame({"patient": [100 + i // 3 for i in range(45)], "ward": [i % 15 for i in range(45)], "x": 0.5})
    assert find_group(train, test, ()) == "patient"
    assert find_group(train, test.assign(patient=[80 + i // 3 for i in range(45)]), ()) == "patient"
    assert find_group(train, test.assign(patient=[29 + i // 3 for i in range(45)]), ()) == ""
    assert find_group(train.assign(patient=range(90)), test, ()) == ""  # nothing repeats


def test_people_are_groups_also_where_test_does_not_tell_them_or_has_few() -> None:
    train = pd.DataFrame({"PatientID": [i // 3 for i in range(90)], "Patient Age": [i % 15 for i in range(90)]})
    assert find_group(train, pd.DataFrame({"x": range(9)}), ()) == "PatientID"
    assert find_group(train, pd.DataFrame({"PatientID": [91, 92, 93]}), ()) == "PatientID"
    assert find_group(train, pd.DataFrame({"PatientID": [29, 92, 93]}), ()) == ""
    assert find_group(train.drop(columns="PatientID"), pd.DataFrame({"x": range(9)}), ()) == ""


def test_whole_numbers_that_go_on_in_test_are_a_time_and_no_groups_whatever_their_name() -> None:
    train = pd.DataFrame({"Semana": [3 + i % 7 for i in range(420)], "run": range(420), "x": 0.5})
    test = pd.DataFrame({"Semana": [10 + i % 2 for i in range(120)], "run": range(420, 540), "x": 0.5})
    assert (find_time(train, test, ()), find_group(train, test, ())) == ("Semana", "")
    few = train.assign(Semana=train["Semana"] // 2)
    assert (find_time(few, test, ()), find_group(few, test, ())) == ("", "")
    for name in ("PatientID", "store", "group_id"):
        named = [part.rename(columns={"Semana": name}) for part in (train, test)]
        assert (find_time(named[0], named[1], ()), find_group(named[0], named[1], ())) == ("", name)


def test_numbers_that_are_written_as_text_are_told() -> None:
    rows = pd.DataFrame({"paid": [f"{900 + i:,}" for i in range(300)], "kind": ["a", "b"] * 150})
    notes = {key: columns for key, columns, _ in find_notes(rows, rows, (), {})}
    assert (notes["numbers"], notes["like ids"]) == (["paid"], [])
