"""LightGBM on levels encoded by the target instead of native ones."""

from kgl.tabular import Tabular

experiment = Tabular(model="lightgbm_encoded")
