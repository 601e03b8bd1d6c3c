"""Ridge regression, its penalty chosen inside the fold: weak alone, and the most useful different member of a blend."""

from kgl.tabular import Tabular

experiment = Tabular(model="ridge")
