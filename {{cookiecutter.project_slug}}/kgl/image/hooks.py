"""What pictures add to commands of every kind; `kgl.competition.of_kind` finds it by name."""

from kgl.image.files import PATH, equal_rows, image_rows
from kgl.image.layout import find_layout
from kgl.image.pretrained import pretrained_files

COLUMNS = (PATH,)  # of the rows, beside those of the contest's tables
__all__ = ["COLUMNS", "equal_rows", "find_layout", "image_rows", "pretrained_files"]
