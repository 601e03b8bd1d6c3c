"""Stacking: a small linear model on the members' predictions, drawn towards their equal mean."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgl.metrics import MEAN

Array = NDArray[Any]
PENALTIES = (0.01, 0.1, 1.0)  # on the distance of the weights from equal ones
CLIP = 1e-5  # probabilities are kept that far from 0 and 1


@dataclass(frozen=True)
class Stack:
    """Adds up log odds (several classes: log probabilities), or values, by a weight a member and a constant a column.

    task: of `kgl.target.Target`. log: values are added up as their logarithms ("log"), or those of 1 + value ("log1p").
    """

    task: str
    log: str = ""

    @classmethod
    def of(cls, task: str, loss: str) -> "Stack":
        """What fits a task and the metric's loss."""
        values = task in ("regression", "ordinal")
        return cls(task, {"rmsle": "log1p", "rmse_log": "log"}.get(loss.removeprefix(MEAN), "") if values else "")

    def fit(self, members: Array, y: Array, penalty: float) -> Array:
        """Weights and constants, (m + columns - 1 for two classes), of (m, n, columns) predictions."""
        from scipy.optimize import minimize

        x, m = self._added_up(members), len(members)
        wanted = np.eye(x.shape[2])[y] if self.task == "multiclass" else y.reshape(len(y), -1).astype(float)
        wanted = {"log": np.log, "log1p": np.log1p}[self.log](wanted) if self.log else wanted
        scale = 1.0 if self._of_classes else max(float(wanted.var(axis=0).mean()), 1e-12)

        def cost(theta: Array) -> tuple[float, Array]:
            z = self._z(theta, x)
            miss, away = (self._back(z) - wanted) / (scale * len(z)), theta[:m] - 1 / m
            gradient = np.concatenate([np.einsum("nc,mnc->m", miss, x) + 2 * penalty * away, miss.sum(axis=0)])
            return self._loss(z, wanted) / scale + penalty * float(away @ away), gradient

        start = np.concatenate([np.full(m, 1 / m), np.zeros(x.shape[2])])
        return np.asarray(minimize(cost, start, jac=True, method="L-BFGS-B").x)

    def apply(self, theta: Array, members: Array) -> Array:
        """(n, columns) predictions of (m, n, columns)."""
        predicted = self._back(self._z(theta, self._added_up(members)))
        if self.log:
            predicted = np.exp(predicted) if self.log == "log" else np.expm1(predicted)
        return np.column_stack([1 - predicted, predicted]) if self.task == "binary" else predicted

    @property
    def _of_classes(self) -> bool:
        return self.task in ("binary", "multiclass", "multilabel")

    def _added_up(self, members: Array) -> Array:
        if self.log:
            low = np.maximum(members, CLIP if self.log == "log" else 0)
            return np.asarray(np.log(low) if self.log == "log" else np.log1p(low))
        if not self._of_classes:
            return members
        p = np.clip(members[..., 1:] if self.task == "binary" else members, CLIP, 1 - CLIP)
        return np.asarray(np.log(p) if self.task == "multiclass" else np.log(p / (1 - p)))

    def _z(self, theta: Array, x: Array) -> Array:
        return np.asarray(np.einsum("m,mnc->nc", theta[: len(x)], x) + theta[len(x) :])

    def _back(self, z: Array) -> Array:
        """From sums to probabilities, or to what was added up."""
        if self.task == "multiclass":
            odds = np.exp(z - z.max(axis=1, keepdims=True))
            return np.asarray(odds / odds.sum(axis=1, keepdims=True))
        return np.asarray(1 / (1 + np.exp(-np.clip(z, -50, 50)))) if self._of_classes else z

    def _loss(self, z: Array, wanted: Array) -> float:
        """The mean over rows of what `_back(z) - wanted` is the gradient of."""
        if not self._of_classes:
            return float(np.square(z - wanted).sum() / 2 / len(z))
        if self.task == "multiclass":
            return float((np.logaddexp.reduce(z, axis=1) - (z * wanted).sum(axis=1)).mean())
        return float((np.logaddexp(0, z) - z * wanted).sum() / len(z))
