"""scikit-learn's boosted trees: another opinion of the same kind."""

from kgl.tabular import Tabular

experiment = Tabular(model="hist_gradient_boosting")
