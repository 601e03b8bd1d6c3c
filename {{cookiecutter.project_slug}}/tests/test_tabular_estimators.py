"""Estimators of one's own: what is no probability is refused before it enters predictions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from kgl.errors import KglError
from kgl.tabular.models import SklearnModel

X, CODES = np.zeros((6, 2)), np.arange(6) % 3


class Gives:
    """An estimator that predicts what it is given."""

    def __init__(self, found: Any) -> None:
        self.found = found

    def get_params(self, deep: bool = True) -> Mapping[str, Any]:
        return {}

    def set_params(self, **params: Any) -> "Gives":
        return self

    def fit(self, X: Any, y: Any) -> None:
        pass

    def predict_proba(self, X: Any) -> Any:
        return self.found


@pytest.mark.parametrize(
    ("found", "gave"),
    [
        (np.ones(6), r"\(6,\) from 1 to 1"),
        (np.full((6, 2), 0.5), r"\(6, 2\) from 0.5 to 0.5"),
        (np.tile([-1.0, 1.5, 0.5], (6, 1)), r"\(6, 3\) from -1 to 1.5"),
        (np.full((6, 3), 0.3), r"\(6, 3\) from 0.3 to 0.3"),
        (np.full((6, 3), np.nan), r"\(6, 3\) from nan to nan"),
    ],
)
def test_what_is_no_probability_is_refused(found: Any, gave: str) -> None:
    model = SklearnModel(Gives(found), 3).fit(X, CODES, None, [])
    with pytest.raises(KglError, match=rf"predict_proba of Gives gave {gave}; expected \(6, 3\) from 0 to 1, each row"):
        model.predict(X)


def test_probabilities_may_be_off_by_rounding() -> None:
    rounded = np.tile([0.3333, 0.3333, 0.3333], (6, 1))
    assert (SklearnModel(Gives(rounded), 3).fit(X, CODES, None, []).predict(X) == rounded).all()
