"""Small SVG pictures: read at a phone's width, in colours that follow light and dark, with the page's own letters."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

from kgl.arrays import Array

Series = Mapping[str, Array]
WIDTH = 360  # units: about the pixels of a phone's column
MOST_POINTS = 1500
INK, MUTED, LINE, PAPER = "#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04"
COLOURS = FIRST, SECOND, THIRD = "#0a0c01", "#0a0c02", "#0a0c03"
# matplotlib writes the colours above, which occur nowhere else; the page's style sheet says what they are
VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", PAPER: "paper", FIRST: "c1", SECOND: "c2", THIRD: "c3"}
STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "kgl", "path.simplify_threshold": 0.5, "figure.dpi": 72,
    "font.family": "DejaVu Sans", "font.size": 10.5, "text.color": INK, "axes.labelcolor": MUTED,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "axes.edgecolor": LINE,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": LINE, "grid.linewidth": 0.7,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
    "xtick.color": LINE, "ytick.color": LINE, "xtick.labelcolor": MUTED, "ytick.labelcolor": MUTED,
    "xtick.major.size": 0, "ytick.major.size": 0, "lines.linewidth": 1.6, "axes.formatter.limits": (-4, 6),
    "axes.formatter.useoffset": False,
}  # fmt: skip


def _axes(height: float, x: str = "", y: str = "") -> Any:
    """Empty axes; the unit of y stands above them, where it is read without turning one's head."""
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
        axes = figure.add_subplot()
        axes.set_xlabel(x)
        axes.set_title(y, loc="left", color=MUTED, fontsize=10.5)
        axes.locator_params(axis="x", nbins=6)
        axes.locator_params(axis="y", nbins=5)
    return axes


def _svg(axes: Any) -> Markup:
    file = io.StringIO()
    with rc_context(STYLE):
        nothing: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        axes.get_figure(root=True).savefig(file, format="svg", metadata=nothing)
    text = file.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|(?<=<g) id=\"[^\"]*\"", "", text, flags=re.DOTALL)
    text = re.sub(r'width="[\d.]+pt" height="[\d.]+pt" ', "", text[text.index("<svg") :], count=1)
    text = re.sub(r"font: ([^;']*)'[^;\"]*", r"font: \1var(--sans)", text)
    for colour, name in VARIABLES.items():
        text = text.replace(colour, f"var(--{name})")
    return Markup(text)


def short(text: object, most: int = 20) -> str:
    """A label that fits."""
    word = str(text)
    return word if len(word) <= most else word[: most - 1] + "…"


def bars(labels: Sequence[object], series: Series, unit: str, errors: Array | None = None) -> Markup:
    """Horizontal bars, the first label on top; several series lie under each other in a group."""
    wide = 0.8 / len(series)
    axes = _axes(34 + len(labels) * (9 + 13 * len(series)), unit)
    for i, (values, colour) in enumerate(zip(series.values(), COLOURS, strict=False)):
        place = np.arange(len(labels)) + (i - (len(series) - 1) / 2) * wide
        axes.barh(place, values, wide * 0.9, color=colour, xerr=errors, ecolor=MUTED)
    axes.set_yticks(range(len(labels)), [short(label) for label in labels], color=INK)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    return _svg(axes)


def histogram(series: Series, edges: Array, x: str = "", height: float = 150) -> Markup:
    """Shares of rows by value, a step line a series, the first one filled."""
    axes = _axes(height, x, "% of rows")
    for i, (values, colour) in enumerate(zip(series.values(), COLOURS, strict=False)):
        shares = 100 * np.histogram(values, edges)[0] / max(len(values), 1)
        axes.stairs(shares, edges, color=colour, fill=i == 0, alpha=0.45 if i == 0 else 1, linewidth=1.6)
    axes.set_ylim(bottom=0)
    return _svg(axes)


def scatter(x: Array, y: Array, units: tuple[str, str], *, log: bool = False, names: Sequence[str] = ()) -> Markup:
    """Points, thinned where they are many, and the diagonal where both axes have one unit; few ones are named."""
    axes, shown = _axes(270, units[0], units[1]), np.random.default_rng(0).permutation(len(x))[:MOST_POINTS]
    axes.scatter(x[shown], y[shown], s=34 if names else 9, color=FIRST, alpha=0.9 if names else 0.4, linewidths=0)
    if log:
        axes.set(xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(EngFormatter(sep=""))
            axis.set_minor_formatter(NullFormatter())
    if not names:
        axes.axline((x.mean(), x.mean()), slope=None if log else 1, xy2=(x.max(), x.max()) if log else None,
                    color=MUTED, linewidth=1, linestyle=(0, (4, 3)))  # fmt: skip
    axes.margins(x=0.12)
    for at_x, at_y, name in zip(x, y, names, strict=False):
        right = at_x > x.mean()
        axes.annotate(short(name), (at_x, at_y), xytext=(-6 if right else 6, 6), textcoords="offset points",
                      ha="right" if right else "left", color=INK, fontsize=9.5)  # fmt: skip
    return _svg(axes)


def lines(curves: Sequence[tuple[Array, Array, str]], units: tuple[str, str], *, diagonal: bool = False) -> Markup:
    """Lines (x, y, colour); with `diagonal` also the line of equal x and y from 0 to 1."""
    axes = _axes(210, units[0], units[1])
    if diagonal:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    elif all((x == x.round()).all() for x, *_ in curves):
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    for x, y, colour in curves:
        axes.plot(x, y, color=colour, marker="o" if len(x) <= 12 else "", markersize=3.5, alpha=0.85)
    return _svg(axes)


def matrix(shares: Array, texts: Sequence[Sequence[str]], labels: Sequence[object], units: tuple[str, str]) -> Markup:
    """Cells as strong as their share (0 to 1), each with its text; rows from top to bottom."""
    n = len(labels)
    axes = _axes(min(360, 90 + 46 * n), units[0], units[1])
    for i, j in np.ndindex(n, n):
        axes.add_patch(Rectangle((j + 0.02, i + 0.02), 0.96, 0.96, color=FIRST, alpha=0.04 + 0.5 * shares[i, j], lw=0))
        axes.text(j + 0.5, i + 0.5, texts[i][j], color=INK, ha="center", va="center", fontsize=10.5 if n < 7 else 8)
    names = [short(label, 12 if n < 5 else 7) for label in labels]
    long = n * max(map(len, names)) > 44
    axes.set_xticks(np.arange(n) + 0.5, names, color=INK, rotation=90 if long else 0)
    axes.set_yticks(np.arange(n) + 0.5, names, color=INK)
    axes.set(xlim=(0, n), ylim=(n, 0))
    axes.grid(visible=False)
    return _svg(axes)


def intervals(rows: Sequence[tuple[str, float, float, Sequence[float]]], unit: str) -> Markup:
    """(name, mean, standard error, single scores) a row, the first in another colour."""
    axes = _axes(44 + 22 * len(rows), unit)
    for place, (_, mean, error, scores) in enumerate(rows):
        colour = FIRST if place else SECOND
        axes.plot(scores, [place] * len(scores), "|", color=colour, markersize=7, alpha=0.55, markeredgewidth=1.2)
        axes.plot([mean - error, mean + error], [place, place], color=colour, linewidth=3, solid_capstyle="round")
        axes.plot(mean, place, "o", color=colour, markersize=7.5, markeredgecolor=PAPER, markeredgewidth=1.5)
    axes.set_yticks(range(len(rows)), [short(name) for name, *_ in rows], color=INK)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    return _svg(axes)
