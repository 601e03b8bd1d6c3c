"""What pictures add to commands of every kind; `kgl.competition.of_kind` finds it by name."""

from kgl.image.files import equal_rows, image_rows
from kgl.image.layout import find_layout

__all__ = ["equal_rows", "find_layout", "image_rows"]
