"""kgl doctor without Kaggle: what is odd in machine, facts, data and folds."""

import numpy as np
import pytest

from kgl.checks import check_workspace
from tests.conftest import Tiny


def said(tiny: Tiny, level: str) -> str:
    return "\n".join(f"{f.what} -> {f.mend}" for f in check_workspace(tiny.workspace) if f.level == level)


def test_a_sound_workspace_has_nothing_to_mend(tiny: Tiny) -> None:
    assert tiny.kgl("folds").status == 0
    assert said(tiny, "block") == "" and "id" not in said(tiny, "warn")
    assert "60 training and 20 test rows" in said(tiny, "ok") and "3 folds, scheme stratified" in said(tiny, "ok")


@pytest.mark.parametrize(
    ("column", "values", "warning"),
    [
        ("gaps", "", "without any value in train"),
        ("size", "inf", "infinite values, taken as missing"),
        ("id", "0001", "repeat an id"),
    ],
)
def test_odd_columns_are_named_and_training_goes_on(tiny: Tiny, column: str, values: str, warning: str) -> None:
    rows = tiny.frame("train.csv")
    rows.loc[rows.index if column == "gaps" else rows.index[:5], column] = values
    tiny.save("train.csv", rows)
    assert warning in said(tiny, "warn") and (column in said(tiny, "warn") or column == "id")
    done = tiny.kgl("train", "logistic")
    assert done.status == 0, done.err


def test_columns_of_train_only_are_named(tiny: Tiny) -> None:
    tiny.save("test.csv", tiny.frame("test.csv").drop(columns="size"))
    assert "size" in said(tiny, "warn")


def test_labels_too_rare_for_the_folds_are_named(tiny: Tiny) -> None:
    rows = tiny.frame("train.csv")
    rows["label"] = np.where(np.arange(len(rows)) == 0, "2", rows["label"])
    tiny.save("train.csv", rows)
    tiny.replace("competition.toml", 'task = "binary"', 'task = "multiclass"')
    assert "2 (1)" in said(tiny, "warn")
    assert tiny.kgl("train", "logistic").status == 0


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('target = ["label"]', 'target = ["lable"]', "Did you mean 'label'?"),
        ('train = "train.csv"', 'train = "trian.csv"', "trian.csv is missing"),
        ('metric = "accuracy"', 'metrik = "accuracy"', "Did you mean 'metric'?"),
    ],
)
def test_what_stops_training_blocks_with_its_reason(tiny: Tiny, old: str, new: str, reason: str) -> None:
    tiny.replace("competition.toml", old, new)
    assert reason in said(tiny, "block")


def test_folds_that_no_longer_fit_block(tiny: Tiny) -> None:
    assert tiny.kgl("folds").status == 0
    tiny.replace("competition.toml", "n_splits = 3", "n_splits = 4")
    assert "n_splits" in said(tiny, "block")
