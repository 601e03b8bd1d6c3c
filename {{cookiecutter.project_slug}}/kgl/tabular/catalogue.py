"""The models that experiments call by name: each with the preparation its family wants and settings that did well."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kgl.config import nearest, unknown_key
from kgl.errors import usage
from kgl.experiment import Setting
from kgl.tabular.boosting import CONSERVATIVE, LARGE, LightGBM, check_lightgbm_params
from kgl.tabular.models import SklearnModel

QUICK_ROUNDS = 20
PREPARATIONS = ("linear", "forest", "native", "raw")


@dataclass(frozen=True)
class Recipe:
    """A model of the catalogue.

    prepare: how its columns are made ready (see kgl/tabular/prepare.py).
    classifier, regressor: `module:Class`, empty where the model does not do that; both "lightgbm" for LightGBM itself.
    params: settings over the library's own; for_regression: further ones where values are predicted.
    """

    prepare: str
    classifier: str = ""
    regressor: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    for_regression: Mapping[str, Any] = field(default_factory=dict)


CATALOGUE = {
    "constant": Recipe("raw", "sklearn.dummy:DummyClassifier", "sklearn.dummy:DummyRegressor"),
    "one_column": Recipe("raw", "kgl.tabular.rules:OneColumnClassifier", "kgl.tabular.rules:OneColumnRegressor"),
    "logistic": Recipe("linear", "sklearn.linear_model:LogisticRegression", "", {"max_iter": 2000}),
    "ridge": Recipe("linear", "", "sklearn.linear_model:RidgeCV", {"alphas": tuple(np.logspace(-2, 3, 20).tolist())}),
    "random_forest": Recipe(
        "forest",
        "sklearn.ensemble:RandomForestClassifier",
        "sklearn.ensemble:RandomForestRegressor",
        {"n_estimators": 500, "min_samples_leaf": 3},
        {"max_features": 0.5},  # all columns, as scikit-learn has it, take twice the time and are no better
    ),
    "extra_trees": Recipe(
        "forest",
        "sklearn.ensemble:ExtraTreesClassifier",
        "sklearn.ensemble:ExtraTreesRegressor",
        {"n_estimators": 500, "min_samples_leaf": 3},
    ),
    "hist_gradient_boosting": Recipe(  # rounds are fixed: its own early stopping would tear groups apart
        "native",
        "sklearn.ensemble:HistGradientBoostingClassifier",
        "sklearn.ensemble:HistGradientBoostingRegressor",
        {
            "learning_rate": 0.05,
            "max_iter": 200,
            "max_leaf_nodes": 15,
            "l2_regularization": 1.0,
            "early_stopping": False,
        },
    ),
    "lightgbm": Recipe("native", "lightgbm", "lightgbm", CONSERVATIVE),  # best below about 20,000 rows
    "lightgbm_large": Recipe("native", "lightgbm", "lightgbm", LARGE),  # best above
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
        raise usage(f"model: expected a name of the catalogue or a scikit-learn compatible estimator, got {got}.")
    return Recipe("linear")


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
    if path == "lightgbm":
        return check_lightgbm_params(params)
    return _check_estimator_params(_new(path), params)


def _check_estimator_params(estimator: Any, params: Mapping[str, Any]) -> None:
    known = estimator.get_params(deep=True)
    for key in params:
        if key not in known:
            raise unknown_key(key, known, f"params of {type(estimator).__name__}")


def _new(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)()


def build_model(model: Any, params: Mapping[str, Any], setting: Setting, classes: int) -> LightGBM | SklearnModel:
    """A fresh model of one output.

    Args:
        model: a name of the catalogue or an estimator, which is copied.
        params: over the recipe's settings.
        setting: seed, threads, loss, and whether this is only --quick.
        classes: how many, or 0 for a regression.
    """
    recipe = find_recipe(model)
    path = recipe.classifier if classes else recipe.regressor
    loss = setting.loss.removeprefix("mean_")
    if path == "lightgbm":
        settings = {**recipe.params, **params} | ({"n_estimators": QUICK_ROUNDS} if setting.quick else {})
        return LightGBM(settings, seed=setting.seed, threads=setting.threads, classes=classes, loss=loss)
    from sklearn.base import clone

    estimator = _new(path) if path else clone(model)
    estimator.set_params(
        **{**recipe.params, **({} if classes else recipe.for_regression), **_for_loss(model, loss), **params}
    )
    return SklearnModel(estimator, classes).seeded(setting.seed, setting.threads)


def _for_loss(model: Any, loss: str) -> dict[str, Any]:
    """What some models of the catalogue should minimise for a loss other than the squared error."""
    if loss not in ("mae", "mape"):
        return {}
    return {"constant": {"strategy": "median"}, "hist_gradient_boosting": {"loss": "absolute_error"}}.get(model, {})
