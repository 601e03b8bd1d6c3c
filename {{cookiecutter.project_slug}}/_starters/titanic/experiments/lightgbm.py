"""LightGBM, small trees that mend each other's errors: no better than the forest, because it sees no more."""

from features import deck, family_size, title
from kgl.tabular import Tabular

experiment = Tabular(
    model="lightgbm",
    params={"n_estimators": 300},
    features=(title, family_size, deck),
    drop=("Name", "Ticket", "Cabin"),
    seeds=(0, 1, 2),
)
