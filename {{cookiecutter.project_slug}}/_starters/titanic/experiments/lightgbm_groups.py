"""LightGBM that knows how the travelling group fared: women and boys of a group lived or died together."""

from features import GroupSurvival, family_size, title
from kgl.tabular import Tabular

experiment = Tabular(
    model="lightgbm",
    params={"n_estimators": 300},
    columns=("Pclass", "Sex", "Age"),  # few: fare and port only add guesses about single passengers
    features=(title, family_size, GroupSurvival()),
    seeds=(0, 1, 2),
)
