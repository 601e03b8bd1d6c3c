"""Trained table models as plain numbers, so that they predict without scikit-learn; see `kgl.image.heads`."""

from typing import Any

import numpy as np
import pandas as pd

from kgl.arrays import Array
from kgl.tabular.boosting import LightGBM
from kgl.tabular.learner import FittedTabular


def numbers_of(fitted: FittedTabular, rows: pd.DataFrame, targets: Array) -> dict[str, Any]:
    """The kind of a model of numbers alone, its settings, arrays and boosters; empty for kinds that are not known here.

    Args:
        rows, targets: it was trained on; neighbours are found among them.
    """
    models, one = fitted.models, vars(fitted.models[0]).get("estimator")
    if all(isinstance(model, LightGBM) for model in models):
        return {"kind": "trees", "boosters": tuple(model.booster for model in models), "arrays": {}}
    if type(one).__name__ in ("LogisticRegression", "RidgeCV"):
        return {"kind": "lines", "arrays": _scaling(fitted) | _lines(fitted)}
    if one is not None and getattr(one, "metric", "") == "cosine" and one.weights in ("uniform", "distance"):
        arrays = _scaling(fitted) | {"rows": fitted.columns.transform(rows), "targets": targets}
        nearer = one.weights == "distance"
        return {"kind": "neighbours", "neighbours": min(one.n_neighbors, len(rows)), "nearer": nearer, "arrays": arrays}
    return {}


def _scaling(fitted: FittedTabular) -> dict[str, Array]:
    """Of `kgl.tabular.prepare.Dense`."""
    _, robust, _, standard = fitted.columns.preparer.fill.named_steps.values()
    return {"center": robust.center_, "scale": robust.scale_, "mean": standard.mean_, "std": standard.scale_}


def _lines(fitted: FittedTabular) -> dict[str, Array]:
    """Weights and biases of each output; what training never saw is impossible, what it always saw certain."""
    target, features = fitted.target, len(fitted.columns.preparer.numbers)
    weight, bias = np.zeros((len(target.columns), features)), np.full(len(target.columns), -np.inf)
    for i, model in enumerate(fitted.models):
        places = model.seen if target.one_label else np.array([i])
        bias[places] = 0.0 if target.one_label else np.inf if model.seen[0] else -np.inf
        if len(model.seen) > 1 or not model.classes:  # of two labels the second alone has a line
            lines = model.estimator.coef_.reshape(-1, features)
            weight[places[-len(lines) :]], bias[places[-len(lines) :]] = lines, model.estimator.intercept_
    return {"weight": weight, "bias": bias}
