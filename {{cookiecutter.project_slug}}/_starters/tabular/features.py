"""Your features: functions of rows, and transformers that are fitted inside the fold.

A function gets the rows of train or of test (never the target) and looks at one row at a time:

    def rooms_per_person(rows: pd.DataFrame) -> pd.Series:
        return rows["rooms"] / rows["people"]

What has to learn from rows or from the target is a scikit-learn transformer: fit_transform(X, y) sees the training
part of a fold alone, transform the rows to predict. Name either in an experiment:

    Tabular(features=(rooms_per_person, ...))
"""

import pandas as pd


def missing_values(rows: pd.DataFrame) -> pd.Series:
    """How many of a row's cells are empty: cheap, and sometimes the only trace of how the data were collected."""
    return rows.isna().sum(axis=1)
