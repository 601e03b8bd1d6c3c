"""Experiments on tables: rows in, predictions out."""

from kgl.tabular.experiment import Tabular

__all__ = ["Tabular"]
