"""The page: every section from files alone; one that lacks its data is a sentence, one that fails breaks no other."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kgl.competition import of_kind
from kgl.errors import KglError, reason
from kgl.paths import write_text
from kgl.report import errors, importance, scores, tables
from kgl.report.material import Material
from kgl.report.results import results
from kgl.report.section import Section, environment
from kgl.report.summary import Summary, summarize
from kgl.runs import now

Maker = Callable[[Material], Section | None]
SECTIONS: dict[str, Maker] = {
    "Board": scores.board,
    "Leaderboard": scores.leaderboard,
    "Blend": scores.blend,
    "Learning curves": scores.curves,
    "Importance": importance.importance,
    "Errors": errors.errors,
    "Worst rows": errors.worst,
    "Facts": tables.facts,
    "Target": tables.target,
    "Columns": tables.columns,
    "Train beside test": tables.distributions,
    "Folds": tables.folds,
    "Oddities": tables.oddities,
}


@dataclass(frozen=True)
class Report:
    """Where page and results were written, and the sentences of sections that could not be made."""

    page: Path
    results: Path
    lacking: list[str]


def write_report(m: Material) -> Report:
    """Write reports/index.html and RESULTS.md."""
    lacking: list[str] = []

    def made(title: str, maker: Maker) -> Section | None:
        try:
            return maker(m)
        except KglError as error:
            said = error.message
        except Exception as error:  # a broken run or an odd column must not take the other sections with it
            said = f"could not be made: {type(error).__name__}: {reason(error)}."
        lacking.append(f"{title}: {said}")
        return Section(said[0].upper() + said[1:])

    of_its_kind = of_kind(m.competition.kind, "report_sections")
    makers = SECTIONS | (of_its_kind() if of_its_kind else {})
    sections = {title: section for title, maker in makers.items() if (section := made(title, maker))}
    try:
        summary = summarize(m)
    except KglError as error:
        summary = Summary([], [error.message])
    title = m.competition.title or m.competition.slug or m.workspace.root.name
    page = environment().get_template("page.html.jinja").render(
        title=title, competition=m.competition, summary=summary, sections=sections, written=now()[:16].replace("T", " ")
    )  # fmt: skip
    report = Report(m.workspace.root / "reports" / "index.html", m.workspace.root / "RESULTS.md", lacking)
    write_text(report.page, page)
    try:
        write_text(report.results, results(m, title))
    except KglError as error:
        lacking.append(f"RESULTS.md: {error.message}")
    return report
