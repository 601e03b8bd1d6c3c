"""Logistic regression that knows how the travelling group fared: one honest feature is worth more than any model."""

from features import GroupSurvival, family_size, title
from kgl.tabular import Tabular

experiment = Tabular(
    model="logistic",
    columns=("Pclass", "Sex", "Age"),
    features=(title, family_size, GroupSurvival()),
)
