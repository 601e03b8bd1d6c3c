"""CatBoost: it encodes levels by the target of earlier rows itself, and is strong where they are many."""

from kgl.tabular import Tabular

experiment = Tabular(model="catboost")
