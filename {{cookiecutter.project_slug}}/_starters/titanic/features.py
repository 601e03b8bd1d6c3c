"""Features of the passengers. Functions look at each row alone; transformers learn from the training rows of a fold."""

from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

COMMON_TITLES = ["Master", "Miss", "Mr", "Mrs"]
SAME_TITLE = {"Mlle": "Miss", "Ms": "Miss", "Mme": "Mrs"}


def title(rows: pd.DataFrame) -> pd.Series:
    """The title in the name: "Braund, Mr. Owen Harris" gives "Mr". It tells boys ("Master") from men without an age."""
    titles = rows["Name"].str.extract(r", ([^.]+)\.", expand=False).replace(SAME_TITLE)
    return titles.where(titles.isin(COMMON_TITLES), "rare").rename("title")


def family_size(rows: pd.DataFrame) -> pd.Series:
    """Siblings, spouse, parents and children on board, and the passenger."""
    return (rows["SibSp"] + rows["Parch"] + 1).rename("family_size")


def deck(rows: pd.DataFrame) -> pd.Series:
    """The letter of the cabin, "none" where no cabin is known."""
    return rows["Cabin"].str[0].fillna("none").rename("deck")


def surname_and_fare(rows: pd.DataFrame) -> pd.Series:
    """A key for families that bought several tickets: they share the surname and the fare."""
    return rows["Name"].str.split(",").str[0] + " " + rows["Fare"].astype(str)


def is_woman_or_boy(rows: pd.DataFrame) -> pd.Series:
    """Those who were let into the boats first, and who lived or died with their group. Boys are called "Master"."""
    return (rows["Sex"] == "female") | (title(rows) == "Master")


class GroupSurvival(TransformerMixin, BaseEstimator):
    """How the women and boys of a passenger's travelling group fared, from the training rows of the fold alone.

    A group shares a ticket, or a surname and a fare. The value is (lived - died) / (known + 1) over the group's women
    and boys with a known fate, the passenger left out: near 1 where all lived, near -1 where all died, 0 where nothing
    is known. It is 0 for men too: whether they lived hardly depended on their group.
    """

    def fit(self, X: pd.DataFrame, y: NDArray[Any]) -> Self:
        """Remember the groups of the training rows and the fates of their women and boys (+1 lived, -1 died)."""
        counts = is_woman_or_boy(X).to_numpy()
        self.ticket_ = X["Ticket"].to_numpy(dtype=object)
        self.family_ = surname_and_fare(X).to_numpy(dtype=object)
        self.known_ = counts.astype(float)
        self.fate_ = np.where(counts, 2.0 * np.asarray(y) - 1.0, 0.0)
        return self

    def fit_transform(self, X: pd.DataFrame, y: NDArray[Any]) -> pd.DataFrame:
        """The feature of the training rows: each row's own label is left out, or the feature would tell it."""
        together = self.fit(X, y)._together(X)
        np.fill_diagonal(together, False)
        return self._survival(X, together)

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """The feature of rows that were not trained on."""
        return self._survival(X, self._together(X))

    def _together(self, X: pd.DataFrame) -> NDArray[np.bool_]:
        """Which rows (down) travelled with which training rows (across)."""
        ticket = X["Ticket"].to_numpy(dtype=object)[:, None]
        family = surname_and_fare(X).to_numpy(dtype=object)[:, None]
        return np.asarray((ticket == self.ticket_) | (family == self.family_))

    def _survival(self, X: pd.DataFrame, together: NDArray[np.bool_]) -> pd.DataFrame:
        survival = together @ self.fate_ / (together @ self.known_ + 1.0)
        return pd.DataFrame({"group_survival": np.where(is_woman_or_boy(X), survival, 0.0)}, index=X.index)
