"""Predicting again from saved models gives the same bits, whatever has become of the workspace's code."""

import json
import shutil
from typing import Any

import pandas as pd
import pytest

from kgl.tabular.catalogue import CATALOGUE
from tests.conftest import Tiny

FEATURES = """
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin


def double(rows):
    return (2 * rows["size"]).rename("double")


class MeanByLetter(TransformerMixin, BaseEstimator):
    def fit(self, X, y):
        self.table_ = pd.Series(y, X["letter"].to_numpy()).groupby(level=0).mean()
        return self

    def transform(self, X):
        return X[["letter"]].assign(letter=X["letter"].map(self.table_))
"""
EXPERIMENT = """
import numpy as np
from sklearn.linear_model import LogisticRegression

from features import MeanByLetter, double
from kgl.tabular import Tabular


class Mine(LogisticRegression):
    def predict_proba(self, X):
        p = super().predict_proba(X)[:, 1] ** 1
        return np.column_stack([1 - p, p])


experiment = Tabular(model=Mine(), features=(double, MeanByLetter()), drop=("family",))
"""
FEW = {
    "random_forest": {"n_estimators": 5},
    "extra_trees": {"n_estimators": 5},
    "hist_gradient_boosting": {"max_iter": 5, "min_samples_leaf": 2},
    "lightgbm": {"n_estimators": 20, "min_child_samples": 3},
    "lightgbm_encoded": {"n_estimators": 20, "min_child_samples": 3},
    "xgboost": {"n_estimators": 5},
    "catboost": {"n_estimators": 5},
    "mlp": {"estimator__max_iter": 5},
}


def files(tiny: Tiny, run: str) -> tuple[bytes, bytes]:
    folder = tiny.root / "runs" / run
    return (folder / "test.parquet").read_bytes(), (folder / "submission.csv").read_bytes()


def predicts_the_same(tiny: Tiny, run: str, *others: str) -> None:
    """After its predictions, and those of others, are gone."""
    before = files(tiny, run)
    for name in (run, *others):
        (tiny.root / "runs" / name / "test.parquet").unlink()
        (tiny.root / "runs" / name / "submission.csv").unlink()
    result = tiny.kgl("predict", run)
    assert result.status == 0, result.err
    assert result.out == f"runs/{run}/submission.csv\n"
    assert files(tiny, run) == before


def test_every_model_of_the_catalogue_predicts_the_same_again(tiny: Tiny) -> None:
    names = [name for name, recipe in CATALOGUE.items() if recipe.classifier and recipe.is_installed]
    for name in names:
        settings = f"model='{name}', params={FEW.get(name, {})}"
        tiny.write(f"experiments/{name}.py", f"from kgl.tabular import Tabular\n\nexperiment = Tabular({settings})\n")
    assert tiny.kgl("train", *names).status == 0
    for name in names:
        predicts_the_same(tiny, f"{name}-001")


def test_a_run_predicts_with_its_own_source(tiny: Tiny) -> None:
    tiny.write("features.py", FEATURES)
    tiny.write("experiments/mine.py", EXPERIMENT)
    assert tiny.kgl("train", "mine", "seeds=0,1").status == 0
    tiny.replace("features.py", "2 * rows", "-7 * rows")
    tiny.replace("features.py", ".map(self.table_))", ".map(self.table_) * 0)")
    tiny.replace("experiments/mine.py", "** 1", "** 3")
    tiny.replace("contest.py", "read_train(), read_test()", "read_train(), read_test().assign(size=0)")
    predicts_the_same(tiny, "mine-001")
    assert tiny.kgl("train", "mine", "seeds=0,1").name == "mine-002"  # by the source of today
    assert files(tiny, "mine-001") != files(tiny, "mine-002")


def test_a_run_predicts_after_its_experiment_is_deleted(tiny: Tiny) -> None:
    tiny.write("features.py", FEATURES)
    tiny.write("experiments/mine.py", EXPERIMENT)
    assert tiny.kgl("train", "mine").status == 0
    (tiny.root / "experiments/mine.py").unlink()
    tiny.write("features.py", "")
    predicts_the_same(tiny, "mine-001")


def test_stacked_runs_and_blends_predict_what_they_are_made_of_first(tiny: Tiny) -> None:
    tiny.write("experiments/rule.py", "from kgl.tabular import Tabular\n\nexperiment = Tabular(model='one_column')\n")
    assert tiny.kgl("train", "rule", "logistic").status == 0
    assert tiny.kgl("train", "logistic", "stack_on=rule-001").name == "logistic-002"
    predicts_the_same(tiny, "logistic-002", "rule-001")
    assert tiny.kgl("blend", "rule-001", "logistic-002").status == 0
    path = tiny.root / "runs/blend-001/run.json"
    run: dict[str, Any] = json.loads(path.read_text())
    run["blend"]["weights"] = [1 / 3, 2 / 3]
    path.write_text(json.dumps(run))
    assert tiny.kgl("predict", "blend-001").status == 0
    predicts_the_same(tiny, "blend-001", "rule-001", "logistic-002")


def test_a_blend_does_not_need_the_models_of_members_without_weight(tiny: Tiny) -> None:
    assert tiny.kgl("train", "constant", "logistic").status == 0
    assert tiny.kgl("blend").name == "blend-001"
    shutil.rmtree(tiny.root / "runs/constant-001/folds")
    predicts_the_same(tiny, "blend-001")


def test_a_new_test_file_is_predicted(tiny: Tiny) -> None:
    assert tiny.kgl("train", "logistic").status == 0
    rows = tiny.frame("test.csv")
    tiny.save("test.csv", pd.concat([rows, rows.head(5).assign(id=[f"n{i}" for i in range(5)])]))
    result = tiny.kgl("predict", "logistic-001")
    assert result.status == 0 and "logistic-001: 25 rows predicted again" in result.err
    assert pd.read_parquet(tiny.root / "runs/logistic-001/test.parquet")["id"].tolist()[-1] == "n4"


@pytest.mark.parametrize("lost", ["folds", "folds/1", "folds/2/seed-0"])
def test_models_that_are_not_there_are_told(tiny: Tiny, lost: str) -> None:
    tiny.kgl("train", "logistic")
    shutil.rmtree(tiny.root / "runs/logistic-001" / lost)
    result = tiny.kgl("predict", "logistic-001")
    assert result.status == 1
    assert "its models are not all on this machine; kgl train logistic --again makes them" in result.err


def test_runs_that_are_unknown_or_not_complete_do_not_predict(tiny: Tiny) -> None:
    tiny.kgl("train", "logistic", "folds=0")
    partial, unknown = tiny.kgl("predict", "logistic-001"), tiny.kgl("predict", "logistic-002")
    assert partial.status == 1 and "logistic-001 is partial; only complete runs predict" in partial.err
    assert unknown.status == 2 and "Did you mean 'logistic-001'?" in unknown.err


def test_a_torn_model_is_named(tiny: Tiny) -> None:
    models = [name for name in ("lightgbm", "xgboost", "catboost") if CATALOGUE[name].is_installed]
    for name in models:
        settings = f"model='{name}', params={FEW[name]}"
        tiny.write(f"experiments/{name}.py", f"from kgl.tabular import Tabular\n\nexperiment = Tabular({settings})\n")
    tiny.kgl("train", "constant", *models)
    for run in (f"{name}-001" for name in ("constant", *models)):
        folder = tiny.root / f"runs/{run}/folds/0/seed-0"
        for file in (
            path for path in folder.iterdir() if path.name not in ("log.txt", "scores.json", "predictions.npz")
        ):
            whole = file.read_bytes()
            file.write_bytes(whole[: len(whole) // 2])
            told = tiny.kgl("predict", run)
            assert told.status == 1 and f"{folder} cannot be read (" in told.err, (file, told.err)
            assert run != "lightgbm-001" or "cut off" in told.err or file.suffix != ".txt"
            assert f"kgl train {run.partition('-')[0]} --again makes it anew." in told.err and "--debug" not in told.err
            file.write_bytes(whole)
