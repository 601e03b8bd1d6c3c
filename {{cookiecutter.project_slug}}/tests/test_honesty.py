"""No model sees the labels of the fold that it predicts: other labels there, the same predictions, to the bit."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from kgl.tabular.catalogue import CATALOGUE
from tests.conftest import Tiny

CLASSIFIERS = [name for name, recipe in CATALOGUE.items() if recipe.classifier and recipe.is_installed]
REGRESSORS = [name for name, recipe in CATALOGUE.items() if recipe.regressor and recipe.is_installed]
FEW_TREES = {
    "random_forest": ["params.n_estimators=10"],
    "extra_trees": ["params.n_estimators=10"],
    "hist_gradient_boosting": ["params.max_iter=10", "params.min_samples_leaf=2"],
    "catboost": ["params.early_stopping_rounds=5"],
    "mlp": ["params.estimator__max_iter=5"],
}
FEATURES = '''
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.preprocessing import TargetEncoder

from kgl.paths import find_workspace


def ratio(rows):
    return (rows["size"] / (1 + rows["day"])).rename("ratio")


def leaky(rows):
    """The share of the label by letter, from a file that has the labels of all folds."""
    train = pd.read_csv(find_workspace().root / "data/raw/train.csv")
    return rows["letter"].map(train.groupby("letter")["label"].mean()).rename("leaky")


def crowd(rows):
    """Looks at other rows."""
    return rows.groupby("family")["size"].transform("mean").rename("crowd")


def weight_of_late(rows):
    return 1 + rows["day"] / rows["day"].max()


class FamilyMean(TransformerMixin, BaseEstimator):
    """The mean label of the family, the row itself left out."""

    def fit(self, X, y):
        table = pd.DataFrame({"family": X["family"].to_numpy(), "y": y})
        self.table_ = table.groupby("family")["y"].agg(["sum", "count"])
        return self

    def fit_transform(self, X, y):
        own = self.fit(X, y).table_.reindex(X["family"]).to_numpy() - np.column_stack([y, np.ones(len(y))])
        return own[:, 0] / (own[:, 1] + 1)

    def transform(self, X):
        table = self.table_.reindex(X["family"]).fillna(0).to_numpy()
        return table[:, 0] / (table[:, 1] + 1)


encoded = make_column_transformer((TargetEncoder(cv=3), ["letter", "family"]))
'''
EXPERIMENT = """
import features
from kgl.tabular import Tabular

experiment = Tabular(model="{model}", {settings})
"""


def predictions_without_fold_0(tiny: Tiny, name: str, *changes: str) -> tuple[Any, Any]:
    """What the model that lacks fold 0 says of fold 0 and of the test."""
    result = tiny.kgl("train", name, "folds=0", *changes)
    assert result.status == 0, result.err
    with np.load(tiny.root / "runs" / result.name / "folds/0/seed-0/predictions.npz") as arrays:
        return arrays["valid"], arrays["test"]


def change_labels(tiny: Tiny, fold: int) -> None:
    """Turn the labels of a fold upside down; the file of folds stays."""
    rows, folds = tiny.frame("train.csv"), pd.read_parquet(tiny.root / "data/folds.parquet").set_index("id")["fold"]
    inside = rows["id"].map(folds) == fold
    rows.loc[inside, "label"] = rows.loc[inside, "label"].map(lambda label: f"{1 - float(label):g}")
    tiny.save("train.csv", rows)


def same_after_change(tiny: Tiny, fold: int, name: str, *changes: str) -> bool:
    before = predictions_without_fold_0(tiny, name, *changes)
    change_labels(tiny, fold)
    after = predictions_without_fold_0(tiny, name, *changes)
    return all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


def make_regression(tiny: Tiny) -> None:
    tiny.replace("competition.toml", '"binary"', '"regression"')
    tiny.replace("competition.toml", '"accuracy"', '"rmse"')
    tiny.replace("competition.toml", '"stratified"', '"kfold"')


@pytest.mark.parametrize("model", CLASSIFIERS)
def test_labels_of_a_fold_do_not_reach_the_classifier_that_predicts_it(tiny: Tiny, model: str) -> None:
    tiny.write("experiments/mine.py", EXPERIMENT.format(model=model, settings=""))
    assert same_after_change(tiny, 0, "mine", *FEW_TREES.get(model, ()))


@pytest.mark.parametrize("model", REGRESSORS)
def test_values_of_a_fold_do_not_reach_the_regressor_that_predicts_it(tiny: Tiny, model: str) -> None:
    make_regression(tiny)
    tiny.write("experiments/mine.py", EXPERIMENT.format(model=model, settings=""))
    assert same_after_change(tiny, 0, "mine", *FEW_TREES.get(model, ()))


@pytest.mark.parametrize("model", ["logistic", "one_column", "lightgbm"])
def test_the_check_would_notice_labels_that_do_reach_the_model(tiny: Tiny, model: str) -> None:
    tiny.write("experiments/mine.py", EXPERIMENT.format(model=model, settings=""))
    assert not same_after_change(tiny, 1, "mine")


@pytest.mark.parametrize("settings", ["encoded,", "FamilyMean(),", "FamilyMean(), features.encoded, features.ratio"])
@pytest.mark.parametrize("model", ["logistic", "lightgbm"])
def test_transformers_learn_from_the_other_folds_alone(tiny: Tiny, model: str, settings: str) -> None:
    tiny.write("features.py", FEATURES)
    tiny.write("experiments/mine.py", EXPERIMENT.format(model=model, settings=f"features=(features.{settings})"))
    assert same_after_change(tiny, 0, "mine")


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy"])
def test_weights_are_made_of_the_other_folds_alone(tiny: Tiny, metric: str) -> None:
    tiny.write("features.py", FEATURES)
    tiny.replace("competition.toml", '"accuracy"', f'"{metric}"')
    tiny.write("experiments/mine.py", EXPERIMENT.format(model="lightgbm", settings="weight=features.weight_of_late"))
    assert same_after_change(tiny, 0, "mine")


def test_folds_in_time_learn_from_earlier_rows_alone(tiny: Tiny) -> None:
    tiny.replace("competition.toml", '"stratified"', '"time"')
    tiny.replace("competition.toml", 'time = ""', 'time = "day"')
    tiny.write("experiments/mine.py", EXPERIMENT.format(model="lightgbm", settings=""))
    assert same_after_change(tiny, 2, "mine")  # later than fold 0, which is validated
    assert same_after_change(tiny, 0, "mine")


def test_rounds_are_found_on_rows_that_transformers_did_not_see(tiny: Tiny) -> None:
    say = '        print(f"fitted on {len(y)} rows")\n        table = pd.DataFrame({'
    tiny.write("features.py", FEATURES.replace("        table = pd.DataFrame({", say))
    tiny.write("experiments/mine.py", EXPERIMENT.format(model="lightgbm", settings="features=(features.FamilyMean(),)"))
    assert tiny.kgl("train", "mine", "folds=0").status == 0
    log = (tiny.root / "runs/mine-001/log.txt").read_text().splitlines()
    assert [line for line in log if "fitted" in line] == ["fitted on 20 rows", "fitted on 40 rows"]


def test_a_planted_leak_is_caught(tiny: Tiny) -> None:
    tiny.write("features.py", FEATURES)
    tiny.write("experiments/mine.py", EXPERIMENT.format(model="logistic", settings="features=(features.leaky,)"))
    assert not same_after_change(tiny, 0, "mine")


def test_a_feature_that_looks_at_other_rows_is_refused(tiny: Tiny) -> None:
    tiny.write("features.py", FEATURES)
    tiny.write("experiments/mine.py", EXPERIMENT.format(model="logistic", settings="features=(features.crowd,)"))
    result = tiny.kgl("train", "mine")
    assert result.status == 1
    assert "mine: feature 'crowd' gives a row another value when other rows are absent" in result.err
    assert "write it as a transformer" in result.err
