"""LightGBM with larger trees: better than the small ones where rows are many."""

from kgl.tabular import Tabular

experiment = Tabular(model="lightgbm_large")
