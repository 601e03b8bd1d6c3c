"""Logistic regression on the columns as they come: hardly above the gender rule, because no column tells a boy."""

from kgl.tabular import Tabular

experiment = Tabular(
    model="logistic",
    drop=("Name", "Ticket", "Cabin"),
)
