"""XGBoost and CatBoost in the seat of LightGBM: see kgl/tabular/boosting.py."""

import inspect
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from kgl.arrays import Array
from kgl.paths import replacing, write_text
from kgl.tabular.boosting import Boosted, Rows


class XGBoost(Boosted):
    """XGBoost on histograms; saved as JSON."""

    name = "xgboost"
    suffix = ".json"
    names = ("n_estimators", "early_stopping_rounds", "objective", "random_state", "n_jobs")
    fixed: ClassVar = {"verbosity": 0}
    objectives: ClassVar = {
        "binary": "binary:logistic",
        "multiclass": "multi:softprob",
        "rmse": "reg:squarederror",
        "mae": "reg:absoluteerror",
        "mape": "reg:absoluteerror",
    }
    synonyms = (
        ("n_estimators", "num_boost_round"),
        ("learning_rate", "eta"),
        ("reg_lambda", "lambda"),
        ("reg_alpha", "alpha"),
        ("gamma", "min_split_loss"),
        ("random_state", "seed"),
        ("n_jobs", "nthread"),
    )
    of_the_wrapper = ("callbacks", "enable_categorical", "feature_types", "importance_type", "missing")

    @classmethod
    def known(cls) -> set[str]:
        """The names of all parameters."""
        import xgboost

        return {*xgboost.XGBModel().get_params(), *sum(cls.synonyms, ())} - set(cls.of_the_wrapper)

    def boost(self, rows: Rows, categorical: list[int], rounds: int, holdout: Rows | None = None) -> tuple[Any, int]:
        """Train for that many rounds, or until the holdout gains nothing from `patience` further ones."""
        import xgboost

        def matrix(X: Array, y: Array | None, weight: Array | None, like: Any = None) -> Any:
            types = ["c" if i in categorical else "q" for i in range(X.shape[1])]
            options = {"feature_types": types, "enable_categorical": True, "nthread": self.params["n_jobs"]}
            return xgboost.QuantileDMatrix(X, y, weight=weight, ref=like, **options)

        params, train = self.params | ({"num_class": self.classes} if self.classes > 2 else {}), matrix(*rows)
        if not holdout:
            return xgboost.train(params, train, rounds, verbose_eval=False), rounds
        watch: dict[str, Any] = {"evals": [(matrix(*holdout, train), "holdout")], "verbose_eval": False}
        booster = xgboost.train(params, train, rounds, early_stopping_rounds=self.patience, **watch)
        return booster, booster.best_iteration + 1

    def predict(self, X: Array) -> Array:
        """(n,) probabilities of class 1 or values, or (n, classes)."""
        import xgboost

        types = self.booster.feature_types
        rows = xgboost.DMatrix(X, feature_types=types, enable_categorical=True)
        return np.asarray(self.booster.predict(rows), dtype=float)

    def save(self, path: Path) -> None:
        """Write XGBoost's own JSON."""
        write_text(path, self.booster.save_raw("json").decode())

    @staticmethod
    def read(path: Path) -> Any:
        """The library's own model in a file."""
        import xgboost

        return xgboost.Booster(model_file=bytearray(path.read_bytes()))


class CatBoost(Boosted):
    """CatBoost, which itself encodes levels by the target of earlier rows; saved as cbm."""

    name = "catboost"
    suffix = ".cbm"
    names = ("iterations", "early_stopping_rounds", "loss_function", "random_seed", "thread_count")
    fixed: ClassVar = {"logging_level": "Silent", "allow_writing_files": False, "allow_const_label": True}
    most_rounds = 1000
    patience = 100
    objectives: ClassVar = {
        "binary": "Logloss",
        "multiclass": "MultiClass",
        "rmse": "RMSE",
        "mae": "MAE",
        "mape": "MAPE",
    }
    synonyms = (
        ("iterations", "n_estimators", "num_boost_round", "num_trees"),
        ("early_stopping_rounds", "od_wait"),
        ("learning_rate", "eta"),
        ("loss_function", "objective"),
        ("random_seed", "random_state"),
        ("depth", "max_depth"),
        ("l2_leaf_reg", "reg_lambda"),
        ("rsm", "colsample_bylevel"),
        ("min_data_in_leaf", "min_child_samples"),
        ("max_leaves", "num_leaves"),
        ("border_count", "max_bin"),
    )

    @classmethod
    def known(cls) -> set[str]:
        """The names of all parameters."""
        import catboost

        return set(inspect.signature(catboost.CatBoostClassifier.__init__).parameters) - {"self"}

    @staticmethod
    def _pool(rows: Rows, categorical: list[int]) -> Any:
        """Rows as the library wants them: levels are whole numbers, a missing one of its own."""
        import catboost

        X, y, weight = rows
        table = pd.DataFrame(X).fillna(dict.fromkeys(categorical, -1)).astype(dict.fromkeys(categorical, "int32"))
        return catboost.Pool(table, label=y, weight=weight, cat_features=categorical)

    def boost(self, rows: Rows, categorical: list[int], rounds: int, holdout: Rows | None = None) -> tuple[Any, int]:
        """Train for that many rounds, or until the holdout gains nothing from `patience` further ones."""
        import catboost

        known = {"class_names": list(range(self.classes))} if self.classes else {}
        held = self._pool(holdout, categorical) if holdout else None
        watch = {"eval_set": held, "early_stopping_rounds": self.patience} if holdout else {}
        model = catboost.CatBoost({**self.params, **known, "iterations": rounds})
        model.fit(self._pool(rows, categorical), **watch)
        return model, model.tree_count_

    def predict(self, X: Array) -> Array:
        """(n,) probabilities of class 1 or values, or (n, classes)."""
        pool = self._pool((X, None, None), self.booster.get_cat_feature_indices())
        if not len(self.booster.classes_):
            return np.asarray(self.booster.predict(pool))
        shares = np.asarray(self.booster.predict(pool, prediction_type="Probability"))
        return shares[:, 1] if shares.shape[1] == 2 else shares

    def save(self, path: Path) -> None:
        """Write CatBoost's own binary format."""
        with replacing(path) as temporary:
            self.booster.save_model(str(temporary))

    @staticmethod
    def read(path: Path) -> Any:
        """The library's own model in a file."""
        import catboost

        return catboost.CatBoost().load_model(str(path))
