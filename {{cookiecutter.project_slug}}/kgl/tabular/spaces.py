"""What `kgl tune` tries for models of the catalogue where an experiment has no `space`; see `kgl.tune.suggest`."""

from collections.abc import Mapping
from typing import Any

from kgl.target import Target

FOREST = {"min_samples_leaf": (1, 20), "max_features": (0.1, 1.0)}
SAMPLED = {"subsample": (0.5, 1.0), "colsample_bytree": (0.2, 1.0), "reg_lambda": (0.1, 30.0)}
LIGHTGBM = {"learning_rate": (0.01, 0.1), "num_leaves": (3, 63), "min_child_samples": (3, 60), "subsample_freq": 1}
XGBOOST = {"learning_rate": (0.01, 0.1), "max_depth": (2, 9), "min_child_weight": (0.5, 30.0)}
CATBOOST = {"learning_rate": (0.02, 0.2), "depth": (3, 8), "l2_leaf_reg": (0.5, 30.0), "random_strength": (0.1, 10.0)}
HISTOGRAMS = {"learning_rate": (0.02, 0.2), "max_iter": (50, 500), "max_leaf_nodes": (3, 63)}
SIMPLE = {"min_samples_leaf": (5, 100), "l2_regularization": (0.01, 30.0), "max_features": (0.2, 1.0)}
NET = {"estimator__alpha": (0.01, 10.0), "estimator__learning_rate_init": (0.0003, 0.01)}
SPACES: Mapping[str, Mapping[str, Any]] = {
    "logistic": {"C": (0.001, 100.0)},
    "text_linear": {"C": (0.1, 100.0)},
    "text_linear of values": {"alpha": (0.1, 100.0)},
    "nbsvm": {"C": (0.01, 10.0)},
    "text_bayes": {"alpha": (0.003, 3.0), "temperature": (1.0, 10.0)},
    "lightgbm": LIGHTGBM | SAMPLED,
    "lightgbm_encoded": LIGHTGBM | SAMPLED,
    "xgboost": XGBOOST | SAMPLED,
    "catboost": CATBOOST,
    "hist_gradient_boosting": HISTOGRAMS | SIMPLE,
    "extra_trees": FOREST,
    "random_forest": FOREST,
    "mlp": NET | {"estimator__hidden_layer_sizes": ["(64,)", "(128, 64)", "(256, 128)"]},
    "svr": {"C": (0.3, 100.0), "epsilon": (0.01, 0.3), "share": (0.02, 2.0)},
    "realmlp": {"lr": (0.01, 0.3), "p_drop": (0.0, 0.4)},
}


def default_space(experiment: Any, target: Target) -> dict[str, Any]:
    """The space of an experiment on tables by key of the command line; empty where its model has nothing to tune."""
    return space_of(experiment.model, target, "params")


def space_of(model: Any, target: Target, key: str) -> dict[str, Any]:
    """The space of a model of the catalogue, its settings below `key`."""
    name = model if isinstance(model, str) else ""
    labels = target.one_label or target.task == "multilabel"
    found = SPACES.get(name if labels else f"{name} of values", SPACES.get(name, {}))
    return {f"{key}.{setting}": values for setting, values in found.items()}
