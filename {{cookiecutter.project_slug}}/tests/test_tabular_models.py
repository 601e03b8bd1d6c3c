"""Models of one output: any estimator's classes in order, LightGBM's rounds and names, the rules of one column."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from kgl.errors import KglError
from kgl.experiment import Setting
from kgl.tabular.catalogue import BOOSTED, CATALOGUE, build_model, check_model
from kgl.tabular.models import SklearnModel
from kgl.tabular.rules import OneColumnClassifier, OneColumnRegressor
from kgl.target import Target
from tests.conftest import made_up_rows

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 4))
CODES = (X[:, 0] > 0.8).astype(int) * 2 + (X[:, 0] < -0.8)  # 0, 1 and 2
SETTING = Setting(Target("multiclass", ("y",), ("a", "b", "c")), "logloss", seed=3, threads=1)


BOOSTERS = [name for name in BOOSTED if CATALOGUE[name].is_installed]


class OnlyPredicts:
    """The least that an estimator can be: no scikit-learn class, no classes_, no probabilities."""

    def get_params(self, deep: bool = True) -> Mapping[str, Any]:
        return {}

    def set_params(self, **params: Any) -> "OnlyPredicts":
        return self

    def fit(self, X: Any, y: Any) -> None:
        self.most_ = np.bincount(y).argmax()

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.most_)


@pytest.mark.parametrize(
    "estimator", [LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression()), RidgeClassifier(), SVC()]
)
def test_a_class_absent_in_training_has_probability_0_in_its_own_column(estimator: Any) -> None:
    known = CODES != 1
    shares = SklearnModel(estimator, 3).fit(X[known], CODES[known], None, []).predict(X)
    assert shares.shape == (200, 3) and (shares[:, 1] == 0).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (shares[known].argmax(axis=1) == CODES[known]).mean() > 0.85


@pytest.mark.parametrize("estimator", [RidgeClassifier(), SVC(), OnlyPredicts()])
def test_of_two_classes_the_probability_is_that_of_the_second(estimator: Any) -> None:
    y = (X[:, 0] > -0.2).astype(int)
    share = SklearnModel(estimator, 2).fit(X, y, None, []).predict(X)
    assert share.shape == (200,) and share.min() >= 0 and share.max() <= 1
    assert share[y == 1].mean() >= share[y == 0].mean()


@pytest.mark.parametrize("classes", [2, 3])
def test_a_single_class_in_training_is_certain(classes: int) -> None:
    certain = SklearnModel(LogisticRegression(), classes).fit(X, np.ones(200, dtype=int), None, []).predict(X[:2])
    np.testing.assert_array_equal(certain, [1, 1] if classes == 2 else [[0, 1, 0], [0, 1, 0]])


def test_an_estimator_that_only_predicts_can_be_a_model() -> None:
    check_model(OnlyPredicts(), {}, classification=True)
    shares = build_model(OnlyPredicts(), {}, SETTING, 3).fit(X, CODES, None, []).predict(X[:1])
    assert shares.tolist() == [[1, 0, 0]]


def test_seed_and_threads_are_given_where_they_are_open() -> None:
    forest = SklearnModel(make_pipeline(StandardScaler(), RandomForestClassifier()), 3).seeded(5, 2)
    assert forest.estimator[-1].random_state == 5 and forest.estimator[-1].n_jobs == 2
    chosen = SklearnModel(RandomForestClassifier(random_state=1, n_jobs=3), 3).seeded(5, 2)
    assert chosen.estimator.random_state == 1 and chosen.estimator.n_jobs == 3


def test_the_estimator_of_an_experiment_is_copied() -> None:
    mine = LogisticRegression()
    build_model(mine, {"C": 0.1}, SETTING, 3).fit(X, CODES, None, [])
    assert mine.C == 1.0 and not hasattr(mine, "coef_")


def test_weights_reach_the_last_step_of_a_pipeline_and_are_refused_where_nothing_takes_them() -> None:
    y, weight = CODES.clip(0, 1), np.where(CODES > 0, 100.0, 1.0)
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    plain, heavy = (SklearnModel(pipe, 2).fit(X, y, w, []).predict(X).mean() for w in (None, weight))
    assert heavy > plain + 0.2
    with pytest.raises(KglError, match="OnlyPredicts takes no weights; leave weight out"):
        SklearnModel(OnlyPredicts(), 2).fit(X, y, weight, [])


SMALL: dict[str, dict[str, Any]] = {"hist_gradient_boosting": {"max_iter": 5}, "logistic": {}, "ridge": {}, "svr": {}}
SMALL |= {"mlp": {"estimator__max_iter": 3}}


@pytest.mark.parametrize(
    "model", [name for name, each in CATALOGUE.items() if each.prepare not in ("raw", "text") and each.is_installed]
)
@pytest.mark.parametrize("classes", [0, 2, 3])
def test_models_are_read_back_to_the_bit(model: str, classes: int, tmp_path: Path) -> None:
    if not (CATALOGUE[model].classifier if classes else CATALOGUE[model].regressor):
        return
    y = CODES.clip(0, classes - 1) if classes else X[:, 1]
    made = build_model(model, SMALL.get(model, {"n_estimators": 5}), SETTING, classes).fit(X, y, None, [])
    made.save(tmp_path / "model")
    np.testing.assert_array_equal(type(made).load(tmp_path / "model").predict(X), made.predict(X))


@dataclass
class Level(RegressorMixin, BaseEstimator):  # type: ignore[misc, unused-ignore]
    """An estimator that cannot be hashed, since it is compared by its values."""

    quantile: float = 0.5

    def fit(self, X: Any, y: Any) -> "Level":
        self.level_ = np.quantile(y, self.quantile)
        return self

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.level_)


def test_an_estimator_may_be_a_dataclass_whatever_the_loss() -> None:
    model = build_model(Level(), {}, replace(SETTING, loss="mae"), 0).fit(X, X[:, 0], None, [])
    assert model.predict(X)[0] == np.median(X[:, 0])


def boosted(name: str, params: Mapping[str, Any], *, classes: int = 0, loss: str = "rmse", seed: int = 0) -> Any:
    return BOOSTED[name](params, seed=seed, threads=1, classes=classes, loss=loss)


@pytest.mark.parametrize("library", BOOSTERS)
def test_rounds_are_those_that_are_given_by_any_name(library: str) -> None:
    names = {
        "lightgbm": ("n_estimators", "num_boost_round", "num_iterations", "n_iter", "max_iter"),
        "xgboost": ("n_estimators", "num_boost_round"),
        "catboost": ("n_estimators", "num_boost_round", "iterations", "num_trees"),
    }
    for name in names[library]:
        model = boosted(library, {name: 7}, classes=3)
        assert model.rounds == 7 and name not in model.params
    booster = model.fit(X, CODES, None, []).booster
    trees = {"lightgbm": "num_trees", "xgboost": "num_boosted_rounds"}.get(library)
    assert (getattr(booster, trees)() if trees else booster.tree_count_) == (21 if library == "lightgbm" else 7)


@pytest.mark.parametrize("library", BOOSTERS)
def test_boosters_find_their_rounds_on_the_holdout(library: str) -> None:
    model = boosted(library, {"early_stopping_rounds": 5, "learning_rate": 0.3})
    assert model.rounds is None and model.patience == 5
    noise, right = RNG.normal(size=100), X[100:, 0]
    helps = np.concatenate([np.zeros(90), np.ones(10)])  # weights of the holdout count: here the noisy rows alone

    def found(y: Any, weight: Any = None) -> int:
        model.find_rounds((X[:100], X[:100, 0], None), (X[100:], y, weight), [])
        return int(model.rounds)

    assert 0 < found(noise) <= 2  # nothing that is learnt helps on noise
    assert 0 < found(np.r_[right[:90], noise[90:]], helps) < found(right) > 5


@pytest.mark.parametrize("library", BOOSTERS)
def test_boosters_are_deterministic_and_seeds_differ(library: str) -> None:
    def predictions(seed: int) -> Any:
        ways: dict[str, dict[str, Any]] = {
            "lightgbm": {"subsample_freq": 1},
            "catboost": {"bootstrap_type": "Bernoulli"},
        }
        params = {"n_estimators": 5, "subsample": 0.5, **ways.get(library, {})}
        model = boosted(library, params, classes=3, seed=seed)
        return model.fit(X, CODES, None, []).predict(X)

    np.testing.assert_array_equal(predictions(0), predictions(0))
    assert not np.array_equal(predictions(0), predictions(1))


@pytest.mark.parametrize("library", BOOSTERS)
@pytest.mark.parametrize("classes", [2, 3])
def test_boosters_know_the_classes_that_training_lacks(library: str, classes: int) -> None:
    y = np.where(X[:, 0] > 0, classes - 1, 0)  # of three the middle one is absent
    shares = (
        boosted(library, {"n_estimators": 30, "learning_rate": 0.3}, classes=classes).fit(X, y, None, []).predict(X)
    )
    assert shares.shape == ((200,) if classes == 2 else (200, 3))
    last = shares if classes == 2 else shares[:, 2]
    assert last[y > 0].mean() > 0.8 > 0.2 > last[y == 0].mean()
    if classes == 3:
        assert shares[:, 1].max() < 0.02


@pytest.mark.parametrize("library", BOOSTERS)
def test_boosters_split_on_levels_and_take_gaps_and_levels_that_training_lacked(library: str) -> None:
    level = RNG.integers(0, 6, 600)
    rows = np.column_stack([level, RNG.normal(size=600)])[:, ::-1].astype(np.float32)
    y = np.isin(level, (1, 4)) * 5.0
    rows[::9] = np.nan
    model = boosted(library, {"n_estimators": 40, "learning_rate": 0.3}).fit(rows, y, None, [1])
    known = np.arange(600) % 9 > 0
    assert np.abs(model.predict(rows) - y)[known].mean() < 0.5
    assert np.isfinite(model.predict(np.array([[0, np.nan], [np.nan, 2]], np.float32))).all()


@pytest.mark.parametrize("library", BOOSTERS)
def test_boosters_take_weights(library: str) -> None:
    y = (RNG.random(200) < 0.3).astype(int)
    weight = np.where(y > 0, 100.0, 1.0)
    params = {"n_estimators": 10, "learning_rate": 0.1}
    plain, heavy = (boosted(library, params, classes=2).fit(X, y, w, []).predict(X).mean() for w in (None, weight))
    assert heavy > plain + 0.15


@pytest.mark.parametrize("library", BOOSTERS)
@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("lerning_rate", "unknown key 'lerning_rate'. Did you mean 'learning_rate'?"),
        ("n_estimator", "Did you mean 'n_estimators'?"),
        ("class_weight", "unknown key 'class_weight'"),
        ("random_state", "'random_state' is set by the workspace"),
    ],
)
def test_boosters_refuse_parameters_that_they_would_pass_over(library: str, key: str, sentence: str) -> None:
    with pytest.raises(KglError) as refused:
        BOOSTED[library].check({key: 1})
    assert f"params of {library}: " in refused.value.message and sentence in refused.value.message
    assert refused.value.status == 2


@pytest.mark.parametrize("library", BOOSTERS)
def test_parameters_are_known_by_all_names_of_their_library(library: str) -> None:
    known = {
        "lightgbm": ("min_child_samples", "lambda_l2", "extra_trees", "early_stopping_round", "eta"),
        "xgboost": ("lambda", "max_leaves", "early_stopping_rounds", "tree_method", "eta"),
        "catboost": ("l2_leaf_reg", "depth", "od_wait", "iterations", "eta"),
    }
    BOOSTED[library].check(dict.fromkeys(known[library], 1))


def test_threads_of_lightgbm_are_set_by_the_workspace() -> None:
    with pytest.raises(KglError, match="'nthread' is set by the workspace"):
        BOOSTED["lightgbm"].check({"nthread": 2})


@pytest.mark.parametrize("library", BOOSTERS)
def test_a_parameter_replaces_the_default_whatever_it_is_called(library: str) -> None:
    model = build_model(library, {"eta": 0.5, "n_estimators": 3}, SETTING, 3)
    assert model.params["eta"] == 0.5 and "learning_rate" not in model.params  # type: ignore[union-attr]


def test_defaults_follow_from_rows_and_classes() -> None:
    def rate(rows: int, classes: int = 2) -> Any:
        return build_model("lightgbm", {}, SETTING, classes, rows=rows).params["learning_rate"]  # type: ignore[union-attr]

    assert (rate(1_000), rate(50_000), rate(500_000), rate(1_000, 99)) == (0.02, 0.03, 0.1, 0.1)
    assert boosted("lightgbm", {"n_estimators": None}).rounds is None
    many = [build_model("lightgbm", params, SETTING, 2, rows=500_000) for params in ({}, {"num_boost_round": None})]
    assert [model.rounds for model in many] == [300, None]  # type: ignore[union-attr]
    nets = build_model("mlp", {}, SETTING, 2, rows=50_000)
    assert nets.estimator.estimator.max_iter == 12  # type: ignore[union-attr]


@pytest.mark.parametrize("model", ["svr", "mlp"])
@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_nets_and_svr_learn_values_of_any_size(model: str, size: float) -> None:
    y = size * (5 + np.sin(X[:, 0]) + X[:, 1])
    found = build_model(model, {"estimator__max_iter": 100} if model == "mlp" else {}, SETTING, 0).fit(X, y, None, [])
    assert np.corrcoef(found.predict(X), y)[0, 1] > 0.95 and abs(found.predict(X).mean() / y.mean() - 1) < 0.1


def test_a_model_whose_package_is_absent_says_what_to_install() -> None:
    if not CATALOGUE["realmlp"].is_installed:
        with pytest.raises(KglError, match="'realmlp' needs a package that is not installed: uv add pytabkit"):
            check_model("realmlp", {}, classification=True)


@pytest.mark.parametrize(
    ("model", "params", "classification", "sentence"),
    [
        ("lightgbn", {}, True, "no model 'lightgbn'. Did you mean 'lightgbm'?"),
        ("ridge", {}, True, "model: 'ridge' does not do classification; use logistic"),
        ("logistic", {}, False, "model: 'logistic' does not do regression; use ridge"),
        ("logistic", {"c": 1}, True, "params of LogisticRegression: unknown key 'c'. Did you mean 'C'?"),
        ("random_forest", {"n_estimator": 1}, True, "Did you mean 'n_estimators'?"),
        (Ridge(), {}, True, "model: Ridge does not do classification"),
        (LogisticRegression(), {}, False, "model: LogisticRegression does not do regression"),
        (LogisticRegression, {}, True, "got the class LogisticRegression; write LogisticRegression()"),
        (7, {}, True, "expected a name of the catalogue or an estimator (sklearn.base.BaseEstimator), got 7"),
        (
            make_pipeline(LogisticRegression()),
            {"logisticregression__c": 1},
            True,
            "Did you mean 'logisticregression__C'?",
        ),
    ],
)
def test_models_and_parameters_that_cannot_be_are_refused(
    model: Any, params: Mapping[str, Any], classification: bool, sentence: str
) -> None:
    with pytest.raises(KglError) as refused:
        check_model(model, params, classification=classification)
    assert sentence in refused.value.message and refused.value.status == 2


def rule_rows() -> pd.DataFrame:
    made = made_up_rows(300, seed=0)
    return made.assign(
        noise=RNG.normal(size=300), when=pd.Timestamp("2024-01-01"), size=made["size"].replace(0, np.inf)
    )


def test_the_rule_finds_the_column_that_tells_most() -> None:
    rows = rule_rows().drop(columns="label")
    y = (rows["letter"] == "b").to_numpy().astype(int)
    rule = OneColumnClassifier().fit(rows, y)
    assert rule.column_ == "letter" and (rule.predict(rows) == y).all()
    by_number = OneColumnRegressor().fit(rows, rows["noise"])
    assert by_number.column_ == "noise"
    assert np.corrcoef(by_number.predict(rows), rows["noise"])[0, 1] > 0.9


def test_the_rule_smooths_rare_levels_and_knows_no_others() -> None:
    rows = pd.DataFrame({"c": ["a"] * 95 + ["b"] * 5})
    rule = OneColumnRegressor(column="c", smoothing=5).fit(rows, np.r_[np.zeros(95), np.ones(5)])
    found = rule.predict(pd.DataFrame({"c": ["b", "new", None]}))
    np.testing.assert_allclose(found, [(5 + 5 * 0.05) / 10, 0.05, 0.05])


def test_the_rule_counts_infinite_numbers_as_missing() -> None:
    rows = pd.DataFrame({"x": [np.inf, np.nan, -np.inf] * 20 + list(range(60))})
    rule = OneColumnRegressor(column="x").fit(rows, np.r_[np.ones(60), np.zeros(60)])
    assert (rule.predict(pd.DataFrame({"x": [np.inf, np.nan, 30]})) > 0.5).tolist() == [True, True, False]


def test_the_rule_names_the_column_that_may_be_meant() -> None:
    with pytest.raises(KglError, match=r"one_column: there is no column 'leter'\. Did you mean 'letter'\?"):
        OneColumnClassifier(column="leter").fit(rule_rows(), np.arange(300) % 2)
