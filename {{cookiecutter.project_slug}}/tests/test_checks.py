"""kgl doctor without Kaggle: what is odd in machine, facts, data and folds."""

from typing import Any

import numpy as np
import pandas as pd
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


def test_values_are_no_labels_that_may_be_rare(tiny: Tiny) -> None:
    rows = tiny.frame("train.csv")
    tiny.save("train.csv", rows.assign(label=["7"] + ["0"] * (len(rows) - 1)))
    tiny.replace("competition.toml", 'task = "binary"\nmetric = "accuracy"', 'task = "regression"\nmetric = "mae"')
    tiny.replace("competition.toml", 'scheme = "stratified"', 'scheme = "kfold"')
    assert "fewer rows than folds" not in said(tiny, "warn")


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


def looked_at(tiny: Tiny, change: Any, *, train: int = 600, test: int = 300) -> str:
    """What `kgl folds` warns of, when `change` has had its way with sound rows of train and test."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"size": rng.normal(size=train + test).round(3), "letter": rng.choice(list("abcdef"), train + test)}
    )
    rows["label"] = (rows["size"] + rng.normal(size=len(rows)) > 0).astype(int)
    rows["id"] = [f"n{i}" for i in range(len(rows))]
    rows["is_test"] = np.arange(len(rows)) >= train
    rows = change(rows, rng)
    inside = rows.pop("is_test").astype(bool)
    tiny.save("train.csv", rows[~inside])
    tiny.save("test.csv", rows[inside].drop(columns="label"))
    tiny.save("sample.csv", rows.loc[inside, ["id"]].assign(label=0))
    result = tiny.kgl("folds", "--force")
    assert result.status == 0, result.err
    lines = result.out.splitlines()
    return "\n".join(a + b for a, b in zip(lines, [*lines[1:], ""], strict=True) if a.startswith("warn"))


def families(rows: Any, rng: Any, *, of_test: bool) -> Any:
    """Threes with one name; test has families of its own, or some of those in train."""
    order = rng.permutation(len(rows)) if of_test else np.arange(len(rows))
    return rows.assign(family=[f"family {i // 3}" for i in order])


FAULTS: dict[str, tuple[Any, str]] = {
    "groups apart": (
        lambda rows, rng: families(rows, rng, of_test=False),
        "share their family with rows of another fold (",
    ),
    "groups of numbers": (
        lambda rows, rng: rows.assign(customer=np.repeat(rng.permutation(len(rows) // 3) * 7, 3)),
        "folds.scheme=stratified_group folds.group=customer",
    ),
    "copies": (
        lambda rows, rng: pd.concat([rows.head(150).assign(id=lambda r: "c" + r["id"]), rows]),
        "rows equal a row of another fold in every column (",
    ),
    "drift": (lambda rows, rng: rows.assign(hour=np.arange(len(rows)) // 2), "tells train from test with AUC 1.00"),
    "leak": (
        lambda rows, rng: rows.assign(paid=rows["label"] * 3 + rng.normal(size=len(rows)) / 10),
        "paid alone tells",
    ),
    "numbered rows": (lambda rows, rng: rows.assign(row_number=rng.permutation(len(rows))), "row_number is different"),
    "codes": (
        lambda rows, rng: rows.assign(code=[f"x{v}" for v in rng.permutation(len(rows))]),
        "code is different in",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_with_what_to_do(tiny: Tiny, fault: str) -> None:
    change, sentence = FAULTS[fault]
    warned = looked_at(tiny, change)
    assert sentence in warned and "->" in warned, warned
    assert warned.count("warn ") == 1, warned


@pytest.mark.parametrize("group", ["", "household"])
def test_equal_rows_and_groups_are_no_drift(tiny: Tiny, group: str) -> None:
    def in_threes(rows: Any, rng: Any) -> Any:
        """Each three rows share all columns, or all but one."""
        few = pd.DataFrame(rng.normal(size=(len(rows) // 3, 4)).round(3), columns=list("wxyz"))
        same = few.loc[np.repeat(few.index, 3)].set_axis(rows.index)
        if not group:
            return same.assign(id=rows["id"], label=rows["label"], is_test=rows["is_test"])
        return pd.concat([rows, same], axis=1).assign(household=[f"h{i // 3}" for i in range(len(rows))])

    if group:
        tiny.replace("competition.toml", 'scheme = "stratified"', 'scheme = "stratified_group"')
        tiny.replace("competition.toml", 'group = ""', 'group = "household"')
    assert "tells train from test" not in looked_at(tiny, in_threes)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_said_of_sound_rows(tiny: Tiny, seed: int) -> None:
    def sound(rows: Any, rng: Any) -> Any:
        rng = np.random.default_rng(seed)
        rows = families(rows, rng, of_test=True)
        mixed = rows.assign(
            amount=rng.lognormal(size=len(rows)),
            year=rng.integers(1900, 2020, len(rows)),
            gaps=np.where(rng.random(len(rows)) < 0.3, np.nan, rng.normal(size=len(rows))),
            name=[f"Mr {rng.integers(10**9)} of {i}" for i in range(len(rows))],
            when=pd.to_datetime("2024-01-01") + pd.to_timedelta(rng.integers(0, 10**6, len(rows)), unit="min"),
        )
        return mixed

    assert looked_at(tiny, sound) == ""
    assert "family with rows of another fold" in tiny.kgl("folds").out  # told, with what test is like


def test_values_are_looked_at_too(tiny: Tiny) -> None:
    tiny.replace("competition.toml", '"binary"', '"regression"')
    tiny.replace("competition.toml", '"accuracy"', '"rmse"')
    tiny.replace("competition.toml", '"stratified"', '"kfold"')

    def price(rows: Any, rng: Any) -> Any:
        value = np.exp(2 * rng.normal(size=len(rows)))
        return rows.assign(label=value, tax=value * 0.07 * rng.uniform(0.95, 1.05, len(rows)))

    warned = looked_at(tiny, price)
    assert "tax alone tells" in warned and "drop=tax" in warned and warned.count("warn ") == 1


def test_labels_that_are_rare_among_several_are_named(tiny: Tiny) -> None:
    rows = tiny.frame("train.csv")
    tiny.save("train.csv", rows.assign(rude=(np.arange(60) == 7).astype(int)))
    tiny.save("sample.csv", tiny.frame("sample.csv").assign(rude=0))
    tiny.replace("competition.toml", 'task = "binary"', 'task = "multilabel"')
    tiny.replace("competition.toml", '"accuracy"', '"mean_auc"')
    tiny.replace("competition.toml", 'target = ["label"]', 'target = ["label", "rude"]')
    assert "labels with fewer rows than folds: rude (1)" in said(tiny, "warn")
