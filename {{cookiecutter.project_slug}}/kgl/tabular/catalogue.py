"""The models that experiments call by name: each with the preparation its family wants and settings that did well."""

import importlib.util
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from kgl.columns import is_prose
from kgl.config import nearest, unknown_key
from kgl.errors import KglError, usage
from kgl.experiment import Setting
from kgl.tables import ID, Data
from kgl.tabular.boosters import CatBoost, XGBoost
from kgl.tabular.boosting import Boosted, LightGBM
from kgl.tabular.columns import sort_columns
from kgl.tabular.models import SklearnModel

QUICK_ROUNDS = 20
FASTEST, FEWEST_ROUNDS = 0.2, 100  # learning rate and rounds of a baseline that has little time
MANY_CLASSES = 10  # a round grows a tree a class: with more of them each tree has to learn more
BOOSTED: dict[str, type[Boosted]] = {cls.name: cls for cls in (LightGBM, XGBoost, CatBoost)}


@dataclass(frozen=True)
class Recipe:
    """A model of the catalogue.

    prepare: how its columns are made ready (see kgl/tabular/prepare.py).
    classifier, regressor: `module:Class`, empty where the model does not do that; a name of BOOSTED for those.
    params: settings over the library's own; for_regression: further ones where values are predicted; above: further
        ones from so many training rows on.
    most_rows: a baseline does without it where rows are more.
    only: whether a baseline wants it for such columns.
    steady: another seed changes nothing worth averaging.
    package: what has to be installed for it.
    """

    prepare: str
    classifier: str = ""
    regressor: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    for_regression: Mapping[str, Any] = field(default_factory=dict)
    above: tuple[tuple[int, Mapping[str, Any]], ...] = ()
    most_rows: int = 10**9
    only: Callable[[pd.DataFrame], bool] = lambda rows: True
    steady: bool = False
    package: str = ""

    @property
    def is_installed(self) -> bool:
        """Whether its package is there."""
        return not self.package or importlib.util.find_spec(self.package) is not None


def _boosted(
    name: str, prepare: str, params: Mapping[str, Any], *above: tuple[int, Mapping[str, Any]], **options: Any
) -> Recipe:
    return Recipe(prepare, name, name, params, above=above, package=name, **options)


def _has_texts(rows: pd.DataFrame) -> bool:
    return any(is_prose(rows[column]) for column in sort_columns(rows)[2])  # not names of people


def _has_levels(rows: pd.DataFrame) -> bool:
    return bool(sort_columns(rows)[1])


def _sklearn(prepare: str, module: str, name: str, params: Mapping[str, Any], **options: Any) -> Recipe:
    return Recipe(prepare, f"sklearn.{module}:{name}Classifier", f"sklearn.{module}:{name}Regressor", params, **options)


SMALL_TREES = {  # conservative: the best single model below some 20,000 rows
    "learning_rate": 0.02,
    "num_leaves": 7,
    "min_child_samples": 10,
    "subsample": 0.8,
    "subsample_freq": 1,
    "colsample_bytree": 0.5,
    "reg_lambda": 5.0,
    "cat_smooth": 10.0,
}
LARGE_TREES = {
    "learning_rate": 0.03,
    "num_leaves": 31,
    "min_child_samples": 20,
    "colsample_bytree": 0.6,
    "reg_lambda": 1.0,
}
FEW_ROUNDS = {"learning_rate": 0.1, "n_estimators": 300}  # of many rows: minutes, not hours, and no overfitting
LIGHTGBM = (SMALL_TREES, (20_000, LARGE_TREES), (200_000, {**FEW_ROUNDS, "num_leaves": 63}))
XGBOOST = {
    "learning_rate": 0.03,
    "max_depth": 6,
    "min_child_weight": 2,
    "subsample": 0.8,
    "colsample_bytree": 0.6,
}
FOREST = {"n_estimators": 500, "min_samples_leaf": 3}
# all columns for a split of values, as scikit-learn has it, take three times the time for nothing
FORESTS: dict[str, Any] = {"for_regression": {"max_features": 0.33}, "most_rows": 50_000}
# in the order of what they bring a minute of training, which is the order in which `kgl baseline` trains them
CATALOGUE = {
    "constant": Recipe("raw", "sklearn.dummy:DummyClassifier", "sklearn.dummy:DummyRegressor", steady=True),
    "one_column": Recipe(
        "raw", "kgl.tabular.rules:OneColumnClassifier", "kgl.tabular.rules:OneColumnRegressor", steady=True
    ),
    "text_bayes": Recipe("text", "kgl.tabular.text:TextBayes", steady=True, only=_has_texts),
    "text_linear": Recipe(
        "text",
        "kgl.tabular.text:TextClassifier",
        "sklearn.linear_model:Ridge",
        for_regression={"alpha": 3.0, "solver": "sparse_cg"},
        steady=True,
        only=_has_texts,
    ),
    "logistic": Recipe(
        "linear",
        "sklearn.linear_model:LogisticRegression",
        params={"max_iter": 2000},
        most_rows=200_000,
        steady=True,
    ),
    "ridge": Recipe(
        "linear",
        regressor="sklearn.linear_model:RidgeCV",
        params={"alphas": tuple(np.logspace(-2, 3, 20).tolist())},
        most_rows=200_000,
        steady=True,
    ),
    "lightgbm": _boosted("lightgbm", "native", *LIGHTGBM),
    "xgboost": _boosted("xgboost", "encoded", XGBOOST, (200_000, FEW_ROUNDS)),
    "catboost": _boosted(
        "catboost",
        "native",
        {"learning_rate": 0.05, "one_hot_max_size": 10},
        (20_000, {"learning_rate": 0.1}),
        (200_000, FEW_ROUNDS),
    ),
    "mlp": Recipe(
        "linear",
        "kgl.tabular.small:mlp_classifier",
        "kgl.tabular.small:mlp_regressor",
        above=((5_000, {"estimator__max_iter": 30}), (20_000, {"estimator__max_iter": 12})),
        most_rows=100_000,
    ),
    "nbsvm": Recipe(
        "text",
        "kgl.tabular.text:TextClassifier",
        params={"bayes": True, "C": (0.05, 0.2, 0.8, 3.0)},
        steady=True,
        only=_has_texts,
    ),
    "lightgbm_encoded": _boosted("lightgbm", "encoded", *LIGHTGBM, only=_has_levels),
    "svr": Recipe("linear", regressor="kgl.tabular.small:StandardSVR", most_rows=10_000, steady=True),
    "extra_trees": _sklearn("forest", "ensemble", "ExtraTrees", FOREST, **FORESTS),
    "random_forest": _sklearn("forest", "ensemble", "RandomForest", FOREST, **FORESTS),
    "hist_gradient_boosting": _sklearn(  # rounds are fixed: its own early stopping would tear groups apart
        "native",
        "ensemble",
        "HistGradientBoosting",
        {
            "learning_rate": 0.05,
            "max_iter": 200,
            "max_leaf_nodes": 15,
            "l2_regularization": 1.0,
            "early_stopping": False,
        },
        steady=True,
    ),
    "realmlp": Recipe(
        "linear",
        "pytabkit:RealMLP_TD_Classifier",
        "pytabkit:RealMLP_TD_Regressor",
        {"device": "cpu", "verbosity": 0},
        most_rows=50_000,
        package="pytabkit",
    ),
}


def find_recipe(model: Any) -> Recipe:
    """The recipe of a name, or the one that serves any scikit-learn compatible estimator.

    Raises:
        KglError: neither a name of the catalogue nor an estimator (status 2).
    """
    if isinstance(model, str):
        if model not in CATALOGUE:
            there = f"There are: {', '.join(CATALOGUE)}, or any estimator."
            raise usage(f"no model '{model}'.{nearest(model, CATALOGUE)} {there}")
        return CATALOGUE[model]
    if isinstance(model, type) or not (hasattr(model, "fit") and hasattr(model, "get_params")):
        got = f"the class {model.__name__}; write {model.__name__}()" if isinstance(model, type) else repr(model)
        raise usage(f"model: expected a name of the catalogue or an estimator (sklearn.base.BaseEstimator), got {got}.")
    return Recipe("linear")


def place_in_baseline(model: Any, data: Data) -> float:
    """A model's place in the order of a baseline: the catalogue's, own estimators in the middle.

    Infinite where it is not for the data: another task, more rows than it learns in minutes, its package not installed,
    or no columns of the kind that it is made for.
    """
    if not isinstance(model, str) or model not in CATALOGUE:
        return len(CATALOGUE) / 2
    recipe = CATALOGUE[model]
    suits = (
        (recipe.classifier if data.target.one_label or data.target.task == "multilabel" else recipe.regressor)
        and len(data.train) <= recipe.most_rows
        and recipe.is_installed
        and recipe.only(data.train.drop(columns=[ID, *data.competition.id], errors="ignore"))
    )
    # with many classes, each a tree a round, boosters bring less a minute than all others
    last = recipe.classifier in BOOSTED and data.target.one_label and len(data.target.labels) > MANY_CLASSES
    return list(CATALOGUE).index(model) + last * len(CATALOGUE) if suits else math.inf


def check_model(model: Any, params: Mapping[str, Any], *, classification: bool) -> None:
    """Refuse a model that does not do the task, and parameters that it does not have.

    Raises:
        KglError: with what to use instead, or the nearest parameter (status 2).
    """
    recipe, task = find_recipe(model), "classification" if classification else "regression"
    if not isinstance(model, str):
        from sklearn.base import is_classifier, is_regressor

        if hasattr(model, "__sklearn_tags__") and (is_regressor if classification else is_classifier)(model):
            raise usage(f"model: {type(model).__name__} does not do {task}.")
        return _check_estimator_params(model, params)
    path = recipe.classifier if classification else recipe.regressor
    if not path:
        raise usage(f"model: '{model}' does not do {task}; use {'logistic' if model == 'ridge' else 'ridge'}.")
    if not recipe.is_installed:
        raise KglError(f"model: '{model}' needs a package that is not installed: uv add {recipe.package}")
    if path in BOOSTED:
        return BOOSTED[path].check(params)
    return _check_estimator_params(_new(path), params)


def _check_estimator_params(estimator: Any, params: Mapping[str, Any]) -> None:
    known = estimator.get_params(deep=True)
    for key in params:
        if key not in known:
            raise unknown_key(key, known, f"params of {type(estimator).__name__}")


def _new(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)()


def build_model(
    model: Any, params: Mapping[str, Any], setting: Setting, classes: int, *, rows: int = 0
) -> Boosted | SklearnModel:
    """A fresh model of one output.

    Args:
        model: a name of the catalogue or an estimator, which is copied.
        params: over the recipe's settings.
        setting: seed, threads, loss, and whether this is only --quick.
        classes: how many, or 0 for a regression.
        rows: how many it learns from; some settings follow from that.
    """
    recipe = find_recipe(model)
    path = recipe.classifier if classes else recipe.regressor
    loss = setting.loss.removeprefix("mean_")
    defaults = {**_defaults(recipe, classes, rows), **_for_loss(model, loss)}
    if path in BOOSTED:
        settings = BOOSTED[path].merged(defaults, params)
        boosted = BOOSTED[path](settings, seed=setting.seed, threads=setting.threads, classes=classes, loss=loss)
        if setting.quick:
            boosted.rounds = QUICK_ROUNDS
        return boosted
    from sklearn.base import clone

    estimator = _new(path) if path else clone(model)
    return SklearnModel(estimator.set_params(**{**defaults, **params}), classes).seeded(setting.seed, setting.threads)


def _defaults(recipe: Recipe, classes: int, rows: int) -> dict[str, Any]:
    found = {**recipe.params, **({} if classes else recipe.for_regression)}
    for least, further in recipe.above:
        found |= further if rows >= least else {}
    if classes > MANY_CLASSES and "learning_rate" in found:
        found["learning_rate"] = 0.1
    return found


def faster_params(model: Any, params: Mapping[str, Any], data: Data, level: int) -> dict[str, float]:
    """What makes boosting about five times as fast for a little of its score, and at level 2 as fast as need be."""
    recipe, target = find_recipe(model), data.target
    if recipe.classifier not in BOOSTED or "n_estimators" in params:
        return {}
    settings = _defaults(recipe, len(target.labels) if target.one_label else 0, len(data.train)) | dict(params)
    few = {"learning_rate": FASTEST, "n_estimators": FEWEST_ROUNDS}
    if settings.get("n_estimators"):  # rounds are fixed as rows are many
        return few if level == 1 else {}
    return few if level == 2 else {"learning_rate": min(FASTEST, 5 * settings.get("learning_rate", FASTEST))}


def _for_loss(model: Any, loss: str) -> dict[str, Any]:
    """What some models of the catalogue should minimise for a loss other than the squared error."""
    if loss not in ("mae", "mape") or not isinstance(model, str):
        return {}
    return {"constant": {"strategy": "median"}, "hist_gradient_boosting": {"loss": "absolute_error"}}.get(model, {})
