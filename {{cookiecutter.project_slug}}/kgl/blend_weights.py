"""Weights of a blend: hill climbing, shrunk, judged on folds that they never saw."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from kgl.arrays import Array
from kgl.verdicts import chance

Measure = Callable[[Array, Array], float]  # the smooth loss of predictions on the rows of these numbers
Learn = Callable[[Array, Array], Array]  # (candidates, numbers for `mix`) from the members on the rows of these numbers
STEPS = 50
SHRINKS = (0.0, 0.5, 1.0)  # how far weights are drawn to the equal mean of the members that help the best one
BLOCKS = 50  # parts of the rows that losses are compared on: five folds are too few, and outliers spoil one each
ROWS_FOR_WEIGHTS = 100_000  # a few numbers need no more; beyond that every second row, or third, ...


@dataclass(frozen=True)
class Blend:
    """Weights over members (or what `learn` gives), and what they are worth.

    nested: (n, columns) predictions of each row by weights found without its fold.
    gain: by how much the nested blend beats the best member in the loss, on blocks of rows.
    """

    weights: Array
    nested: Array
    gain: "Gain"


@dataclass(frozen=True)
class Gain:
    """The mean of paired differences, its standard error, and the chance of such a gain by luck."""

    mean: float
    error: float
    p: float

    @property
    def is_gain(self) -> bool:
        """Whether it exceeds its standard error: a blend that gains nothing costs little, one that is refused may."""
        return self.mean > self.error


def climb(members: Array, measure: Callable[[Array], float], steps: int = STEPS) -> Array:
    """Weights by hill climbing with replacement from the best member, ending at the best step, not at the last.

    Caruana et al., Ensemble Selection from Libraries of Models (2004).

    Args:
        members: (m, n, columns) predictions.
        measure: the loss of (n, columns) predictions, smaller is better.
        steps: members added, each as often as it helps.
    """
    losses = [measure(member) for member in members]
    best = int(np.argmin(losses))
    counts, total = np.bincount([best], minlength=len(members)), members[best].copy()
    best_counts, best_loss = counts.copy(), losses[best]
    for step in range(1, steps):
        tried = [measure((total + member) / (step + 1)) for member in members]
        chosen = int(np.argmin(tried))
        counts[chosen] += 1
        total += members[chosen]
        if tried[chosen] < best_loss:
            best_counts, best_loss = counts.copy(), tried[chosen]
    return np.asarray(best_counts / best_counts.sum())


def equal_of_helpers(members: Array, measure: Callable[[Array], float]) -> Array:
    """Equal weights of the best member and of those whose mean with it beats it."""
    losses = [measure(member) for member in members]
    best = int(np.argmin(losses))
    helps = [i == best or measure((member + members[best]) / 2) < losses[best] for i, member in enumerate(members)]
    return np.array(helps) / sum(helps)


def mix(numbers: Sequence[float] | Array, members: Array) -> Array:
    """(n, columns): the sum of (m, n, columns) by m weights, and a constant a column if further numbers give them.

    To the bit the same on every machine.
    """
    weights, constants = numbers[: len(members)], numbers[len(members) :]
    added = np.asarray(sum(weight * member for weight, member in zip(weights, members, strict=True) if weight))
    return added + constants if len(constants) else added


def paired(differences: Iterable[float]) -> Gain:
    """Judge differences by the one-sided t-test; undefined ones are left out."""
    known = [difference for difference in differences if not np.isnan(difference)]
    if len(known) < 2:
        return Gain(sum(known), np.inf, 1.0)
    mean, error = float(np.mean(known)), float(np.std(known, ddof=1) / np.sqrt(len(known)))
    p = chance(mean / error, len(known) - 1) / 2 if error else 0.0
    return Gain(mean, error, p if mean > 0 else 1 - p)


def find_blend(members: Array, fold_of: Array, measure: Measure, *, learn: Learn | None = None) -> Blend:
    """Weights from all folds, and predictions of each fold by weights from the other folds alone.

    Args:
        members: (m, n, columns) out-of-fold predictions of validated rows on the scale on which they are added up, the
            best member first, rows in the order of the target: every so many rows are then a fair part of all.
        fold_of: (n,) their folds.
        measure: see `Measure`.
        learn: another way than climbed weights, such as `kgl.blend_stack`.
    """
    folds = [int(k) for k in np.unique(fold_of)]

    def by_block(predictions: Array, rows: Array) -> list[float]:
        blocks = max(2, min(BLOCKS, len(rows) // 10))
        return [measure(predictions[i::blocks], rows[i::blocks]) for i in range(blocks)]

    def robust(predictions: Array, rows: Array) -> float:
        return float(np.nanmean(by_block(predictions, rows)))

    def climbed_and_equal(seen: Array, rows: Array) -> Array:
        """(shrinks, m) weights."""
        if not len(rows):
            return np.full((len(SHRINKS), len(members)), 1 / len(members))
        climbed = climb(seen, lambda predictions: measure(predictions, rows))
        equal = equal_of_helpers(seen, lambda predictions: robust(predictions, rows))
        return np.array([(1 - shrink) * climbed + shrink * equal for shrink in SHRINKS])

    @cache
    def candidates(left_out: frozenset[int]) -> Array:
        """What saw no row of these folds."""
        rows = np.flatnonzero(~np.isin(fold_of, list(left_out)))
        rows = rows[:: 1 + len(rows) // ROWS_FOR_WEIGHTS]
        return (learn or climbed_and_equal)(members[:, rows], rows)

    def weights(left_out: frozenset[int]) -> Array:
        """The candidate that does best on each further fold when that is left out as well."""
        found = candidates(left_out)
        losses = np.zeros(len(found))
        for k in set(folds) - left_out:
            rows = np.flatnonzero(fold_of == k)
            losses += [robust(mix(w, members[:, rows]), rows) for w in candidates(left_out | {k})]
        return np.asarray(found[int(np.argmin(losses))])

    nested = np.empty(members.shape[1:])
    for k in folds:
        inside = fold_of == k
        nested[inside] = mix(weights(frozenset({k})), members[:, inside])
    every = np.arange(len(nested))
    differences = np.subtract(by_block(members[0], every), by_block(nested, every))
    return Blend(weights(frozenset()), nested, paired(differences if len(folds) > 1 else ()))
