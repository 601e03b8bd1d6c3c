"""Boosted trees through the libraries' own interfaces: parameters checked, rounds found on a holdout, native files."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kgl.arrays import Array
from kgl.config import unknown_key
from kgl.errors import KglError, usage
from kgl.paths import write_text

Rows = tuple[Array, Array | None, Array | None]  # X with gaps as NaN and levels as codes, y, weights


class Boosted(ABC):
    """One boosted model of one output; `params` by any of the names that the library knows, see `synonyms`.

    Without a number of rounds they are those that were best on a holdout, at most `most_rounds`; early_stopping_rounds
    says how many more are tried.

    Args:
        params: settings.
        seed, threads: set by the workspace.
        classes: how many in all, those absent from training too; 0 for a regression.
        loss: what to minimise where values are predicted.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    names: ClassVar[tuple[str, str, str, str, str]]  # what it calls rounds, patience, objective, seed and threads
    fixed: ClassVar[Mapping[str, Any]]
    objectives: ClassVar[Mapping[str, str]]  # by "binary", "multiclass" or the loss; else the one of "rmse"
    synonyms: ClassVar[tuple[tuple[str, ...], ...]] = ()
    most_rounds: ClassVar[int] = 5000
    patience: int = 150

    def __init__(self, params: Mapping[str, Any], *, seed: int, threads: int, classes: int, loss: str) -> None:
        rounds, patience, objective, seeded, threaded = self.names
        self.params, self.classes = dict(params), classes
        self.rounds: int | None = self._taken(rounds, None)
        self.patience = self._taken(patience, self.patience)
        self.params |= {**self.fixed, seeded: seed, threaded: threads}
        if not self.aliases(objective) & self.params.keys():
            kind = ("binary" if classes == 2 else "multiclass") if classes else loss
            self.params[objective] = self.objectives.get(kind, self.objectives["rmse"])

    def _taken(self, name: str, default: int | None) -> Any:
        """The parameter of that name, taken out of `params`, where it may stand by any of its names."""
        found = [self.params.pop(alias) for alias in self.aliases(name) if alias in self.params]
        return default if not found or found[-1] is None else int(found[-1])

    @classmethod
    def merged(cls, defaults: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
        """`params` over `defaults`, by whatever names."""
        return {name: x for name, x in defaults.items() if not cls.aliases(name) & params.keys()} | dict(params)

    @classmethod
    def check(cls, params: Mapping[str, Any]) -> None:
        """Refuse a parameter that the library does not know; itself it may only warn.

        Raises:
            KglError: a misspelled key, with the nearest right one, or one that the workspace sets itself (status 2).
        """
        known, ours = cls.known(), cls.aliases(cls.names[3]) | cls.aliases(cls.names[4])
        for key in params:
            if key in ours:
                raise usage(f"params of {cls.name}: '{key}' is set by the workspace; use seeds=(...) and --workers.")
            if key not in known:
                raise unknown_key(key, known, f"params of {cls.name}")

    def find_rounds(self, rows: Rows, holdout: Rows, categorical: list[int]) -> None:
        """Set the number of rounds to that which is best on the holdout."""
        self.rounds = max(1, self.boost(rows, categorical, self.most_rounds, holdout)[1])
        print(f"rounds: {self.rounds}, the best on the holdout")

    def fit(self, X: Array, y: Array, weight: Array | None, categorical: list[int]) -> "Boosted":
        """Train on all rows for the known number of rounds."""
        assert self.rounds is not None, "find_rounds comes first"
        self.booster, _ = self.boost((X, y, weight), categorical, self.rounds)
        return self

    @classmethod
    def load(cls, path: Path) -> "Boosted":
        """The model in a file that `save` wrote; it predicts."""
        model = cls.__new__(cls)
        model.booster = cls.read(path)
        return model

    @classmethod
    def aliases(cls, name: str) -> set[str]:
        """All names of a parameter."""
        return next((set(names) for names in cls.synonyms if name in names), {name})

    @classmethod
    @abstractmethod
    def known(cls) -> set[str]:
        """The names of all parameters."""

    @abstractmethod
    def boost(self, rows: Rows, categorical: list[int], rounds: int, holdout: Rows | None = None) -> tuple[Any, int]:
        """Train for that many rounds, or until the holdout gains nothing from `patience` further ones.

        Returns:
            the library's own model, and how many rounds were best on the holdout.
        """

    @abstractmethod
    def predict(self, X: Array) -> Array:
        """(n,) probabilities of class 1 or values, or (n, classes)."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write the library's own format."""

    @staticmethod
    @abstractmethod
    def read(path: Path) -> Any:
        """The library's own model in a file."""


class LightGBM(Boosted):
    """LightGBM; saved as text."""

    name = "lightgbm"
    suffix = ".txt"
    names = ("num_iterations", "early_stopping_round", "objective", "seed", "num_threads")
    fixed: ClassVar = {"deterministic": True, "verbosity": -1}
    objectives: ClassVar = {
        "binary": "binary",
        "multiclass": "multiclass",
        "rmse": "regression",
        "mae": "regression_l1",
        "mape": "mape",
    }

    @classmethod
    def aliases(cls, name: str) -> set[str]:
        """All names of a parameter."""
        from lightgbm.basic import _ConfigAliases

        return {name, *_ConfigAliases.get_by_alias(name)}

    @classmethod
    def known(cls) -> set[str]:
        """The names of all parameters."""
        from lightgbm.basic import _ConfigAliases

        return set(_ConfigAliases.get(*_ConfigAliases._get_all_param_aliases()))

    def boost(self, rows: Rows, categorical: list[int], rounds: int, holdout: Rows | None = None) -> tuple[Any, int]:
        """Train for that many rounds, or until the holdout gains nothing from `patience` further ones."""
        import lightgbm

        X, y, weight = rows
        self.params["force_col_wise"] = True  # LightGBM would time both ways of counting, and choose otherwise each run
        if self.classes > 2:
            self.params["num_class"] = self.classes
        train = lightgbm.Dataset(X, label=y, weight=weight, categorical_feature=categorical, params=self.params)
        watch: dict[str, Any] = {}
        if holdout:
            held, truth, its_weight = holdout
            watch["valid_sets"] = [train.create_valid(held, label=truth, weight=its_weight)]
            watch["callbacks"] = [lightgbm.early_stopping(self.patience, verbose=False)]
        booster = lightgbm.train(self.params, train, rounds, **watch)
        return booster, booster.best_iteration

    def predict(self, X: Array) -> Array:
        """(n,) probabilities of class 1 or values, or (n, classes)."""
        return np.asarray(self.booster.predict(X))

    def save(self, path: Path) -> None:
        """Write LightGBM's own text format."""
        write_text(path, self.booster.model_to_string())

    @staticmethod
    def read(path: Path) -> Any:
        """The library's own model in a file."""
        import lightgbm

        if "\nend of trees\n" not in (text := path.read_text(encoding="utf-8")):
            raise KglError(f"{path.name} is cut off")  # LightGBM itself would end the process
        return lightgbm.Booster(model_str=text)
