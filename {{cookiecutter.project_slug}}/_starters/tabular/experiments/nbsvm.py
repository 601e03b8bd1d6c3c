"""A linear model on words scaled by naive Bayes: Wang and Manning, "Baselines and Bigrams" (2012)."""

from kgl.tabular import Tabular

experiment = Tabular(model="nbsvm")
