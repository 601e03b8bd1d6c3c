"""A support vector machine for values: strong on small tables, too slow for large ones."""

from kgl.tabular import Tabular

experiment = Tabular(model="svr")
