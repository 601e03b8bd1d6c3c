"""Five hundred trees that vote, split at random: steady on small tables."""

from kgl.tabular import Tabular

experiment = Tabular(model="extra_trees")
