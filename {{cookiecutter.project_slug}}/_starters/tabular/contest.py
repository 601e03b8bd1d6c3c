"""What is special about this contest: how its rows are read, and what is done to predictions before a submission."""

import pandas as pd

from kgl.tables import read_test, read_train


def load() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The training and the test rows. Join further files or drop rows here; keep the column "__id__"."""
    return read_train(), read_test()


def postprocess(predictions: pd.DataFrame) -> pd.DataFrame:
    """The predictions of the test rows as they are submitted: a column id, then p_<label> each, or the targets."""
    return predictions
