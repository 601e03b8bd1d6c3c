"""Logistic regression: weak alone, and the most useful different member of a blend."""

from kgl.tabular import Tabular

experiment = Tabular(model="logistic")
