"""Features: functions of one row, computed once for all folds; transformers, fitted on the training part alone."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kgl.arrays import Array
from kgl.config import nearest
from kgl.errors import KglError, reason, usage

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


def _call(function: Callable[[pd.DataFrame], Any], rows: pd.DataFrame) -> pd.DataFrame:
    """The columns that a function makes; asked again for some rows, and for one, it must give them the same."""
    made = _call_once(function, rows)
    some = np.random.default_rng(0).permutation(len(rows))[: min(PROBED_ROWS, -(-len(rows) // 2))]
    for probe in (some, some[:1]):
        alone = _call_once(function, rows.iloc[probe].reset_index(drop=True))
        if not _same(made.iloc[probe], alone):
            raise KglError(
                f"feature '{feature_name(function)}' gives a row another value when other rows are absent: it looks at "
                "rows that may be validated; write it as a transformer (fit, transform), fitted inside the fold."
            )
    return made


def _call_once(function: Callable[[pd.DataFrame], Any], rows: pd.DataFrame) -> pd.DataFrame:
    name = feature_name(function)
    try:
        made = function(rows.copy(deep=False))
    except KeyError as error:
        lacks = f"asks for column {error}, which the rows lack (no target, no column of train only)"
        raise KglError(f"feature '{name}' {lacks}.{nearest(str(error.args[0]), map(str, rows))}") from error
    except (Exception, SystemExit) as error:  # of exit(), too
        raise KglError(f"feature '{name}' raises {type(error).__name__}: {reason(error)}.") from error
    if not isinstance(made, (pd.Series, pd.DataFrame)):
        raise KglError(f"feature '{name}' should return a Series or a DataFrame, got {type(made).__name__}.")
    if len(made) != len(rows):
        raise KglError(f"feature '{name}' returns {len(made)} rows for {len(rows)}; give one for each, in order.")
    if not made.index.equals(rows.index):
        raise KglError(f"feature '{name}' returns rows in another order or index; keep the index of the rows it gets.")
    return made.to_frame(name) if isinstance(made, pd.Series) else made


def _same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether values are equal, numbers but for rounding, however they are kept."""
    one, other = (made.reset_index(drop=True).astype("object") for made in (one, other))
    try:
        pd.testing.assert_frame_equal(one.mask(one.isna(), np.nan), other.mask(other.isna(), np.nan))
    except AssertionError:
        return False
    return True


def fit_transformers(features: Sequence[Any], rows: pd.DataFrame, y: Array) -> tuple[list[Any], pd.DataFrame]:
    """Fit fresh copies of the transformers on training rows; their columns for these rows come from fit_transform."""
    from sklearn.base import clone

    fitted = [clone(feature, safe=False) for feature in features if is_transformer(feature)]
    made = [_as_frame(i, one, one.fit_transform(rows, y), rows) for i, one in enumerate(fitted)]
    return fitted, pd.concat([rows, *made], axis=1)


def apply_transformers(fitted: Sequence[Any], rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the columns of fitted transformers."""
    made = [_as_frame(i, one, one.transform(rows), rows) for i, one in enumerate(fitted)]
    return pd.concat([rows, *made], axis=1)


def _as_frame(place: int, transformer: Any, made: Any, rows: pd.DataFrame) -> pd.DataFrame:
    """What a transformer gives (a table, a column, an array, sparse or not) as columns `Name-0_0`, `Name-0_1`, ..."""
    name = feature_name(transformer)
    if hasattr(made, "toarray"):
        made = made.toarray()
    frame = pd.DataFrame(made).infer_objects()
    if len(frame) != len(rows):
        raise KglError(f"transformer '{name}' returns {len(frame)} rows for {len(rows)}; give one for each, in order.")
    return frame.set_axis(rows.index, axis=0).set_axis([f"{name}-{place}_{i}" for i in range(frame.shape[1])], axis=1)
