"""Fit and predict for tables: transformers, preparation, and one model for each output."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pandas as pd

from kgl.arrays import Array
from kgl.errors import KglError
from kgl.experiment import Part, Setting
from kgl.paths import replacing
from kgl.tabular.boosting import Boosted
from kgl.tabular.catalogue import BOOSTED, build_model, find_recipe
from kgl.tabular.encoding import Encoded
from kgl.tabular.features import apply_transformers, feature_name, fit_transformers
from kgl.tabular.models import SklearnModel
from kgl.tabular.prepare import Dense, Native, Sparse
from kgl.target import Target

if TYPE_CHECKING:
    from kgl.tabular.experiment import Tabular

HIST_LEVELS = 254
SUFFIXES: dict[str, Any] = {**{cls.suffix: cls for cls in BOOSTED.values()}, SklearnModel.suffix: SklearnModel}
# what values are learnt as, and back: with a loss on logarithms, squared errors are right on the logarithm
SCALES: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "rmse_log": (np.log, np.exp),
    "rmsle": (np.log1p, np.expm1),
}


@dataclass
class Columns:
    """From prepared rows to what a model takes: fitted on training rows, the same for all others."""

    transformers: list[Any]
    names: list[str]
    preparer: Any
    stacked: list[str]  # predictions of other runs, which are learnt from on the scale of what is learnt
    loss: str

    @classmethod
    def fit(cls, experiment: "Tabular", part: Part, setting: Setting) -> tuple["Columns", Any]:
        """Fit on the rows of a part; also what the model is to learn from."""
        transformers, rows = fit_transformers(experiment.features, part.rows, part.y)
        names = experiment.model_columns(rows, setting)
        preparer = _preparer(experiment)
        y = np.column_stack(_outputs(part.y, setting.target, _scale(setting.loss)[0]))
        stacked = [name for name in names if name.partition(":")[0] in experiment.stack_on]
        columns = cls(transformers, names, preparer, stacked, setting.loss)
        return columns, preparer.fit_transform(columns.pick(rows), y)

    def transform(self, rows: pd.DataFrame) -> Any:
        """The same for other rows."""
        return self.preparer.transform(self.pick(apply_transformers(self.transformers, rows)))

    def pick(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The columns that are learnt from; the others are dropped, since choosing these would copy them."""
        rows = rows.drop(columns=rows.columns.difference(self.names))
        with np.errstate(all="ignore"):  # no logarithm: missing
            return rows.assign(**{name: _scale(self.loss)[0](rows[name].to_numpy()) for name in self.stacked})

    @property
    def categorical(self) -> list[int]:
        """Which columns hold codes of levels."""
        return self.preparer.categorical if isinstance(self.preparer, Native) else []


def _preparer(experiment: "Tabular") -> Any:
    from sklearn.preprocessing import FunctionTransformer  # without a function: the rows as they are

    recipe = find_recipe(experiment.model)
    way = recipe.prepare if experiment.prepare == "auto" else experiment.prepare
    if way == "native":
        return Native(None if recipe.classifier in BOOSTED else HIST_LEVELS)
    others: dict[str, Any] = {"raw": FunctionTransformer, "encoded": Encoded, "text": Sparse}
    return others[way]() if way in others else Dense(scale=way == "linear")


@dataclass
class FittedTabular:
    """A trained table model; values are kept between `bounds`, on the scale on which they are learnt."""

    columns: Columns
    models: list[Any]
    target: Target
    loss: str
    bounds: tuple[Array, Array]

    def predict(self, rows: pd.DataFrame) -> Array:
        """(n, columns) predictions in the order of `Target.columns`."""
        X = self.columns.transform(rows)
        outputs = [np.asarray(model.predict(X)) for model in self.models]
        if self.target.task == "binary":
            return np.column_stack([1 - outputs[0], outputs[0]])
        if self.target.task == "multiclass":
            return outputs[0] if outputs[0].ndim == 2 else np.column_stack([1 - outputs[0], outputs[0]])
        low, high = self.bounds
        return np.asarray(_scale(self.loss)[1](np.column_stack(outputs).clip(low, high)))

    def save(self, folder: Path) -> None:
        """Columns through joblib, models in their library's own format."""
        for i, model in enumerate(self.models):
            model.save(folder / f"model-{i}{model.suffix}")
        with replacing(folder / "columns.joblib") as temporary:
            joblib.dump((self.columns, self.target, self.loss, self.bounds), temporary)


def load_tabular(folder: Path) -> FittedTabular:
    """Read what `FittedTabular.save` wrote.

    Raises:
        KglError: the folder holds no saved model.
    """
    if not (folder / "columns.joblib").is_file():
        raise KglError(f"{folder} holds no saved model; train the run again.")
    columns, target, loss, bounds = joblib.load(folder / "columns.joblib")
    paths = sorted(folder.glob("model-*"), key=lambda path: int(path.stem.removeprefix("model-")))
    return FittedTabular(columns, [SUFFIXES[path.suffix].load(path) for path in paths], target, loss, bounds)


def fit_tabular(experiment: "Tabular", part: Part, setting: Setting) -> FittedTabular:
    """Train one experiment on one part of the rows.

    Where rounds are open they are found on the holdout by columns and models fitted without it; then all rows are used.
    """
    target, forward = setting.target, _scale(setting.loss)[0]
    outputs = _outputs(part.y, target, forward)
    classes = len(target.labels) if target.one_label else 2 if target.task == "multilabel" else 0
    models = [_model(experiment, setting, classes, y) for y in outputs]
    weight = _weights(experiment, part, setting)
    open_models = [(i, model) for i, model in enumerate(models) if isinstance(model, Boosted) and model.rounds is None]
    if open_models:
        if not part.holdout.any():  # two folds, or all rows of one time
            part = replace(part, holdout=np.arange(len(part.y)) % 5 == 4)
        inside = ~part.holdout
        if not (inside.any() and part.holdout.any()):
            raise KglError("no rows are left to choose the number of rounds on; set n_estimators in params.")
        columns, X = Columns.fit(experiment, part.only(inside), setting)
        held = columns.transform(part.only(part.holdout).rows)
        for i, model in open_models:
            y, (w, v) = outputs[i], (None, None) if weight is None else (weight[inside], weight[part.holdout])
            model.find_rounds((X, y[inside], w), (held, y[part.holdout], v), columns.categorical)
    columns, X = Columns.fit(experiment, part, setting)
    fitted = [model.fit(X, y, weight, columns.categorical) for model, y in zip(models, outputs, strict=True)]
    return FittedTabular(columns, fitted, target, setting.loss, _bounds(np.column_stack(outputs)))


def _bounds(y: Array) -> tuple[Array, Array]:
    """Between which values are predicted: half a spread beyond those of training, none below 0 where it had none.

    A linear model may answer a single odd row with a number that spoils the mean of all.
    """
    low, high = y.min(axis=0), y.max(axis=0)
    margin = (high - low) / 2
    return np.where(low >= 0, np.maximum(low - margin, 0), low - margin), high + margin


def _model(experiment: "Tabular", setting: Setting, classes: int, y: Array) -> Boosted | SklearnModel:
    """A fresh model; where training knows a single class, one that is certain of it and trains nothing."""
    from sklearn.dummy import DummyClassifier

    made = build_model(experiment.model, experiment.params, setting, classes, rows=len(y))
    if isinstance(made, Boosted) and classes and (y == y[0]).all():
        return SklearnModel(DummyClassifier(), classes)
    return made


def _scale(loss: str) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    return SCALES.get(loss.removeprefix("mean_"), (np.asarray, np.asarray))


def _outputs(y: Array, target: Target, forward: Callable[[Array], Array]) -> list[Array]:
    """One array for each model: all labels in one, or a column each."""
    if target.one_label:
        return [y]
    table = y if y.ndim == 2 else y[:, None]
    if target.task == "multilabel":
        return list(table.T)
    with np.errstate(all="ignore"):
        values = forward(table)
    if not np.isfinite(values).all():
        raise KglError(f"{int((~np.isfinite(values)).sum())} values of the target have no logarithm; use metric rmse.")
    return list(values.T)


def _weights(experiment: "Tabular", part: Part, setting: Setting) -> Array | None:
    """The user's weights of the rows, times those that give each class the same sum where the loss is balanced."""
    weight = None
    if experiment.weight is not None:
        weight = np.asarray(experiment.weight(part.rows), dtype=float)
        if weight.shape != (len(part.y),) or not np.isfinite(weight).all() or (weight < 0).any():
            name = feature_name(experiment.weight)
            raise KglError(f"weight '{name}' should return a number of 0 or more for each of {len(part.y)} rows.")
    if setting.loss.endswith("balanced_logloss") and setting.target.one_label:
        count = np.bincount(part.y, minlength=len(setting.target.labels))
        balance = len(part.y) / (np.count_nonzero(count) * np.maximum(count, 1))
        weight = balance[part.y] if weight is None else weight * balance[part.y]
    return weight
