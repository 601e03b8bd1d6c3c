"""Better, noise or worse: one run against another, from their folds, their rows, and the noise of seeds."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kgl.arrays import Array
from kgl.metrics import MEAN, Metric, get_metric
from kgl.runs import Run

Scorer = Callable[[Array], float]  # the metric of one run on the rows of these numbers; a row may come twice
RISK = 0.05
SHARED = 1.85  # folds share training rows: what that adds to the variance of rows, and no fold shows; see docs
PLAIN = 1.25  # how much more than that folds must show before they are believed: the variance of a few is mostly luck
DRAWS = 200
MOST_DRAWN = 20_000  # rows of a fold that are drawn from; the error of more is scaled
MOST_DF = 200  # Student's t beyond that is the normal one


@dataclass(frozen=True)
class Verdict:
    """How a run compares with another: `word` is better, noise, worse, or rosy where the new run's score is not honest.

    gain: by how much, positive is better in any metric. error: its standard error. p: the chance that luck alone makes
    a gain, or a loss, of that size. rows: how many rows both runs predict out of fold; 0 where the fold scores alone
    were at hand. same_data: whether both were trained and scored on the same; other labels make scores that do not
    compare.
    """

    word: str
    gain: float
    error: float
    p: float
    rows: int = 0
    same_data: bool = True


@dataclass(frozen=True)
class Rows:
    """The rows that two runs share: how many, and the standard error of the gain if only they were drawn anew."""

    count: int
    error: float


def scores_of_both(new: Run, old: Run) -> list[tuple[float, float]]:
    """Of the folds that both have scores of."""
    return [(a, b) for a, b in zip(new.fold_scores, old.fold_scores, strict=False) if a is not None and b is not None]


def why_apart(new: Run, old: Run) -> str:
    """Why two runs do not compare, in words; empty where they do."""
    runs, ruled = (new, old), get_metric(new.metric).takes == "labels" and new.metric.removeprefix(MEAN) != "accuracy"
    folds = [(run.identity.get("folds"), len(run.fold_scores)) for run in runs]
    rows = [(run.lacks, run.lacks and run.identity.get("data")) for run in runs]
    reasons = {
        f"their metrics are {new.metric} and {old.metric}": new.metric != old.metric,
        f"{new.metric} in contest.py has changed between the two": new.scored_by != old.scored_by,
        "a quick run is of few rows": any(run.config.get("quick") for run in runs),
        "no fold has a score of both": not scores_of_both(new, old),
        "they are of other folds": folds[0] != folds[1],
        f"of the rows of their folds {new.run} lacks {new.lacks:,}, {old.run} {old.lacks:,}": rows[0] != rows[1],
        "labels are decided by a rule of all folds, which one of them lacks": ruled
        and (None in new.fold_scores) != (None in old.fold_scores),
    }
    return next((reason for reason, apart in reasons.items() if apart), "")


def compare(metric: Metric, new: Run, old: Run, *, rows: Rows | None = None, seeds: float = 0.0) -> Verdict | None:
    """`new` against `old`; None where they do not compare, see `why_apart`, or have one fold in common and no rows.

    Args:
        metric: of both.
        new, old: runs; their fold scores give the gain, the mean of the differences.
        rows: see `rows_of`; without it, folds alone say how sure the gain is.
        seeds: the variance of the gain that other seeds would make, see `kgl.evidence`.
    """
    gains = [] if why_apart(new, old) else [metric.gain(a, b) for a, b in scores_of_both(new, old)]
    if len(gains) < (2 if rows is None else 1):
        return None
    gain, (error, p) = math.fsum(gains) / len(gains), judge(gains, rows=rows.error if rows else None, seeds=seeds)
    word = "noise" if p > RISK else "better" if gain > 0 else "worse"
    word = "rosy" if new.is_rosy and not old.is_rosy else word
    data = [run.identity.get("data") for run in (new, old)]
    return Verdict(word, gain, error, p, rows.count if rows else 0, data[0] == data[1])


def judge(gains: Sequence[float], *, rows: float | None = None, seeds: float = 0.0) -> tuple[float, float]:
    """The standard error of the mean of gains over folds, and the chance of such a mean by luck (one-sided).

    Three things may have made a gain: which rows there are, which rows each model was trained on, and its seed. The
    variance is what the rows say, widened (SHARED), or that of rows and seeds where it is larger; and what the folds
    say where that is plainly larger still (PLAIN). Few folds know little of their variance: the more of it they alone
    show, the fewer the degrees of freedom. A single fold says nothing of it: there rows and seeds decide alone.

    Args:
        gains: one a fold, two or more; of a single fold, `rows` is needed.
        rows: the standard error of the mean if only the rows were drawn anew; None where they are not at hand: the
            corrected t-test (Nadeau and Bengio, Inference for the Generalization Error, 2003) then.
        seeds: the variance of the mean that other seeds would make.
    """
    n = len(gains)
    gain, folds, df = math.fsum(gains) / n, float(np.var(gains, ddof=1)) / n if n > 1 else 0.0, float(n - 1)
    if rows is None:
        variance = max(folds * (1 + n / (n - 1)), seeds)
    else:
        variance = max(SHARED * rows**2, rows**2 + seeds)
        wider = folds > PLAIN * variance
        variance, df = (folds, min(df * folds / (folds - rows**2), MOST_DF)) if wider else (variance, MOST_DF)
    error = math.sqrt(variance)
    return error, chance(gain / error, int(df)) / 2 if error else float(gain == 0)


def chance(t: float, df: int) -> float:
    """Of a value of Student's t beyond -t and t (Abramowitz and Stegun, 26.7.3 and 4); importing scipy takes longer."""
    angle, odd = math.atan2(abs(t), math.sqrt(df)), df % 2
    total, term = 0.0, math.cos(angle) if odd else 1.0
    for power in range(odd, df - 1, 2):
        total += term
        term *= math.cos(angle) ** 2 * (power + 1) / (power + 2)
    inside = math.sin(angle) * total
    return max(0.0, 1 - (2 / math.pi * (angle + inside) if odd else inside))


def draw_scores(score: Scorer, fold_of: Array, groups: Array) -> Array:
    """(folds, 1 + DRAWS): the rows of each fold, then the metric of a run on rows that are drawn anew from it.

    The draws are the same for every run, so that runs are compared on them pair by pair (the paired bootstrap).

    Args:
        score: the metric, recomputed on every draw.
        fold_of: (n,) the fold of each row.
        groups: (n,) rows of one group are drawn together; a number of its own for each row where there are none.
    """
    rng, found = np.random.default_rng(0), []
    for k in np.unique(fold_of):
        inside = np.flatnonzero(fold_of == k)
        names, group = np.unique(groups[inside], return_inverse=True)
        kept = rng.permutation(len(names)) < max(MOST_DRAWN * len(names) // len(inside), 2)
        rows, group, size = inside[kept[group]], (np.cumsum(kept) - 1)[group[kept[group]]], int(kept.sum())
        drawn = (np.bincount(rng.integers(size, size=size), minlength=size)[group] for _ in range(DRAWS))
        scores = np.array([score(np.repeat(rows, times)) for times in drawn])
        middle = np.nanmean(scores) if np.isfinite(scores).any() else 0.0
        found.append([len(inside), *(middle + (scores - middle) * math.sqrt(size / len(names)))])
    return np.array(found)


def rows_of(new: Array, old: Array) -> Rows | None:
    """What the same draws say of two runs; None where no fold has a score."""
    shared = np.isfinite(new[:, 1:] - old[:, 1:]).any(axis=1)
    if not shared.any():
        return None
    variances = np.nanvar((new - old)[shared, 1:], axis=1)
    return Rows(int(np.minimum(new, old)[shared, 0].sum()), math.sqrt(math.fsum(variances)) / len(variances))
