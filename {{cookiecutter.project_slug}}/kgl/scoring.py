"""From predictions to what the metric takes: one place for folds, blends, boards and submissions."""

import numpy as np

from kgl.arrays import Array
from kgl.errors import usage
from kgl.metrics import MEAN, OWN, Metric, get_metric
from kgl.target import Target


def score(metric: Metric, target: Target, y: Array, predictions: Array) -> float:
    """The metric of predictions.

    Args:
        metric: of `kgl.metrics` or the contest's own.
        target: says what the columns of `predictions` are.
        y: the truth as `Target.encode` gives it, (n,) or (n, targets).
        predictions: (n, columns) in the order of `target.columns`.
    """
    if metric.takes == "labels":
        return metric.score(truth_labels(target, y), decide(target, predictions))
    if metric.takes == "values" and target.one_label:  # such as the rmse that stands for qwk: of the expected rank
        return metric.score(y, predictions @ np.arange(len(target.labels)))
    return metric.score(y, compact(target, predictions))


def check_metric(metric: Metric, target: Target) -> None:
    """Refuse a metric that cannot score this task, before anything is trained.

    Raises:
        KglError: such as rmse of classes, f1 of several labels, or one's own with such a loss (status 2).
    """
    own, classes = metric.name.startswith(OWN), target.task in ("binary", "multiclass", "multilabel")
    several = target.task == "multilabel" or len(target.names) > 1
    of_task = "labels or probabilities" if classes else "labels or values" if target.task == "ordinal" else "values"
    if metric.takes not in of_task and not own:
        mend = "kgl init task=regression" if classes else "kgl init metric=rmse"
        raise usage(f"metric {metric.name} takes {metric.takes}, but task {target.task} gives {of_task}: {mend}.")
    scored = get_metric(metric.loss) if own else metric  # one's own may take any columns, the loss that it names not
    if several != scored.of_columns and not scored.name.startswith(OWN):
        other = MEAN + scored.name if several else scored.of_one_column
        what, mend = f"metric {metric.name}", f"kgl init metric={other}"
        if own:
            what, mend = f'loss "{metric.loss}" of {metric.name}', f'write "{other}" in its place in contest.py'
        raise usage(f"{what} does not score {'several columns' if several else 'one column'}: {mend}.")


def loss(metric: Metric, target: Target, y: Array, predictions: Array) -> float:
    """The smooth loss that stands for the metric in training and blending; smaller is better."""
    return score(get_metric(metric.loss), target, y, predictions)


def decide(target: Target, predictions: Array, rule: Array | None = None) -> Array:
    """The label codes that predictions stand for: the likeliest class, each label above one half, the nearest value.

    Or by a rule of `kgl.decisions`: weights of several classes, thresholds, cut points.
    """
    if target.task == "multiclass":
        return np.asarray((predictions if rule is None else predictions * rule).argmax(axis=1))
    if target.task == "multilabel":
        return np.asarray((predictions > (0.5 if rule is None else rule)).astype(int))
    if rule is not None:
        return np.asarray(np.searchsorted(rule, compact(target, predictions)))
    if target.task == "binary":
        return np.asarray(predictions.argmax(axis=1))
    if target.task == "ordinal":
        return np.asarray(np.abs(predictions - label_values(target)).argmin(axis=1))
    return compact(target, predictions)


def truth_labels(target: Target, y: Array) -> Array:
    """The truth as codes, where the metric takes labels."""
    if target.task == "ordinal":
        return np.asarray(np.searchsorted(label_values(target), y))
    return y


def label_values(target: Target) -> Array:
    """The numbers that an ordinal target's labels are, in order."""
    return np.array([float(label) for label in target.labels])


def compact(target: Target, predictions: Array) -> Array:
    """(n,) where one column says all (binary: that of the second class; one value), else as it is."""
    if target.task == "binary":
        return predictions[:, 1]
    return predictions[:, 0] if predictions.shape[1] == 1 and target.task != "multilabel" else predictions
