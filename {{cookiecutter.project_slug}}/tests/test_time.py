"""Rows in the order of time: what predicts test, which ids are features, what cannot be stacked."""

import numpy as np
import pandas as pd
import pytest

from kgl.columns import naming_columns
from kgl.folds import Folds
from tests.conftest import Tiny

COUNTS = '''\
"""Says how many rows it has learnt from, as if it were a chance: of 60, a thousandth each."""
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from kgl.tabular import Tabular


class Counts(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_, self.rows_ = np.unique(y), len(X)
        return self

    def predict_proba(self, X):
        return np.tile([1 - self.rows_ / 1000, self.rows_ / 1000], (len(X), 1))


experiment = Tabular(model=Counts())
'''
TREE = """\
from sklearn.tree import DecisionTreeClassifier

from kgl.tabular import Tabular

experiment = Tabular(model=DecisionTreeClassifier())
"""


@pytest.fixture
def timed(tiny: Tiny) -> Tiny:
    """The tiny workspace with its rows split by the column day."""
    tiny.replace("competition.toml", '"stratified"', '"time"')
    tiny.replace("competition.toml", 'time = ""', 'time = "day"')
    tiny.write("experiments/counts.py", COUNTS)
    return tiny


def test_the_model_of_all_rows_predicts_test(timed: Tiny) -> None:
    done = timed.kgl("train", "counts")
    assert done.status == 0 and "all rows" in done.err, done.err
    run = timed.root / "runs/counts-001"
    oof, test = (pd.read_parquet(run / f"{part}.parquet") for part in ("oof", "test"))
    assert oof.groupby("fold").p_1.mean().round(6).tolist() == [0.015, 0.03, 0.045]  # those before them
    assert np.allclose(test.p_1, 0.060)
    (run / "test.parquet").unlink()
    assert timed.kgl("predict", "counts-001").status == 0
    assert np.allclose(pd.read_parquet(run / "test.parquet").p_1, 0.060)


def test_without_the_model_of_all_rows_a_run_is_partial(timed: Tiny) -> None:
    assert timed.kgl("train", "counts", "folds=0,1,2").status == 0
    run = timed.root / "runs/counts-001"
    assert '"status": "partial"' in (run / "run.json").read_text() and not (run / "test.parquet").is_file()
    assert "there are folds 0, 1, 2, 3" in timed.kgl("train", "counts", "folds=4").err
    assert timed.kgl("train", "counts").status == 0
    assert '"status": "complete"' in (run / "run.json").read_text()


def test_folds_that_validate_nothing_train_nothing() -> None:
    nothing = pd.Series([-1, -1], index=pd.Index(["a", "b"], dtype="str"))
    assert Folds("time", nothing).trained == Folds("time", nothing).predicting == ()


def test_a_baseline_in_time_ends_in_a_checked_submission(timed: Tiny) -> None:
    done = timed.kgl("baseline", "--minutes", "1")
    assert done.status == 0 and "rows, checked" in done.err, done.err


def test_stacks_are_refused_since_the_first_rows_have_no_predictions(timed: Tiny) -> None:
    assert timed.kgl("train", "counts").status == 0
    text = (timed.root / "experiments/logistic.py").read_text()
    timed.write("experiments/stack.py", text.replace("Tabular(", "Tabular(stack_on=('counts-001',), "))
    done = timed.kgl("train", "stack")
    assert done.status == 2 and "kgl blend --stack" in done.err


def test_a_time_that_is_an_id_is_read_as_a_number(timed: Tiny) -> None:
    timed.replace("competition.toml", 'id = ["id"]', 'id = ["day", "id"]')
    sample = timed.frame("test.csv")[["day", "id"]].assign(label=0)
    timed.save("sample.csv", sample)
    done = timed.kgl("folds")
    assert done.status == 0, done.err
    folds = pd.read_parquet(timed.workspace.folds)["fold"].tolist()
    assert folds == [k for k in (-1, 0, 1, 2) for _ in range(15)]  # 9 comes before 10


def test_ids_that_are_dates_or_come_again_are_features(tiny: Tiny) -> None:
    days = pd.date_range("2020-01-01", periods=60).strftime("%Y-%m-%d")
    rows = tiny.frame("train.csv").assign(date=days, shop=["s1", "s2"] * 30)
    assert naming_columns(rows, ["id"]) == ["id"]
    assert naming_columns(rows, ["date"]) == []
    assert naming_columns(rows, ["shop"]) == ["shop"]  # the rows of one customer: test has others
    assert naming_columns(rows, ["shop", "id", "date"]) == ["id"]


def test_the_day_of_a_dated_id_is_learnt_from(tiny: Tiny) -> None:
    days = pd.Series(pd.date_range("2020-01-01", periods=140))
    rows = pd.DataFrame({"id": days.dt.strftime("%Y-%m-%d"), "letter": list("ab") * 70})
    tiny.save("train.csv", rows.assign(label=(days.dt.day_of_week >= 5) * 1)[:120])
    tiny.save("test.csv", rows[120:])
    tiny.save("sample.csv", rows[120:][["id"]].assign(label=0))
    tiny.write("experiments/tree.py", TREE)
    assert tiny.kgl("train", "tree").status == 0
    answers = pd.read_csv(tiny.root / "runs/tree-001/submission.csv")
    assert (answers.label == (pd.to_datetime(answers.id).dt.day_of_week >= 5)).all()
