"""Experiments on pictures: networks of timm, trained or frozen."""

from kgl.image.embeddings import Embeddings
from kgl.image.experiment import Vision

__all__ = ["Embeddings", "Vision"]
