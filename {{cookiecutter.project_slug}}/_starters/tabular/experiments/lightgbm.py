"""LightGBM: small, slow trees below some 20,000 rows, larger ones above; the best single model of most tables."""

from kgl.tabular import Tabular

experiment = Tabular(model="lightgbm")
