"""The scale on which members are added up, and stacking: a small linear model there, drawn towards the equal mean."""

from dataclasses import dataclass

import numpy as np

from kgl.arrays import Array
from kgl.metrics import MEAN

PENALTIES = (0.01, 0.1, 1.0)  # on the distance of the weights from equal ones
CLIP = 1e-5  # probabilities are kept that far from 0 and 1


@dataclass(frozen=True)
class Scale:
    """Where predictions are added up: log odds (several classes: log probabilities), values, or logarithms of values.

    task: of `kgl.target.Target`. log: of values, their logarithms ("log"), or those of 1 + value ("log1p").
    """

    task: str
    log: str = ""

    @classmethod
    def of(cls, task: str, loss: str) -> "Scale":
        """What fits a task and the metric's loss."""
        values = task in ("regression", "ordinal")
        return cls(task, {"rmsle": "log1p", "rmse_log": "log"}.get(loss.removeprefix(MEAN), "") if values else "")

    def forward(self, predictions: Array) -> Array:
        """(..., columns) to be added up, of (..., columns) predictions; of two classes the second alone."""
        if self.log:
            low = np.maximum(predictions, CLIP if self.log == "log" else 0)
            return np.asarray(np.log(low) if self.log == "log" else np.log1p(low))
        if not self._of_classes:
            return predictions
        p = np.clip(predictions[..., 1:] if self.task == "binary" else predictions, CLIP, 1 - CLIP)
        return np.asarray(np.log(p) if self.task == "multiclass" else np.log(p / (1 - p)))

    def back(self, sums: Array) -> Array:
        """(n, columns) predictions of what was added up."""
        if self.log:
            return np.asarray(np.exp(sums) if self.log == "log" else np.expm1(sums))
        predicted = self._inverse(sums)
        return np.column_stack([1 - predicted, predicted]) if self.task == "binary" else predicted

    def fit_stack(self, x: Array, y: Array, penalty: float) -> Array:
        """Weights and constants, as `kgl.blend_weights.mix` takes them, of (m, n, columns) on this scale.

        Args:
            x: what members predict, on this scale.
            y: the target, codes of classes where they are of one label.
            penalty: on the squared distance of the weights from equal ones.
        """
        from scipy.optimize import minimize

        m = len(x)
        wanted = np.eye(x.shape[2])[y] if self.task == "multiclass" else y.reshape(len(y), -1).astype(float)
        wanted = wanted if self._of_classes else self.forward(wanted)
        size = 1.0 if self._of_classes else max(float(wanted.var(axis=0).mean()), 1e-12)

        def cost(theta: Array) -> tuple[float, Array]:
            z = np.einsum("m,mnc->nc", theta[:m], x) + theta[m:]
            miss, away = (self._inverse(z) - wanted) / (size * len(z)), theta[:m] - 1 / m
            gradient = np.concatenate([np.einsum("nc,mnc->m", miss, x) + 2 * penalty * away, miss.sum(axis=0)])
            return self._loss(z, wanted) / size + penalty * float(away @ away), gradient

        start = np.concatenate([np.full(m, 1 / m), np.zeros(x.shape[2])])
        return np.asarray(minimize(cost, start, jac=True, method="L-BFGS-B").x)

    @property
    def _of_classes(self) -> bool:
        return self.task in ("binary", "multiclass", "multilabel")

    def _inverse(self, z: Array) -> Array:
        """Probabilities of sums; values as they are."""
        from scipy.special import expit, softmax

        if self.task == "multiclass":
            return np.asarray(softmax(z, axis=1))
        return np.asarray(expit(z)) if self._of_classes else z

    def _loss(self, z: Array, wanted: Array) -> float:
        """The mean over rows of what `_inverse(z) - wanted` is the gradient of."""
        if not self._of_classes:
            return float(np.square(z - wanted).sum() / 2 / len(z))
        if self.task == "multiclass":
            return float((np.logaddexp.reduce(z, axis=1) - (z * wanted).sum(axis=1)).mean())
        return float((np.logaddexp(0, z) - z * wanted).sum() / len(z))
