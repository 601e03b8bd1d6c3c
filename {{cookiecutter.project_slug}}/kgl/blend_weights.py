"""Weights of a blend: hill climbing, shrunk, judged on folds that they never saw."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Measure = Callable[[Array, Array], float]  # the smooth loss of predictions on the rows of these numbers
STEPS = 50
SHRINKS = (0.0, 0.5, 1.0)  # how far weights are drawn to the equal mean of the members that help the best one
ROWS_FOR_WEIGHTS = 100_000  # a few numbers need no more; beyond that every second row, or third, ...


@dataclass(frozen=True)
class Blend:
    """Weights over members, and what they are worth.

    nested: (n, columns) predictions of each row by weights found without its fold.
    gain, error: by how much the nested blend beats the best member in the metric, mean over folds; its standard error.
    """

    weights: Array
    nested: Array
    gain: float
    error: float

    @property
    def is_taken(self) -> bool:
        """The gate: the gain over the best member must exceed its own standard error."""
        return self.gain > self.error


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


def mix(weights: Sequence[float] | Array, members: Array) -> Array:
    """(n, columns): the weighted sum of (m, n, columns), to the bit the same on every machine."""
    return np.asarray(sum(weight * member for weight, member in zip(weights, members, strict=True) if weight))


def find_blend(members: Array, fold_of: Array, measure: Measure, gains: Callable[[Array], Array]) -> Blend:
    """Weights from all folds, and predictions of each fold by weights from the other folds alone.

    Args:
        members: (m, n, columns) out-of-fold predictions of validated rows.
        fold_of: (n,) their folds.
        measure: see `Measure`.
        gains: by fold, how much better than the best member predictions are in the metric.
    """
    folds = [int(k) for k in np.unique(fold_of)]

    @cache
    def candidates(left_out: frozenset[int]) -> Array:
        """(shrinks, m) weights that saw no row of these folds."""
        rows = np.flatnonzero(~np.isin(fold_of, list(left_out)))
        if not len(rows):
            return np.full((len(SHRINKS), len(members)), 1 / len(members))
        rows = rows[:: 1 + len(rows) // ROWS_FOR_WEIGHTS]
        seen = members[:, rows]
        climbed = climb(seen, lambda predictions: measure(predictions, rows))
        equal = equal_of_helpers(seen, lambda predictions: measure(predictions, rows))
        return np.array([(1 - shrink) * climbed + shrink * equal for shrink in SHRINKS])

    def weights(left_out: frozenset[int]) -> Array:
        """The candidate that does best on each further fold when that is left out as well."""
        losses = np.zeros(len(SHRINKS))
        for k in set(folds) - left_out:
            rows = np.flatnonzero(fold_of == k)
            losses += [measure(mix(w, members[:, rows]), rows) for w in candidates(left_out | {k})]
        return np.asarray(candidates(left_out)[int(np.argmin(losses))])

    nested = np.empty(members.shape[1:])
    for k in folds:
        inside = fold_of == k
        nested[inside] = mix(weights(frozenset({k})), members[:, inside])
    differences = gains(nested)
    error = float(np.std(differences, ddof=1) / np.sqrt(len(differences))) if len(differences) > 1 else np.inf
    return Blend(weights(frozenset()), nested, float(np.mean(differences)) if len(differences) else 0.0, error)
