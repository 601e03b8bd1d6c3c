"""The metrics of the contests: exact, each with its direction and the smooth loss that models train on.

`y_true` of a classification holds codes, the positions in `label_order`, never the labels' text. `y_pred` holds what
the metric takes: labels (codes; ranks for qwk), shape (n,); probabilities, (n,) of code 1 or (n, k), a column a class;
or values, floats of shape (n,). `mean_<name>` is the mean over the columns of both, (n, T): several targets, or the
0/1 of a multilabel task. An undefined score (AUC of one class) is nan, and mean_ leaves that column out.
"""

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from kgl.arrays import Array
from kgl.config import nearest
from kgl.errors import KglError, usage

Takes = Literal["labels", "probabilities", "values"]
CLIP = 1e-15  # Kaggle keeps probabilities this far from 0 and 1
EPSILON = np.finfo(np.float64).eps  # what mape counts a truth of 0 as, like scikit-learn
OWN, MEAN = "contest:", "mean_"


@dataclass(frozen=True)
class Metric:
    """How predictions are scored; your own stands in contest.py: `mine = Metric(function, True, "labels", "logloss")`.

    `function` gets the arrays (y_true, y_pred) that `score` has checked; `loss` names the smooth metric, smaller is
    better, that models train on and blends climb on (of several targets `mean_<name>`). `get_metric` fills in the name.
    """

    function: Callable[..., float]
    greater_is_better: bool
    takes: Takes
    loss: str
    name: str = "of your own"

    def __post_init__(self) -> None:
        got = (self.function, self.greater_is_better, self.takes, self.loss)
        kinds_fit = callable(self.function) and isinstance(self.greater_is_better, bool) and isinstance(self.loss, str)
        if not kinds_fit or self.takes not in get_args(Takes):
            wanted = "(function, True where greater is better, 'labels' or 'probabilities' or 'values', a loss's name)"
            raise usage(f"contest.py: a Metric wants {wanted}, got {got}; mend it there")

    def score(self, y_true: ArrayLike, y_pred: ArrayLike) -> float:
        """The score of predictions that stand in the order of the truth; nan where it is undefined.

        Raises:
            KglError: text for codes, wrong shapes (status 1); columns where mean_ is meant (status 2).
        """
        truth = self._numbers("y_true", np.asarray(y_true), codes=self.takes != "values")
        predicted = self._numbers("y_pred", np.asarray(y_pred), codes=self.takes == "labels")
        self._check_shapes(truth, predicted)
        return float(self.function(truth, predicted))

    def of_table(self, table: Array) -> float:
        """The score of labels that are counted: (k, k), how often the truth of a row got the label of a column."""
        truth, label = np.nonzero(table)
        count = table[truth, label]
        if self.name in METRICS:
            return float(self.function(truth, label, count))
        return float(self.function(np.repeat(truth, count), np.repeat(label, count)))

    @property
    def of_columns(self) -> bool:
        """Whether truth and predictions are (n, columns)."""
        return self.name.startswith(MEAN) or self.name in OF_SETS

    @property
    def of_one_column(self) -> str:
        """The name of its like for a single column."""
        return "f1" if self.name in OF_SETS else self.name.removeprefix(MEAN)

    def gain(self, new: float, old: float) -> float:
        """By how much `new` is better than `old`: positive is better, whatever the direction."""
        return new - old if self.greater_is_better else old - new

    def _numbers(self, side: str, array: Array, *, codes: bool) -> Array:
        if not codes:
            return array.astype(np.float64, copy=False)  # unsigned differences wrap, sums in float32 lose digits
        if array.dtype.kind not in "biuf" or ((array % 1 != 0) | (array < 0)).any():
            wanted = "give codes, the positions in label_order (0, 1, ...)"
            raise KglError(f"metric {self.name}: {side} holds {str(array.flat[0])!r} and the like; {wanted}")
        return array.astype(np.int64, copy=False)

    def _check_shapes(self, truth: Array, predicted: Array) -> None:
        got = f"got y_true {truth.shape} and y_pred {predicted.shape}"
        if self.name in METRICS and truth.ndim != 1:
            raise usage(f"metric {self.name} scores one column, {got}; use {MEAN}{self.name}, the mean over columns")
        if self.of_columns and truth.ndim != 2:
            raise usage(f"metric {self.name} scores several columns, {got}; use {self.of_one_column}")
        column_a_class = self.takes == "probabilities" and (truth.ndim, predicted.ndim) == (1, 2)
        if len(truth) != len(predicted) or not (column_a_class or truth.shape == predicted.shape):
            raise KglError(f"metric {self.name} takes {self.takes} of the same rows as the truth, {got}; align them")


def auc(y_true: Array, y_pred: Array) -> float:
    """Area under the ROC curve; of (n, k), the mean of each class against the rest, where both are present."""
    sides: Iterable[tuple[int, Array]] = enumerate(y_pred.T) if y_pred.ndim == 2 else [(1, y_pred)]
    return _mean_known([_auc_of(y_true == code, rank) for code, rank in sides])


def _auc_of(inside: Array, rank: Array) -> float:
    """How often a row inside ranks above one outside; ties count half."""
    above, below = rank[inside], np.sort(rank[~inside])
    if not (len(above) and len(below)):
        return float("nan")
    wins = np.searchsorted(below, above, "left") + np.searchsorted(below, above, "right")
    return float(wins.mean() / (2 * len(below)))


def f1(y_true: Array, y_pred: Array, count: Array | None = None) -> float:
    """F1 of code 1; 0 where it is neither present nor predicted, as in scikit-learn."""
    if (top := int(max(y_true.max(), y_pred.max()))) > 1:
        raise usage(f"metric f1 is of the codes 0 and 1, got {top}; use f1_macro")
    right, true, guessed = _counts(y_true, y_pred, count)
    return float(2 * right[1:].sum() / max((true + guessed)[1:].sum(), 1.0))


def f1_macro(y_true: Array, y_pred: Array, count: Array | None = None) -> float:
    """The mean of F1 over the classes that are present or predicted."""
    right, true, guessed = _counts(y_true, y_pred, count)
    either = true + guessed
    return float(np.mean(2 * right[either > 0] / either[either > 0]))


def qwk(y_true: Array, y_pred: Array, count: Array | None = None) -> float:
    """Cohen's kappa with quadratic weights, written by moments (Lin 1989); nan for one rank alone.

    The weights are of the ranks, not of their positions among those present as in scikit-learn: a fold may lack one.
    Ordinal tasks train as regression, so the loss is rmse.
    """
    means = [np.average(side, weights=count) for side in (y_true, y_pred)]
    spread = [
        np.average(np.square(side - mean), weights=count) for side, mean in zip((y_true, y_pred), means, strict=True)
    ]
    by_chance = sum(spread) + (means[0] - means[1]) ** 2
    wrong = np.average(np.square(y_true - y_pred), weights=count)
    return float(1 - wrong / by_chance) if by_chance > 0 else float("nan")


def mcc(y_true: Array, y_pred: Array, count: Array | None = None) -> float:
    """Matthews correlation, of k classes as Gorodkin (2004) has it; 0 where a side is constant, as in scikit-learn."""
    right, true, guessed = _counts(y_true, y_pred, count)
    n = true.sum()
    spread = (n**2 - true @ true) * (n**2 - guessed @ guessed)
    return float((right.sum() * n - true @ guessed) / np.sqrt(spread)) if spread > 0 else 0.0


def rmse(y_true: Array, y_pred: Array) -> float:
    """Root mean squared error."""
    return float(np.sqrt(np.mean(np.square(y_true - y_pred))))


def rmse_log(y_true: Array, y_pred: Array) -> float:
    """RMSE of natural logs; predictions of 0 or less count as the smallest positive float."""
    _refuse_truth("rmse_log", y_true <= 0, "above 0")
    return rmse(np.log(y_true), np.log(np.maximum(y_pred, np.finfo(np.float64).tiny)))


def rmsle(y_true: Array, y_pred: Array) -> float:
    """RMSE of log(1 + value); predictions below 0 count as 0, as they do in the submission."""
    _refuse_truth("rmsle", y_true < 0, "of 0 or more")
    return rmse(np.log1p(y_true), np.log1p(np.maximum(y_pred, 0)))


def rmspe(y_true: Array, y_pred: Array) -> float:
    """Root mean square of the errors as shares of the truth; rows whose truth is 0 do not count."""
    known = y_true != 0
    return rmse(np.ones(known.sum()), y_pred[known] / y_true[known]) if known.any() else float("nan")


def smape(y_true: Array, y_pred: Array) -> float:
    """Mean of the errors as percentages of the mean of truth and prediction, 0 where both are 0."""
    return float(200 * np.mean(np.abs(y_true - y_pred) / np.maximum(np.abs(y_true) + np.abs(y_pred), EPSILON)))


def r2(y_true: Array, y_pred: Array) -> float:
    """The share of the variance that is explained; nan where the truth is constant."""
    constant = (y_true == y_true[0]).all()
    return float("nan") if constant else float(1 - np.mean(np.square(y_true - y_pred)) / y_true.var())


def _f_of_rows(y_true: Array, y_pred: Array, beta: float) -> float:
    """The mean over rows of F beta of a row's labels, of (n, labels) 0 and 1; 0 of a row without any."""
    right, true, guessed = (y_true & y_pred).sum(axis=1), y_true.sum(axis=1), y_pred.sum(axis=1)
    return float(np.mean((1 + beta**2) * right / np.maximum(beta**2 * true + guessed, 1)))


METRICS = {
    metric.name: metric
    for metric in (
        Metric(lambda y, p, n=None: np.average(y == p, weights=n), True, "labels", "logloss", "accuracy"),
        Metric(lambda y, p, n=None: _by_class(y, y == p, n), True, "labels", "balanced_logloss", "balanced_accuracy"),
        Metric(auc, True, "probabilities", "logloss", "auc"),
        Metric(lambda y, p: _log_losses(y, p).mean(), False, "probabilities", "logloss", "logloss"),
        Metric(
            lambda y, p: _by_class(y, _log_losses(y, p)), False, "probabilities", "balanced_logloss", "balanced_logloss"
        ),
        Metric(f1, True, "labels", "logloss", "f1"),
        Metric(f1_macro, True, "labels", "logloss", "f1_macro"),
        Metric(qwk, True, "labels", "rmse", "qwk"),
        Metric(mcc, True, "labels", "logloss", "mcc"),
        Metric(rmse, False, "values", "rmse", "rmse"),
        Metric(rmse_log, False, "values", "rmse_log", "rmse_log"),
        Metric(lambda y, p: np.mean(np.abs(y - p)), False, "values", "mae", "mae"),
        Metric(lambda y, p: np.median(np.abs(y - p)), False, "values", "mae", "medae"),
        Metric(rmspe, False, "values", "rmsle", "rmspe"),
        Metric(smape, False, "values", "rmsle", "smape"),
        Metric(rmsle, False, "values", "rmsle", "rmsle"),
        Metric(r2, True, "values", "rmse", "r2"),
        Metric(lambda y, p: np.mean(np.abs(y - p) / np.maximum(np.abs(y), EPSILON)), False, "values", "mape", "mape"),
    )
}


OF_SETS = {  # of several labels a row
    f"f{beta}_samples": Metric(partial(_f_of_rows, beta=beta), True, "labels", "mean_logloss", f"f{beta}_samples")
    for beta in (1, 2)
}


def get_metric(name: str) -> Metric:
    """The metric of a name: one of METRICS, `mean_<name>` over columns, or `contest:<name>`, your own in contest.py.

    Raises:
        KglError: no such metric, or contest.py has no such Metric (status 2).
    """
    if name.startswith(OWN):
        return _own_metric(name)
    if found := METRICS.get(name) or OF_SETS.get(name):
        return found
    if (one := METRICS.get(name.removeprefix(MEAN))) is not None:
        return _columnwise(one)
    hint = nearest(name, [*METRICS, *(MEAN + known for known in METRICS)])
    raise usage(
        f'metric "{name}" is unknown.{hint} Known are {", ".join(METRICS)}, each also as {MEAN}<name> (the mean over '
        f'columns), {" and ".join(OF_SETS)} of sets of labels, and "{OWN}<name>" for a Metric of your own in contest.py'
    )


def _own_metric(name: str) -> Metric:
    attribute = name.removeprefix(OWN)
    advice = f'write there: {attribute} = Metric(function, greater_is_better=True, takes="labels", loss="logloss")'
    try:
        found = getattr(importlib.import_module("contest"), attribute, None)
    except ImportError as error:
        raise usage(f'metric "{name}": contest.py cannot be imported ({error}); {advice}') from error
    if not isinstance(found, Metric):
        what = "is missing" if found is None else f"is of type {type(found).__name__}, not a Metric"
        raise usage(f'metric "{name}": {attribute} {what} in contest.py; {advice}')
    smooth = [known for known, metric in METRICS.items() if metric.loss == known]
    if found.loss.removeprefix(MEAN) not in smooth and not found.loss.startswith(OWN):
        raise usage(f'metric "{name}": models cannot train on loss "{found.loss}"; use one of {", ".join(smooth)}')
    return replace(found, name=name)


def _columnwise(one: Metric) -> Metric:
    def by_column(y_true: Array, y_pred: Array) -> float:
        return _mean_known([one.function(*columns) for columns in zip(y_true.T, y_pred.T, strict=True)])

    return Metric(by_column, one.greater_is_better, one.takes, MEAN + one.loss, MEAN + one.name)


def _mean_known(scores: list[float]) -> float:
    known = [score for score in scores if not np.isnan(score)]
    return float(np.mean(known)) if known else float("nan")


def _by_class(y_true: Array, by_row: Array, count: Array | None = None) -> float:
    """The mean over the classes in y_true of the rows' mean within the class."""
    rows, sums = np.bincount(y_true, count), np.bincount(y_true, by_row if count is None else by_row * count)
    return float(np.mean(sums[rows > 0] / rows[rows > 0]))


def _counts(y_true: Array, y_pred: Array, count: Array | None = None) -> list[Array]:
    """How often each code is right, true and predicted; `count` says of how many rows each pair of codes is."""
    size = int(max(y_true.max(), y_pred.max())) + 1
    weight = np.ones(len(y_true)) if count is None else count
    sides = ((y_true, weight * (y_true == y_pred)), (y_true, weight), (y_pred, weight))
    return [np.bincount(codes, weights, minlength=size) for codes, weights in sides]


def _log_losses(y_true: Array, y_pred: Array) -> Array:
    """Minus the natural log of the right class's probability, rows rescaled to sum 1 and clipped as Kaggle does."""
    if y_pred.ndim == 1:
        right = np.where(y_true == 1, y_pred, 1 - y_pred)
    else:
        rows = np.maximum(y_pred, CLIP)
        right = rows[np.arange(len(rows)), y_true] / rows.sum(axis=1)
    return np.asarray(-np.log(np.clip(right, CLIP, 1 - CLIP)))


def _refuse_truth(name: str, wrong: Array, wanted: str) -> None:
    if count := np.count_nonzero(wrong):
        raise KglError(f"metric {name} wants targets {wanted}, got {count} of {len(wrong)} that are not; use rmse")
