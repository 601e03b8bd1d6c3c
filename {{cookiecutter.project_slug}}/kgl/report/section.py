"""What a section of the page is made of, and how it becomes HTML, on the page as in a notebook."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

Key = Sequence[tuple[str, str]]  # names of series beside their colours (c1, c2, c3)
TOLD = ("better", "worse", "noise", "rosy", "best", "look", "ok")
LONG = 36
NUMBER = re.compile(r"-|[+-]?[\d.,]+( ?%| s| ± [\d.]+)?")
TRAIN_AND_TEST: Key = (("train", "c1"), ("test", "c2"))


@dataclass(frozen=True)
class Picture:
    """An SVG with its title above and a line below."""

    svg: Markup
    title: str
    caption: str = ""
    key: Key = ()
    is_small: bool = False
    form: ClassVar[str] = "picture"


@dataclass(frozen=True)
class Table:
    """Cells are text or Markup; columns of numbers stand at the right."""

    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    title: str = ""
    form: ClassVar[str] = "table"

    @property
    def aligned(self) -> list[str]:
        """The class of each column."""
        filled = [[str(cell) for cell in column if str(cell)] for column in zip(*self.rows, strict=True)]
        return ["n" if cells and all(map(NUMBER.fullmatch, cells)) else "" for cells in filled]

    @staticmethod
    def look(cell: Any) -> str:
        """The class of a cell: a verdict in its colour, a long text in several lines."""
        first = str(cell).split(" ")[0]
        return first if first in TOLD else "long" if not isinstance(cell, Markup) and len(cell) > LONG else ""


@dataclass(frozen=True)
class Section:
    """A part of the page: a line that says what is seen, then pictures, tables and Markup."""

    lead: str = ""
    blocks: Sequence[Any] = ()
    key: Key = ()

    def _repr_html_(self) -> str:
        """For notebooks."""
        return str(environment().get_template("page.html.jinja").module.alone(self))  # type: ignore[attr-defined]


@cache
def environment() -> Environment:
    """Where the template lies; text is escaped."""
    return Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)


def share(value: float) -> Markup:
    """A percentage with a bar under it; nothing for nothing."""
    text = "< 1 %" if 0 < value < 0.01 else f"{value:.0%}".replace("%", " %")
    return Markup('<span class="bar" style="--v:{}">{}</span>').format(f"{value:.3f}", text) if value else Markup("")


def number(value: float) -> str:
    """At most four figures, large numbers with commas."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
