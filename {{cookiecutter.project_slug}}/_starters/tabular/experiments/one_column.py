"""The mean of the target by level of the one best column: the floor that every model has to beat."""

from kgl.tabular import Tabular

experiment = Tabular(model="one_column")
