"""The page and RESULTS.md, from files alone; what lacks its data is a sentence, what fails breaks no other section."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from kgl.board import Line
from kgl.competition import of_kind
from kgl.errors import KglError, reason
from kgl.paths import write_text
from kgl.report import errors, importance, scores, tables
from kgl.report.material import Material
from kgl.report.section import Section, environment
from kgl.runs import now
from kgl.wording import show, took

HINTS = 3
Maker = Callable[[Material], Section | None]
T = TypeVar("T")
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


def write_report(m: Material) -> tuple[list[str], list[str]]:
    """Write reports/index.html and RESULTS.md: those that could be made, and the sentences of what could not."""
    lacking: dict[str, list[str]] = {}

    def made(title: str, make: Callable[[Material], T], otherwise: Callable[[str], T]) -> T:
        try:
            return make(m)
        except KglError as error:
            said = error.message
        except Exception as error:  # a broken run or an odd column must not take the other sections with it
            said = f"could not be made: {type(error).__name__}: {reason(error)}."
        lacking.setdefault(said, []).append(title)
        return otherwise(said[0].upper() + said[1:])

    of_its_kind = of_kind(m.competition.kind, "report_sections")
    makers = SECTIONS | (of_its_kind() if of_its_kind else {})
    sections = {title: section for title, maker in makers.items() if (section := made(title, maker, Section))}
    tiles, sentences = made("Summary", summarize, lambda said: ([], [said]))
    title = m.competition.title or m.competition.slug or m.workspace.root.name
    shown = {"competition": m.competition, "tiles": tiles, "sentences": sentences, "sections": sections}
    template = environment().get_template("page.html.jinja")
    page = template.render(title=title, **shown, written=now()[:16].replace("T", " "))
    texts = {"reports/index.html": page, "RESULTS.md": made("RESULTS.md", lambda m: results(m, title), lambda said: "")}
    written = [name for name, text in texts.items() if text]
    for name in written:
        write_text(m.workspace.root / name, texts[name])
    return written, [f"{', '.join(titles)}: {said}" for said, titles in lacking.items()]


def summarize(m: Material) -> tuple[list[tuple[str, str, str]], list[str]]:
    """What one wants to know first: (label, value, remark) each, then sentences."""
    best, board = m.ranked[0], m.board
    scored = [e.public_score for e in m.submissions if e.public_score is not None]
    public = (max if m.metric.greater_is_better else min)(scored, default=None)
    spent = took(sum(line.run.seconds for line in board.lines))
    tiles = [
        (f"Best CV {m.metric.name}", show(best.cv_score), f"{best.run}, ± {show(best.cv_std)} over folds"),
        ("Best public score", "none" if public is None else show(public), f"submissions: {len(m.submissions)}"),
        ("Runs", str(len(board.lines)), f"complete, {spent} of training"),
    ]
    return tiles, [f"What helped most: {what_helped(m)}", f"Next: {'; '.join(list(hints(m))[:HINTS])}."]


def what_helped(m: Material) -> str:
    """The largest gain over a parent that is more than noise."""
    better = [(v.gain, line) for line in m.board.lines if (v := line.against_parent) and v.word == "better"]
    if not better:
        return "nothing yet that is better than its parent by more than noise."
    gain, line = max(better, key=lambda one: one[0])
    said = line.run.note or line.changed
    return f"{line.run.run}, better than {line.run.parent} by {gain:.4g}" + (f" ({said})." if said else ".")


def hints(m: Material) -> Iterator[str]:
    """What to try, the most pressing first."""
    best = m.ranked[0]
    try:
        yield from [f"{one.what}: {one.mend}" for one in m.findings if one.level != "ok"][:1]
    except KglError as error:
        yield error.message.rstrip(".")
    if not m.submissions:
        yield "uv run kgl submit, to see how CV and the leaderboard agree"
    if not any(run.blend for run in m.ranked):
        yield "uv run kgl blend, once several different models are there"
    if len(best.seeds) == 1:
        yield f"more seeds (uv run kgl train {best.experiment} seeds=0,1,2), to know the noise and to lower it"
    yield "an idea from the worst rows below, as a feature in a new file of experiments/"


def results(m: Material, title: str) -> str:
    """The file's text. Runs stand in the order in which they were made, so that old lines stay as they are."""
    best, lines = m.ranked[0], sorted(m.board.lines, key=lambda line: (line.run.started, line.run.run))
    direction = "greater" if m.metric.greater_is_better else "smaller"
    rows = [
        f"| {line.run.run} | {show(line.run.cv_score)} | {_against(line)} | {line.public or '-'} | {_said(line)} |"
        for line in lines
    ]
    told = [(line, v) for line in lines if (v := line.against_parent)]
    noise = [line.run.run for line, v in told if v.word == "noise"]
    learnt = [f"- {v.word}, {v.gain:+.4g}: {_said(line)} (`{line.run.run}` against `{line.run.parent}`)"
              for line, v in told if v.word != "noise"]  # fmt: skip
    learnt += [f"- no more than noise: {', '.join(noise)}"] if noise else []
    public = {line.run.run: line.public for line in lines}[best.run]
    return "\n".join([
        f"# Results: {title}",
        "",
        "Written by `kgl report` from the runs; a note (`kgl train NAME -m \"...\"`) says what was tried.",
        "",
        f"Best: **{best.run}**, CV {show(best.cv_score)}" + (f", public {public}." if public else ".")
        + f" Metric: {m.metric.name}, {direction} is better.",
        "",
        "## What was tried",
        "",
        "| run | CV | against its parent | public | what changed |",
        "|---|---|---|---|---|",
        *rows,
        "",
        *(["## What was learnt", "", *learnt, ""] if learnt else []),
    ])  # fmt: skip


def _against(line: Line) -> str:
    return f"{scores.word(line.against_parent)} {line.run.parent}" if line.against_parent else "-"


def _said(line: Line) -> str:
    """The note, else what changed, fit for a cell."""
    return " ".join((line.run.note or line.changed).replace("|", "\\|").split()) or "-"
