"""Naive Bayes on words and runs of letters: quick, and of another mind than the others."""

from kgl.tabular import Tabular

experiment = Tabular(model="text_bayes")
