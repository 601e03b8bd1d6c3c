"""Decision rules: which labels predictions stand for, learnt from out-of-fold predictions, judged on other folds.

A rule is a few numbers: cut points on the value of an ordinal target, a threshold for two classes or for each of
several labels, a weight a class. For accuracy the likeliest class is right as it is; F1, kappa and the like want other
rules. Each fold is decided by a rule that never saw its labels; the test by the rule of all folds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from kgl.arrays import Array
from kgl.metrics import MEAN, Metric, get_metric
from kgl.scoring import compact, decide, label_values, truth_labels
from kgl.target import Target

Folds = frozenset[int]
Choice = tuple[int, ...]  # which candidate stands at each place of a rule
Scorer = Callable[[Choice], float]
CANDIDATES = 100  # of a threshold, dense at both ends: one row in a thousand may be the class
SMOOTHING = 11  # neighbours that a candidate's score is averaged with: the best single one is mostly the luckiest
MOST_CLASSES = 100
SWEEPS = 3


@dataclass(frozen=True)
class Decision:
    """Labels of rows, each by a rule that never saw its fold, and the rule of all rows (None: the plain one)."""

    labels: Array
    rule: Array | None


@dataclass(frozen=True)
class _Search:
    """A part of a rule: candidates 0 to size - 1 for each of its places, in order where there are several.

    scorer: of some folds: what scores a choice on them, greater is better. numbers: what a choice stands for.
    """

    size: int
    plain: Choice
    scorer: Callable[[Folds], Scorer]
    numbers: Callable[[Choice], Array]


def _learner(search: _Search) -> Callable[[Folds], Choice]:
    """What chooses by some folds: coordinate ascent, or the plain rule where that gains nothing on folds unseen."""

    @cache
    def fitted(folds: Folds) -> Choice:
        """On these folds never worse than the plain rule."""
        score = search.scorer(folds)
        choice, best = search.plain, score(search.plain)
        for _ in range(SWEEPS):
            before = choice
            for i in range(len(choice)):
                low, high = (0, *choice)[i], (*choice, search.size - 1)[i + 1]
                tried = [(*choice[:i], c, *choice[i + 1 :]) for c in range(low, high + 1)]
                scores = np.array([score(one) for one in tried])
                chosen = int(np.argmax(_smooth(scores)))
                if scores[chosen] > best:
                    choice, best = tried[chosen], scores[chosen]
            if choice == before or len(choice) == 1:
                break
        return choice

    def chosen(folds: Folds) -> Choice:
        unseen = {k: search.scorer(frozenset({k})) for k in folds if len(folds) > 1}
        gains = [score(fitted(folds - {k})) - score(search.plain) for k, score in unseen.items()]
        return fitted(folds) if np.nansum(gains) > 0 else search.plain

    return chosen


def _smooth(curve: Array) -> Array:
    """Averages with neighbours, the nearer the more; an undefined score counts as the worst."""
    curve = np.nan_to_num(curve, nan=0.0 if np.isnan(curve).all() else np.nanmin(curve))
    kernel = np.bartlett(SMOOTHING + 2)[1:-1]
    return np.convolve(np.pad(curve, SMOOTHING // 2, mode="edge"), kernel / kernel.sum(), mode="valid")


def is_tuned(metric: Metric, target: Target) -> bool:
    """Whether another rule than the plain one may do better in this metric."""
    if metric.takes != "labels" or target.task == "regression":
        return False
    return target.task == "ordinal" or metric.name.removeprefix(MEAN) != "accuracy"


def decide_rows(metric: Metric, target: Target, y: Array, predictions: Array, fold_of: Array) -> Decision:
    """Labels of out-of-fold predictions and the rule for the test, where the metric takes labels.

    Args:
        metric: the contest's.
        target: see `kgl.scoring.score`.
        y: (n,) or (n, labels), the truth as `Target.encode` gives it.
        predictions: (n, columns), none missing.
        fold_of: (n,) their folds.
    """
    if not is_tuned(metric, target) or (target.task == "multiclass" and len(target.labels) > MOST_CLASSES):
        return Decision(decide(target, predictions), None)
    codes, folds = truth_labels(target, y), frozenset(map(int, np.unique(fold_of)))
    searches = list(_searches(metric, target, codes, predictions, fold_of))
    learners = [_learner(search) for search in searches]

    def rule_of(seen: Folds) -> Array | None:
        choices = [learn(seen) for learn in learners]
        if all(choice == search.plain for choice, search in zip(choices, searches, strict=True)):
            return None
        return np.concatenate([search.numbers(choice) for choice, search in zip(choices, searches, strict=True)])

    nested = np.empty(codes.shape, dtype=np.int64)
    for k in folds:
        nested[fold_of == k] = decide(target, predictions[fold_of == k], rule_of(folds - {k}))
    return Decision(nested, rule_of(folds))


def _searches(metric: Metric, target: Target, codes: Array, predictions: Array, fold_of: Array) -> Iterator[_Search]:
    if target.task == "multiclass":
        yield _weights(metric, codes, predictions, fold_of)
    elif target.task == "multilabel" and not metric.name.startswith(MEAN):
        yield _one_for_all(metric, codes, predictions, fold_of)
    elif target.task == "multilabel":
        one = get_metric(metric.name.removeprefix(MEAN))
        for column, values in zip(codes.T, predictions.T, strict=True):
            yield _cuts(one, column, values, fold_of, np.array([0.5]))
    else:
        labels = label_values(target) if target.task == "ordinal" else np.arange(2)
        yield _cuts(metric, codes, compact(target, predictions), fold_of, (labels[1:] + labels[:-1]) / 2)


def _cuts(metric: Metric, codes: Array, value: Array, fold_of: Array, plain: Array) -> _Search:
    """Cut points between consecutive labels on one value."""
    grid = np.unique(np.concatenate([_grid(value), plain]))
    size = (len(plain) + 1, len(grid) + 2)
    bins = np.searchsorted(grid, value) + 1  # what is not above candidate j lies in bins 0 to j + 1
    below = {k: _table(codes[fold_of == k], bins[fold_of == k], size).cumsum(axis=1) for k in np.unique(fold_of)}

    def scorer(folds: Folds) -> Scorer:
        total = np.sum([below[k] for k in folds], axis=0)
        last = total.shape[1] - 1
        return lambda choice: _score(metric, np.diff(total[:, [0, *(c + 1 for c in choice), last]]))

    start = tuple(map(int, np.searchsorted(grid, plain)))
    return _Search(len(grid), start, scorer, lambda choice: grid[list(choice)])


def _weights(metric: Metric, codes: Array, predictions: Array, fold_of: Array) -> _Search:
    """Weights of classes: a power of how rare a class is. A free weight each fits luck before it fits anything."""
    share = np.maximum(np.sort(predictions, axis=0).mean(axis=0), 1e-6)  # sorted: rounded the same in any order
    rules = (share.max() / share) ** np.linspace(0, 1.25, CANDIDATES // 2)[:, None]
    size = (predictions.shape[1],) * 2
    decided = [(predictions * rule).argmax(axis=1) for rule in rules]
    tables = {
        k: [_table(codes[fold_of == k], labels[fold_of == k], size) for labels in decided] for k in np.unique(fold_of)
    }

    def scorer(folds: Folds) -> Scorer:
        total = np.sum([tables[k] for k in folds], axis=0)
        return lambda choice: _score(metric, total[choice[0]])

    return _Search(len(rules), (0,), scorer, lambda choice: rules[choice[0]])


def _one_for_all(metric: Metric, codes: Array, predictions: Array, fold_of: Array) -> _Search:
    """One threshold for all labels, for a metric of one's own."""
    grid = np.unique([*_grid(predictions), 0.5])

    def scorer(folds: Folds) -> Scorer:
        rows = np.isin(fold_of, list(folds))
        y, p = codes[rows], predictions[rows]
        return lambda choice: metric.gain(metric.score(y, p > grid[choice[0]]), 0.0)

    start = (int(np.searchsorted(grid, 0.5)),)
    return _Search(len(grid), start, scorer, lambda choice: np.repeat(grid[choice[0]], predictions.shape[1]))


def _grid(values: Array) -> Array:
    """Quantiles evenly spaced in the logit of their rank."""
    most = np.log(values.size + 1)
    return np.asarray(np.quantile(values, 1 / (1 + np.exp(np.linspace(most, -most, CANDIDATES)))))


def _table(codes: Array, bins: Array, size: tuple[int, int]) -> Array:
    """(labels, bins): how many rows have this label and lie in this bin."""
    return np.bincount(codes * size[1] + bins, minlength=size[0] * size[1]).reshape(size)


def _score(metric: Metric, table: Array) -> float:
    return metric.gain(metric.of_table(table), 0.0)
