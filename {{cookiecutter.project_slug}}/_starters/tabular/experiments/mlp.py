"""Four small neural nets, averaged: weaker than trees alone, and a member of another kind for the blend."""

from kgl.tabular import Tabular

experiment = Tabular(model="mlp")
