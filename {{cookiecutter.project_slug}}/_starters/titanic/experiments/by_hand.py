"""Logistic regression written in NumPy, in the seat of scikit-learn's: gradient descent is ten lines, not magic."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from kgl.tabular import Tabular


def sigmoid(score: NDArray[np.float64]) -> NDArray[np.float64]:
    """From any number to a probability: 0 becomes one half."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(score, -35, 35))))


def log_loss(y: NDArray[np.float64], probability: NDArray[np.float64]) -> float:
    """How surprised the model is by the labels, on average: 0 is perfect, 0.69 is tossing a coin."""
    return float(-np.mean(y * np.log(probability) + (1 - y) * np.log(1 - probability)))


class LogisticByHand(ClassifierMixin, BaseEstimator):
    """Logistic regression for two classes by gradient descent.

    Args:
        learning_rate: how far a step goes down the slope. Too small: not there yet. Too large: it jumps about.
        steps: how many steps are taken.
        penalty: pulls the weights towards 0, so that rare columns do not shout (1 is scikit-learn's C=1).
        verbose: print the loss on the way.
    """

    def __init__(
        self, learning_rate: float = 0.1, *, steps: int = 2000, penalty: float = 1.0, verbose: bool = False
    ) -> None:
        self.learning_rate = learning_rate
        self.steps = steps
        self.penalty = penalty
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Find the weights; `loss_curve_` keeps the loss of every hundredth step."""
        X, y = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
        self.classes_ = np.array([0, 1])
        self.coef_, self.intercept_ = np.zeros(X.shape[1]), 0.0
        self.loss_curve_: list[float] = []
        for step in range(self.steps):
            probability = sigmoid(X @ self.coef_ + self.intercept_)
            error = probability - y  # the slope of the loss, as seen by each row's score
            self.coef_ -= self.learning_rate * (X.T @ error + self.penalty * self.coef_) / len(y)
            self.intercept_ -= self.learning_rate * error.mean()
            if step % 100 == 0:
                self.loss_curve_.append(log_loss(y, probability))
                if self.verbose:
                    print(f"step {step:5d}  loss {self.loss_curve_[-1]:.4f}")
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """The probability of each class, a column each."""
        lives = sigmoid(np.asarray(X, dtype=float) @ self.coef_ + self.intercept_)
        return np.column_stack([1 - lives, lives])

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The likelier class."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


experiment = Tabular(
    model=LogisticByHand(learning_rate=0.1, steps=2000),
    drop=("Name", "Ticket", "Cabin"),
    prepare="linear",
)
