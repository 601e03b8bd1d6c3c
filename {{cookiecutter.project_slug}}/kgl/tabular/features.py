"""Features: functions of one row, computed once for all folds; transformers, fitted on the training part alone."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kgl.errors import KglError, usage

Array = NDArray[Any]
PROBED_ROWS = 500


def is_transformer(feature: Any) -> bool:
    """Whether a feature is fitted (a scikit-learn transformer) rather than a function of rows."""
    return hasattr(feature, "transform") and hasattr(feature, "fit_transform")


def feature_name(feature: Any) -> str:
    """How messages call a feature."""
    return str(getattr(feature, "__name__", type(feature).__name__))


def add_functions(rows: pd.DataFrame, features: Sequence[Any]) -> pd.DataFrame:
    """The rows with a column for each feature function (several where it returns a table).

    Args:
        rows: train or test, without the target.
        features: functions and transformers; transformers are passed over.

    Raises:
        KglError: a function that raises, returns another length or index, an existing name, or looks at other rows.
    """
    made = [_call(function, rows) for function in features if not is_transformer(function)]
    together = pd.concat([rows, *made], axis=1)
    if not together.columns.is_unique:
        name = together.columns[together.columns.duplicated()][0]
        raise usage(f"two features, or a feature and a column, are called '{name}'; rename one.")
    return together


def made_columns(rows: pd.DataFrame, features: Sequence[Any]) -> list[str]:
    """The names of the columns that `add_functions` adds, found on one row."""
    return [str(c) for f in features if not is_transformer(f) for c in _call_once(f, rows.head(1)).columns]


def _call(function: Callable[[pd.DataFrame], Any], rows: pd.DataFrame) -> pd.DataFrame:
    made = _call_once(function, rows)
    probe = rows.sample(min(PROBED_ROWS, max(1, len(rows) // 2)), random_state=0)
    alone = _call_once(function, probe.reset_index(drop=True))
    if not _same(made.loc[probe.index].reset_index(drop=True), alone):
        raise KglError(
            f"feature '{feature_name(function)}' gives a row another value when other rows are absent, so it looks at rows "
            "that may be validated; write it as a transformer (fit, transform), which is fitted inside the fold."
        )
    return made


def _call_once(function: Callable[[pd.DataFrame], Any], rows: pd.DataFrame) -> pd.DataFrame:
    name = feature_name(function)
    try:
        made = function(rows.copy(deep=False))
    except KeyError as error:
        raise KglError(f"feature '{name}' asks for column {error}, which the rows lack (no targets, none of train only).") from error
    except Exception as error:
        raise KglError(f"feature '{name}' raises {type(error).__name__}: {error}.") from error
    if not isinstance(made, (pd.Series, pd.DataFrame)):
        raise KglError(f"feature '{name}' should return a Series or a DataFrame, got {type(made).__name__}.")
    if len(made) != len(rows) or not made.index.equals(rows.index):
        raise KglError(f"feature '{name}' returns {len(made)} rows for {len(rows)}, or another index; keep the rows as they are.")
    return made.to_frame(name) if isinstance(made, pd.Series) else made


def _same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    if list(one.columns) != list(other.columns):
        return False
    return all(_same_column(one[column], other[column]) for column in one)


def _same_column(one: pd.Series, other: pd.Series) -> bool:
    if pd.api.types.is_numeric_dtype(one) and pd.api.types.is_numeric_dtype(other):
        return bool(np.allclose(one.astype(float), other.astype(float), equal_nan=True))
    missing = one.isna().to_numpy()
    return bool((missing == other.isna().to_numpy()).all() and (one.astype(str) == other.astype(str))[~missing].all())


def fit_transformers(features: Sequence[Any], rows: pd.DataFrame, y: Array) -> tuple[list[Any], pd.DataFrame]:
    """Fit fresh copies of the transformers on training rows; their columns for these rows come from fit_transform."""
    from sklearn.base import clone

    fitted = [clone(feature) for feature in features if is_transformer(feature)]
    made = [_as_frame(one, one.fit_transform(rows, y), rows) for one in fitted]
    return fitted, pd.concat([rows, *made], axis=1)


def apply_transformers(fitted: Sequence[Any], rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the columns of fitted transformers."""
    return pd.concat([rows, *(_as_frame(one, one.transform(rows), rows) for one in fitted)], axis=1)


def _as_frame(transformer: Any, made: Any, rows: pd.DataFrame) -> pd.DataFrame:
    """A transformer's output as columns `Name_0`, `Name_1`, ... or its own, whatever it gives."""
    name = feature_name(transformer)
    if hasattr(made, "toarray"):
        made = made.toarray()
    if isinstance(made, pd.Series):
        made = made.to_frame()
    values = made.to_numpy() if isinstance(made, pd.DataFrame) else np.asarray(made)
    values = values.reshape(len(values), -1)
    if len(values) != len(rows):
        raise KglError(f"transformer '{name}' returns {len(values)} rows for {len(rows)}.")
    frame = made.set_axis(rows.index, axis=0) if isinstance(made, pd.DataFrame) else pd.DataFrame(values, index=rows.index)
    return frame.set_axis([f"{name}_{i}" for i in range(values.shape[1])], axis=1)
