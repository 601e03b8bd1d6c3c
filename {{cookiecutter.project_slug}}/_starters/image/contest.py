"""What is special about this contest: how its rows are read, and what is done to predictions before a submission."""

import pandas as pd

from kgl.image.files import read_images


def load() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The training and the test rows, each with its picture's `path`. Join tables here; keep the column "__id__"."""
    return read_images("train"), read_images("test")


def postprocess(predictions: pd.DataFrame) -> pd.DataFrame:
    """The predictions of the test rows as they are submitted: columns id, then p_<label> each, or the targets."""
    return predictions
