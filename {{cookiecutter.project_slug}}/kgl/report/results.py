"""RESULTS.md: what was tried, what it brought, what was learnt; short, and a new run is a new line."""

from kgl.board import Line
from kgl.report.material import Material
from kgl.report.scores import word
from kgl.wording import show


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
    return f"{word(line.against_parent)} {line.run.parent}" if line.against_parent else "-"


def _said(line: Line) -> str:
    """The note, else what changed, fit for a cell."""
    return " ".join((line.run.note or line.changed).replace("|", "\\|").split()) or "-"
