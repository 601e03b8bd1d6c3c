"""LightGBM through its own interface: parameters checked, rounds fixed or found on a holdout, saved as text."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgl.config import unknown_key
from kgl.errors import usage
from kgl.paths import write_text

Array = NDArray[Any]
OBJECTIVES = {
    "rmse": "regression",
    "rmse_log": "regression",
    "rmsle": "regression",
    "mae": "regression_l1",
    "mape": "mape",
}
MANY_ROWS = 100_000

CONSERVATIVE = {
    "learning_rate": 0.02,
    "num_leaves": 7,
    "min_child_samples": 10,
    "subsample": 0.8,
    "subsample_freq": 1,
    "colsample_bytree": 0.5,
    "reg_lambda": 5.0,
    "cat_smooth": 10.0,
}
LARGE = CONSERVATIVE | {
    "learning_rate": 0.03,
    "num_leaves": 31,
    "min_child_samples": 20,
    "colsample_bytree": 0.6,
    "reg_lambda": 1.0,
}


class LightGBM:
    """One boosted model of one output; `params` by LightGBM's or scikit-learn's names.

    Without `n_estimators` the rounds are those that were best on a holdout, at most 5000; `early_stopping_rounds` says
    how many more are tried (150).
    """

    suffix = ".txt"

    def __init__(self, params: Mapping[str, Any], *, seed: int, threads: int, classes: int, loss: str) -> None:
        self.params = dict(params)
        self.rounds: int | None = self._taken("num_iterations", None)
        self.patience = int(self._taken("early_stopping_round", 150))
        self.params |= {"seed": seed, "num_threads": threads, "deterministic": True, "verbosity": -1}
        self.params.setdefault(
            "objective", ("binary" if classes == 2 else "multiclass") if classes else OBJECTIVES[loss]
        )
        if classes > 2:
            self.params["num_class"] = classes

    def _taken(self, name: str, default: int | None) -> Any:
        """The parameter of that name, taken out of `params`, where it may stand by any of its names."""
        found = [self.params.pop(alias) for alias in _aliases(name) if alias in self.params]
        return int(found[-1]) if found else default

    def find_rounds(
        self,
        X: Array,
        y: Array,
        weight: Array | None,
        holdout: tuple[Array, Array, Array | None],
        categorical: list[int],
    ) -> None:
        """Set the number of rounds to that which is best on the holdout (X, y, weight)."""
        import lightgbm

        train = self._dataset(X, y, weight, categorical)
        valid = train.create_valid(holdout[0], label=holdout[1], weight=holdout[2])
        stop = lightgbm.early_stopping(self.patience, verbose=False)
        model = lightgbm.train(self.params, train, num_boost_round=5000, valid_sets=[valid], callbacks=[stop])
        self.rounds = max(1, model.best_iteration)
        print(f"rounds: {self.rounds}, the best on the holdout")

    def fit(self, X: Array, y: Array, weight: Array | None, categorical: list[int]) -> "LightGBM":
        """Train on all rows for the known number of rounds."""
        import lightgbm

        assert self.rounds is not None, "find_rounds comes first"
        self.booster = lightgbm.train(
            self.params, self._dataset(X, y, weight, categorical), num_boost_round=self.rounds
        )
        return self

    def _dataset(self, X: Array, y: Array, weight: Array | None, categorical: list[int]) -> Any:
        import lightgbm

        # which way of counting is faster depends on the rows; LightGBM would time both, and choose otherwise each run
        self.params["force_row_wise" if len(X) > MANY_ROWS else "force_col_wise"] = True
        return lightgbm.Dataset(X, label=y, weight=weight, categorical_feature=categorical, params=self.params)

    def predict(self, X: Array) -> Array:
        """(n,) probabilities of class 1 or values, or (n, classes)."""
        return np.asarray(self.booster.predict(X))

    def save(self, path: Path) -> None:
        """Write LightGBM's own text format."""
        write_text(path, self.booster.model_to_string())

    @staticmethod
    def load(path: Path) -> Any:
        """The model in a file that `save` wrote; it predicts."""
        import lightgbm

        return lightgbm.Booster(model_str=path.read_text(encoding="utf-8"))


def check_lightgbm_params(params: Mapping[str, Any]) -> None:
    """Refuse a parameter that LightGBM does not know; itself it only warns.

    Raises:
        KglError: a misspelled key, with the nearest right one, or one that the workspace sets itself (status 2).
    """
    from lightgbm.basic import _ConfigAliases

    known = _aliases(*_ConfigAliases._get_all_param_aliases())
    for key in params:
        if key not in known:
            raise unknown_key(key, known, "params of lightgbm")
        if key in _aliases("seed", "num_threads"):
            raise usage(f"params of lightgbm: '{key}' is set by the workspace; use seeds=(...) and --workers.")


def _aliases(*names: str) -> set[str]:
    from lightgbm.basic import _ConfigAliases

    found: set[str] = _ConfigAliases.get(*names)
    return found
