"""LightGBM with small, slow trees: the best single model below some 20,000 rows."""

from kgl.tabular import Tabular

experiment = Tabular(model="lightgbm")
