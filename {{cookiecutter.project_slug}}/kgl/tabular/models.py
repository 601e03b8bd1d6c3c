"""Any scikit-learn compatible estimator as a model of one output: seeded, weighted, its classes put in order."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np

from kgl.arrays import Array
from kgl.errors import KglError
from kgl.paths import replacing


class SklearnModel:
    """An estimator of one output.

    Args:
        estimator: not yet fitted; it is fitted in place.
        classes: how many there are in all, also those absent from the training rows; 0 for a regression.
    """

    suffix = ".joblib"

    def __init__(self, estimator: Any, classes: int) -> None:
        self.estimator = estimator
        self.classes = classes

    def seeded(self, seed: int, threads: int) -> "SklearnModel":
        """Give every random_state and n_jobs that is still open a value."""
        values, params = {"random_state": seed, "n_jobs": threads}, self.estimator.get_params()
        for key in [key for key, value in params.items() if value is None]:
            owner, _, name = key.rpartition("__")
            known = type(params.get(owner, self.estimator)).__module__.startswith("sklearn.")
            if name == "random_state" or (name == "n_jobs" and (threads > 1 or not known)):
                self.estimator.set_params(**{key: values[name]})  # None is one core to scikit-learn, all to others
        return self

    def fit(self, X: Any, y: Array, weight: Array | None, categorical: list[int]) -> "SklearnModel":
        """Fit on codes or values."""
        if categorical and "categorical_features" in self.estimator.get_params(deep=False):
            self.estimator.set_params(categorical_features=categorical)
        self.seen = np.unique(y)
        if not self.classes or len(self.seen) > 1:
            self.estimator.fit(X, y, **self._weight_argument(weight))
        # trees of several threads are summed in the order in which they end: the last bit would differ each time
        params = self.estimator.get_params().items()
        self.estimator.set_params(**{key: 1 for key, value in params if key.split("__")[-1] == "n_jobs" and value})
        return self

    def _weight_argument(self, weight: Array | None) -> dict[str, Array]:
        from sklearn.pipeline import Pipeline
        from sklearn.utils.validation import has_fit_parameter

        if weight is None:
            return {}
        pipeline = isinstance(self.estimator, Pipeline)
        last = self.estimator.steps[-1][1] if pipeline else self.estimator
        if not has_fit_parameter(last, "sample_weight"):
            raise KglError(
                f"{type(last).__name__} takes no weights; leave weight out, or choose a model that takes them."
            )
        return {f"{self.estimator.steps[-1][0]}__sample_weight" if pipeline else "sample_weight": weight}

    def predict(self, X: Any) -> Array:
        """(n,) probabilities of class 1 or values, or (n, classes); classes that training never saw get 0."""
        if not self.classes:
            return np.asarray(self.estimator.predict(X), dtype=float).reshape(X.shape[0])
        shares = np.zeros((X.shape[0], self.classes))
        if len(self.seen) == 1:
            shares[:, self.seen] = 1.0
        else:
            shares[:, np.asarray(getattr(self.estimator, "classes_", self.seen), dtype=int)] = self._shares(X)
        return shares[:, 1] if self.classes == 2 else shares

    def _shares(self, X: Any) -> Array:
        """Probabilities; of an estimator without them, decisions squashed; without those, the predicted label."""
        if hasattr(self.estimator, "predict_proba"):
            found = np.asarray(self.estimator.predict_proba(X))
            expected = X.shape[0], len(getattr(self.estimator, "classes_", self.seen))
            fits = found.shape == expected and np.allclose(found.sum(axis=1), 1, rtol=0, atol=1e-3)
            if fits and (found > -1e-6).all():
                return found
            gave = f"predict_proba of {type(self.estimator).__name__} gave {found.shape}"
            ends = f"{gave} from {found.min():g} to {found.max():g}"
            raise KglError(f"{ends}; expected {expected} from 0 to 1, each row with a sum of 1.")
        if hasattr(self.estimator, "decision_function"):
            from scipy.special import expit, softmax

            decisions = np.asarray(self.estimator.decision_function(X))
            of_two = decisions.ndim == 1
            return np.asarray(np.stack([expit(-decisions), expit(decisions)], 1) if of_two else softmax(decisions, 1))
        return np.asarray(np.asarray(self.estimator.predict(X))[:, None] == self.seen, dtype=float)

    def save(self, path: Path) -> None:
        """Write with joblib: scikit-learn has no format of its own."""
        with replacing(path) as temporary:
            joblib.dump(self, temporary)

    @staticmethod
    def load(path: Path) -> Any:
        """The model in a file that `save` wrote."""
        return joblib.load(path)
