"""The experiment on tables: which columns and features, which model, which settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd

from kgl.config import nearest
from kgl.errors import usage
from kgl.experiment import Experiment, Part, Setting
from kgl.tables import Data
from kgl.tabular.catalogue import check_model, faster_params, find_recipe, place_in_baseline
from kgl.tabular.features import add_functions, is_transformer
from kgl.tabular.learner import FittedTabular, fit_tabular, load_tabular
from kgl.target import Target


@dataclass(frozen=True, kw_only=True)
class Tabular(Experiment):
    """A model on columns and features of a table.

    Args:
        model: a name of the catalogue (kgl/tabular/catalogue.py: constant, one_column, logistic, ridge, text_linear,
            lightgbm, xgboost, catboost, mlp, text_bayes, nbsvm, lightgbm_encoded, svr, extra_trees, random_forest,
            hist_gradient_boosting, realmlp)
            or any scikit-learn compatible estimator, your own too.
        params: settings of the model, over those of the catalogue. The rounds of LightGBM, XGBoost and CatBoost are
            found on a part of the training rows unless `n_estimators` is given (above 200,000 rows it is, as 300; None
            finds them there too).
        features: functions of rows, row by row, and transformers, fitted inside the fold.
        columns: the raw columns that are used; None for all.
        drop: raw columns that are left out of the model; features still see them.
        prepare: what the model's family wants ("auto"), or "linear" (gaps filled and flagged, scaled, one-hot),
            "forest" (the same unscaled), "native" (codes, gaps kept), "encoded" (levels as the target's mean in
            other rows, gaps kept), "text" (words and letters, sparse), "raw" (the table itself).
        weight: a function of rows that gives each its weight in training.

    Example:
        experiment = Tabular(model="lightgbm", params={"learning_rate": 0.03}, features=(title, deck), seeds=(0, 1, 2))
    """

    model: Any = "lightgbm"
    params: Mapping[str, Any] = field(default_factory=dict)
    features: tuple[Any, ...] = ()
    columns: tuple[str, ...] | None = None
    drop: tuple[str, ...] = ()
    prepare: Literal["auto", "linear", "forest", "native", "encoded", "text", "raw"] = "auto"
    weight: Callable[[pd.DataFrame], Any] | None = None
    kind: ClassVar[str] = "tabular"

    def check(self, target: Target, loss: str) -> None:
        """Refuse a model that does not do the task, and parameters and features that cannot be."""
        check_model(self.model, self.params, classification=target.one_label or target.task == "multilabel")
        for feature in self.features:
            if isinstance(feature, type) or not (callable(feature) or is_transformer(feature)):
                raise usage(f"features: expected functions of rows, or transformers such as Mine(), got {feature!r}.")

    def place_in_baseline(self, data: Data) -> float:
        """By what its model brings a minute; infinite where the model is not for these data."""
        return place_in_baseline(self.model, data)

    def faster(self, data: Data, level: int) -> dict[str, str]:
        """Boosting in larger steps, then in few of them."""
        found = faster_params(self.model, self.params, data, level)
        return {f"params.{name}": f"{value:g}" for name, value in found.items()}

    @property
    def gains_from_seeds(self) -> bool:
        """Whether the mean over several seeds is another model than one."""
        return not find_recipe(self.model).steady

    def prepare_rows(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows with the columns of the feature functions."""
        for name in (*self.drop, *(self.columns or ())):
            if name not in rows:
                raise usage(
                    f"drop or columns: the rows have no column '{name}'.{nearest(name, map(str, rows.columns))}"
                )
        return add_functions(rows, self.features)

    def model_columns(self, rows: pd.DataFrame, setting: Setting) -> list[str]:
        """The columns of prepared rows that the model learns from: features, and the raw columns that are asked for."""
        raw = set(setting.raw_columns)
        wanted = raw if self.columns is None else set(self.columns)
        skipped = {*setting.id_columns, *self.drop}
        return [c for c in map(str, rows) if c not in skipped and (c not in raw or c in wanted)]

    def fit(self, part: Part, setting: Setting) -> FittedTabular:
        """Train on one part of the rows; see `kgl.tabular.learner`."""
        return fit_tabular(self, part, setting)

    def load(self, folder: Path) -> FittedTabular:
        """Read a saved model."""
        return load_tabular(folder)
