"""RealMLP, a neural net with tuned defaults: joins where pytabkit, and so torch, is installed (uv add pytabkit)."""

from kgl.tabular import Tabular

experiment = Tabular(model="realmlp")
