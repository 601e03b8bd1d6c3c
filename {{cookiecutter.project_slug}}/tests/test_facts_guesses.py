"""What kgl init guesses where the sample submission says little, and what it tells of tables that lie beside."""

import warnings

import pandas as pd
import pytest

from kgl.competition import Competition
from kgl.facts import Fact, find_facts
from tests.conftest import Tiny


def facts(tiny: Tiny) -> dict[str, Fact]:
    return {fact.key: fact for fact in find_facts(tiny.workspace, Competition(slug="tiny"), {})}


@pytest.fixture
def no_sample(tiny: Tiny) -> Tiny:
    (tiny.root / "data/raw/sample.csv").unlink()
    return tiny


def test_neither_a_date_nor_a_single_value_is_the_target_and_numbers_are_where_numbers_are_asked(tiny: Tiny) -> None:
    train = tiny.frame("train.csv").rename(columns={"label": "error"})
    days = pd.date_range("2016-01-01", periods=len(train)).strftime("%Y-%m-%d")
    tiny.save("train.csv", train.assign(error=[f"{i / 7:.3f}" for i in range(len(train))], kind="a b", sold=days, n=1))
    tiny.save("sample.csv", tiny.frame("sample.csv").assign(label=0, later=0))
    target = facts(tiny)["target"]
    assert (target.value, target.sure) == (("error",), False)
    tiny.save("train.csv", tiny.frame("train.csv").assign(kind=["u", "v", "w"] * 20))
    assert facts(tiny)["target"].value == ("error",)
    tiny.save("sample.csv", tiny.frame("sample.csv").assign(label="x", later="y"))
    assert facts(tiny)["target"].value == ("kind",)


def test_without_a_sample_submission_the_last_column_that_is_no_date_is_the_target(no_sample: Tiny) -> None:
    train = no_sample.frame("train.csv")
    no_sample.save("train.csv", train.assign(seen=pd.date_range("2016-01-01", periods=len(train)).astype(str)))
    assert facts(no_sample)["target"].value == ("label",)


@pytest.mark.parametrize(("every", "metric"), [(10, "auc"), (3, "accuracy")])
def test_rare_labels_are_ranked_without_a_sample_submission_too(no_sample: Tiny, every: int, metric: str) -> None:
    train = no_sample.frame("train.csv")
    no_sample.save("train.csv", train.assign(label=[int(i % every == 0) for i in range(len(train))]))
    found = facts(no_sample)["metric"]
    assert (found.value, found.sure) == (metric, False)


def test_tables_beside_are_told_with_what_they_share_with_train(tiny: Tiny) -> None:
    tiny.write("data/raw/family.csv", "Family,income\nf0,1\n")
    tiny.write("data/raw/more/weather.csv.txt", "rain\n1\n")
    tiny.write("data/raw/train.csv.zip", "no archive")
    tiny.write("data/raw/words.txt", "family\n")
    note = facts(tiny)["further tables"]
    assert (note.value, note.kept) == (["family.csv (family)", "weather.csv.txt (-)"], False)
    assert "features" not in facts(tiny)


def test_the_table_that_has_the_columns_of_test_is_named_where_train_has_none_of_them(tiny: Tiny) -> None:
    train = tiny.frame("train.csv")
    tiny.save("train_features.csv", train.drop(columns="label"))
    tiny.save("train.csv", train[["id", "label"]])
    tiny.write("data/raw/drugs.csv", "id,drug\n0001,a\n")
    found = facts(tiny)
    assert found["features"].why == "train_features.csv has test's columns: merge it in load() of contest.py on id"
    assert found["further tables"].value == ["drugs.csv (id)", "train_features.csv (id)"]


def test_a_table_of_many_columns_is_read_without_a_warning(tiny: Tiny) -> None:
    for name in ("train.csv", "test.csv"):
        rows = tiny.frame(name)
        many = {f"c{i}": [f"{j}" if i % 2 else f"{j}.5" for j in range(len(rows))] for i in range(150)}
        tiny.save(name, pd.concat([rows, pd.DataFrame(many)], axis=1))
    with warnings.catch_warnings(action="error"):
        facts(tiny)
