"""What pictures add to commands of every kind; `kgl.competition.of_kind` finds it by name."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kgl.image.files import PATH, equal_rows, image_rows
from kgl.image.layout import find_layout
from kgl.paths import Workspace

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (PATH,)  # of the rows, beside those of the contest's tables
__all__ = ["COLUMNS", "equal_rows", "find_layout", "image_rows", "report_sections", "show_rows"]


def report_sections() -> dict[str, Any]:
    """Sections of `kgl report`, by title."""
    from kgl.image.sheets import SECTIONS

    return dict(SECTIONS)


def show_rows(workspace: Workspace, rows: "pd.DataFrame", notes: Sequence[str]) -> Any:
    """Small pictures of rows, each with its note, as Markup."""
    from kgl.image.sheets import show_rows

    return show_rows(workspace, rows, notes)
