"""The target: which labels there are, in which order, and what learners get."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgl.competition import Competition
from kgl.errors import KglError
from kgl.target import Target, as_labels, find_target, in_label_order
from tests.conftest import Tiny


def found(task: Any, **columns: Any) -> tuple[Target, Any]:
    rows = pd.DataFrame(columns)
    target = find_target(rows, Competition(task=task, target=tuple(columns)))
    return target, target.encode(rows)


def test_labels_become_codes_in_the_order_of_their_numbers() -> None:
    target, y = found("multiclass", y=[10, 2, 1, 10])
    assert (target.labels, target.columns) == (("1", "2", "10"), ("p_1", "p_2", "p_10"))
    assert list(y) == [2, 1, 0, 2] and y.dtype == np.int64


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0, 1], ("0", "1")),
        ([0.0, 1.0], ("0", "1")),
        ([0.5, 1.0], ("0.5", "1.0")),
        ([True, False], ("False", "True")),
        (pd.array([True, False], dtype="boolean"), ("False", "True")),
        (pd.array([1, 2], dtype="Int64"), ("1", "2")),
        (["yes", "no"], ("no", "yes")),
        (pd.Categorical(["b", "a"]), ("a", "b")),
        (["-1", "1"], ("-1", "1")),
    ],
)
def test_labels_are_written_as_people_do(values: Any, labels: tuple[str, ...]) -> None:
    assert found("binary", y=values)[0].labels == labels


@given(labels=st.lists(st.text(min_size=1) | st.integers().map(str), min_size=1, unique=True))
def test_label_order_does_not_depend_on_the_rows(labels: list[str]) -> None:
    assert in_label_order(labels) == in_label_order(labels[::-1])
    assert sorted(in_label_order(labels)) == sorted(labels)


def test_several_labels_are_columns_of_0_and_1() -> None:
    target, y = found("multilabel", a=[0, 1], b=[True, False])
    assert target.columns == ("p_a", "p_b") and y.tolist() == [[0, 1], [1, 0]]
    with pytest.raises(KglError, match="hold other values than 0 and 1"):
        found("multilabel", a=[0, 2])


def test_sets_of_labels_are_words_of_a_cell() -> None:
    target, y = found("multilabel", tags=["road  haze", "haze", "10 road"])
    assert target.columns == ("p_10", "p_haze", "p_road") and y.tolist() == [[0, 1, 1], [0, 1, 0], [1, 0, 1]]


def test_numbers_keep_their_scale() -> None:
    target, y = found("regression", y=["1.5", "2"])
    assert target.columns == ("y",) and y.tolist() == [1.5, 2.0]
    assert found("regression", x=[1, 2], y=[3, 4])[1].tolist() == [[1, 3], [2, 4]]


def test_an_ordinal_target_has_values_and_their_labels() -> None:
    target, y = found("ordinal", y=[3.0, 10.0, 4.0])
    assert (target.labels, target.columns, y.tolist()) == (("3", "4", "10"), ("y",), [3.0, 10.0, 4.0])


@pytest.mark.parametrize(
    ("task", "columns", "sentence"),
    [
        ("binary", {"y": ["a", "b", "c"]}, "3 labels in train (a, b, c), but task binary needs two"),
        ("binary", {"y": [1, 1]}, "1 labels in train (1), but task binary needs two"),
        ("multiclass", {"y": ["a", "a"]}, "task multiclass needs two or more"),
        ("ordinal", {"y": [3, 3]}, "task ordinal needs two or more"),
        ("ordinal", {"y": ["low", "high"]}, "target 'y' should be numbers, got 'low'"),
        ("regression", {"y": [1.0, np.nan, 2.0]}, "target 'y' is missing in 1 of 3 training rows"),
        ("binary", {"y": ["a", None]}, "target 'y' is missing in 1 of 2 training rows"),
        ("regression", {"y": [1.0, np.inf, -np.inf]}, "target 'y' is infinite in 2 of 3 training rows"),
        ("regression", {"y": ["1", "2,5"]}, "target 'y' should be numbers, got '2,5'"),
        ("binary", {"x": [0, 1], "y": [0, 1]}, "task binary takes one target column, got x, y"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused(task: str, columns: dict[str, Any], sentence: str) -> None:
    with pytest.raises(KglError) as refused:
        found(task, **columns)
    assert sentence in refused.value.message


def test_labels_that_training_did_not_have_are_refused() -> None:
    with pytest.raises(KglError, match="labels beyond a, b"):
        Target("binary", ("y",), ("a", "b")).encode(pd.DataFrame({"y": ["a", "c"]}))


def test_as_labels_agrees_between_files_that_pandas_reads_differently() -> None:
    assert list(as_labels(pd.Series([1, 2]))) == list(as_labels(pd.Series([1.0, 2.0]))) == ["1", "2"]


@pytest.mark.parametrize(
    ("cell", "task", "sentence"),
    [
        ("inf", "regression", "target 'label' is infinite in 1 of 60 training rows"),
        ("2", "binary", "3 labels in train (0, 1, 2), but task binary needs two"),
        ("x", "regression", "target 'label' should be numbers, got 'x'"),
    ],
)
def test_a_bad_cell_of_the_target_is_one_sentence_and_status_1(tiny: Tiny, cell: str, task: str, sentence: str) -> None:
    rows = tiny.frame("train.csv")
    tiny.save("train.csv", rows.assign(label=[cell, *rows["label"][1:]]))
    if task == "regression":
        tiny.replace("competition.toml", '"binary"', '"regression"')
        tiny.replace("competition.toml", '"accuracy"', '"rmse"')
    result = tiny.kgl("train", "constant")
    assert (result.status, sentence in result.err, len(result.err.splitlines())) == (1, True, 1), result.err


def test_several_targets_that_are_missing_in_part_are_refused(tiny: Tiny) -> None:
    rows = tiny.frame("train.csv")
    tiny.save("train.csv", rows.assign(other=["NA", *rows["label"][1:]]))
    for old, new in (('["label"]', '["label", "other"]'), ('"binary"', '"multilabel"'), ('"accuracy"', '"mean_auc"')):
        tiny.replace("competition.toml", old, new)
    result = tiny.kgl("train", "constant")
    assert (result.status, len(result.err.splitlines())) == (1, 1), result.err
    assert "target 'other' is missing in 1 of 60 training rows" in result.err
    assert "texts such as NA and None are read as missing" in result.err


def test_a_label_of_one_row_trains_without_a_warning(tiny: Tiny) -> None:
    tiny.save("train.csv", tiny.frame("train.csv").assign(label=["rare"] + ["often", "seldom"] * 29 + ["often"]))
    tiny.replace("competition.toml", '"binary"', '"multiclass"')
    tiny.save("sample.csv", tiny.frame("sample.csv").assign(label="often"))
    result = tiny.kgl("train", "logistic")
    assert result.status == 0 and "Warning" not in result.err, result.err
    oof = pd.read_parquet(tiny.workspace.runs / "logistic-001/oof.parquet")
    assert list(oof.columns) == ["id", "fold", "p_often", "p_rare", "p_seldom"] and not oof.isna().any().any()
