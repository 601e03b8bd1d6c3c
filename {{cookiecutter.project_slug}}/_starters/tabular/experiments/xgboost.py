"""XGBoost on levels encoded by the target: another opinion of the same kind."""

from kgl.tabular import Tabular

experiment = Tabular(model="xgboost")
