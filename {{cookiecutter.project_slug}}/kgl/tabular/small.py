"""Small neural nets and a support vector machine: cheap, without torch, and of another opinion than trees."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.ensemble import BaggingClassifier, BaggingRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.svm import SVR

NET: dict[str, Any] = {"hidden_layer_sizes": (128, 64), "alpha": 0.3, "max_iter": 60}
AVERAGED: dict[str, Any] = {"n_estimators": 4, "bootstrap": False, "n_jobs": 1}  # the same rows, other first weights


class _StandardTarget:
    """Learns (y - mean) / spread, so that one setting serves targets of every size."""

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """Learn from values."""
        y = np.asarray(y, dtype=float)
        self.mean_, self.spread_ = float(y.mean()), float(y.std()) or 1.0
        weighted = {} if sample_weight is None else {"sample_weight": sample_weight}
        return super().fit(X, (y - self.mean_) / self.spread_, **weighted)  # type: ignore[misc]

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """(n,) values."""
        return np.asarray(super().predict(X) * self.spread_ + self.mean_)  # type: ignore[misc]


class StandardSVR(_StandardTarget, SVR):
    """scikit-learn's SVR on the standardized target.

    Args:
        C, epsilon: as there.
        share: of scikit-learn's gamma, which is too narrow for many columns.
    """

    def __init__(self, C: float = 5.0, epsilon: float = 0.1, share: float = 0.2) -> None:
        super().__init__(C=C, epsilon=epsilon)
        self.share = share

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """Learn from values."""
        self.gamma = self.share / (X.shape[1] * (X.var() or 1.0))
        return super().fit(X, y, sample_weight)


class StandardMLP(_StandardTarget, MLPRegressor):
    """scikit-learn's MLPRegressor on the standardized target."""


def mlp_classifier() -> Any:
    """Four nets of two layers, averaged."""
    return BaggingClassifier(MLPClassifier(**NET), **AVERAGED)


def mlp_regressor() -> Any:
    """The same for values."""
    return BaggingRegressor(StandardMLP(**NET), **AVERAGED)
