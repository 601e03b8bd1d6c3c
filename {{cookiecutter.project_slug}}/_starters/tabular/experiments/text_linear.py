"""Words and runs of letters of the texts, weighted, in a linear model."""

from kgl.tabular import Tabular

experiment = Tabular(model="text_linear")
