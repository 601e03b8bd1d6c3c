"""All women live, all men die: the rule that every model has to beat."""

from kgl.tabular import Tabular

experiment = Tabular(model="one_column", params={"column": "Sex"})
