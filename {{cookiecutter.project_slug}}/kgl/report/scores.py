"""Sections on many runs: the board, the leaderboard, learning curves, the blend."""

import numpy as np

from kgl.arrays import Array
from kgl.blend import blend_weights
from kgl.online.relation import in_words, relate
from kgl.paths import read_json
from kgl.report.material import Material
from kgl.report.pictures import COLOURS, bars, intervals, lines, matrix, scatter
from kgl.report.section import Key, Picture, Section, Table
from kgl.runs import run_folder
from kgl.verdicts import Verdict
from kgl.wording import show, took

SHOWN = 20  # runs in the picture
MEMBERS = 10


def word(verdict: Verdict | None) -> str:
    """A verdict with how much it is about."""
    return f"{verdict.word} ({verdict.gain:+.5f}{', other data' * (not verdict.same_data)})" if verdict else ""


def board(m: Material) -> Section:
    """Every run with its interval, and what is known of it."""
    top = m.board.lines[:SHOWN]
    scores = [[score for score in line.run.fold_scores if score is not None] for line in top]
    shown = [(line.run.run, line.run.cv_score or 0.0, line.run.standard_error or 0.0, of_folds)
             for line, of_folds in zip(top, scores, strict=True)]  # fmt: skip
    better = "right" if m.metric.greater_is_better else "left"
    caption = f"Mean over folds, its standard error (line) and the folds (ticks); better is further {better}."
    picture = Picture(intervals(shown, m.metric.name), "The best runs", caption)
    score = np.array([run.cv_score for run in sorted(m.ranked, key=lambda run: (run.started, run.run))], dtype=float)
    units = ("run, in the order in which they were made", f"CV {m.metric.name}")
    blocks = [picture, _so_far(m, score, units, "Progress")] if len(score) > 1 else [picture]
    rows = [
        (str(place), line.run.run, f"{show(line.run.cv_score)} ± {show(line.run.standard_error)}",
         word(line.against_best) or "best" * (place == 1), word(line.against_parent), line.public,
         took(line.run.seconds), line.run.note or line.changed)
        for place, line in enumerate(m.board.lines, 1)
    ]  # fmt: skip
    header = ("#", "run", f"CV {m.metric.name}", "against best", "against parent", "public", "time", "what changed")
    rest = {run.run: run.status for run in (*m.board.unranked, *m.board.failed)}
    notes = [f"Not ranked: {', '.join(f'{name} ({status})' for name, status in rest.items())}."] if rest else []
    if m.board.left_out:
        notes += [f"{m.board.left_out} runs of other folds or another metric are left out."]
    return Section(" ".join(notes), [*blocks, Table(header, rows)])


def _so_far(m: Material, score: Array, units: tuple[str, str], title: str) -> Picture:
    """Scores in their order, and the best until then."""
    best = (np.maximum if m.metric.greater_is_better else np.minimum).accumulate(score)
    count = np.arange(1, len(score) + 1)
    svg = lines([(count, score, COLOURS[0]), (count, best, COLOURS[1])], units)
    return Picture(svg, title, key=(("score", "c1"), ("best so far", "c2")))


def leaderboard(m: Material) -> Section | None:
    """Submissions: CV beside the public score, and the public score over time."""
    sent = m.submissions
    if not sent:
        return Section("Nothing was submitted yet; uv run kgl submit sends the best run.")
    rows = [(e.time[:16].replace("T", " "), e.run, show(e.cv_score), show(e.public_score), show(e.private_score),
             e.status, e.message) for e in reversed(sent)]  # fmt: skip
    table = Table(("sent (UTC)", "run", "CV", "public", "private", "status", "message"), rows)
    scored = [e for e in sent if e.public_score is not None]
    if len(scored) < 2:
        return Section("", [table])
    score = np.array([e.public_score for e in scored], dtype=float)
    blocks = [_so_far(m, score, ("submission", f"public {m.metric.name}"), "Submissions over time")]
    both = [(e.cv_score, e.public_score) for e in scored if e.cv_score is not None]
    if len(both) > 1:
        cv, public = np.array(both, dtype=float).T
        units = (f"CV {m.metric.name}", f"public {m.metric.name}")
        names = [e.run for e in scored if e.cv_score is not None]
        blocks.insert(0, Picture(scatter(cv, public, units, names=names), "CV against the public leaderboard"))
    found = relate(sent, {run.run: run for run in m.ranked}, greater_is_better=m.metric.greater_is_better)
    said = "; ".join(" ".join(line.split()) for line in in_words(found))
    return Section(f"{said}.", [*blocks, table])


def curves(m: Material) -> Section | None:
    """Loss and metric by epoch, of the best run that left a history (networks do)."""
    for run in (*m.ranked, *m.board.unranked):
        paths = sorted(run_folder(m.workspace, run.run).glob("folds/*/seed-*/history.json"))
        if histories := [history for path in paths if (history := read_json(path))]:
            break
    else:
        return None
    metric = m.metric.name
    names = {"loss": "loss in training", "fold": f"{metric} of the fold", "holdout": f"{metric} of the holdout"}
    blocks = []
    for name, title in names.items():
        drawn = []
        for key, colour in ((name, COLOURS[0]), (f"{name}_ema", COLOURS[1])):
            for history in histories:
                points = [(one["epoch"], one[key]) for one in history if one.get(key) is not None]
                drawn += [(*np.array(points, dtype=float).T, colour)] if points else []
        if drawn:
            averaged = any(colour == COLOURS[1] for *_, colour in drawn)
            said: Key = (("network", "c1"), ("its moving average", "c2")) if averaged else ()
            blocks.append(Picture(lines(drawn, ("epoch", "")), title, key=said))
    return Section(f"{run.run}: a line for each fold and seed.", blocks)


def blend(m: Material) -> Section | None:
    """The weights of the best blend, and how alike its members err."""
    run = next((run for run in m.ranked if run.blend), None)
    if run is None or run.blend is None:
        return Section("No blend yet; uv run kgl blend makes one of the best run of each experiment.")
    tried = dict(zip(run.blend["members"], run.blend["weights"], strict=True))
    weights = blend_weights(run) if run.blend["taken"] else tried
    top = sorted(weights, key=weights.__getitem__, reverse=True)[:MEMBERS]
    blocks = [Picture(bars(top, {"weight": np.array([weights[name] for name in top])}, "weight"), "Weights")]
    alike = np.array(run.blend.get("correlation", np.zeros((0, 0))))
    if len(alike) > 1:
        place = [run.blend["members"].index(name) for name in top]
        values = alike[np.ix_(place, place)]
        names = [f"{i}" for i in range(1, len(top) + 1)]
        caption = ", ".join(f"{i} {name}" for i, name in zip(names, top, strict=True))
        svg = matrix(values.clip(0, 1) ** 4, [[f"{x:.2f}" for x in row] for row in values], names, ("", ""))
        blocks.append(Picture(svg, "How alike the predictions are (correlation)", caption))
    if worth := run.blend.get("worth"):
        svg = bars(list(worth), {"": np.array(list(worth.values()))}, m.metric.name)
        caption = "What the blend gains by it; without it the others are weighted anew."
        blocks.append(Picture(svg, "Worth of each member", caption))
    said = "" if run.blend["taken"] else " No mixture was better by more than luck, so the best member stands alone."
    rosy = f"{show(run.blend['rosy_score'])} on the same rows"
    return Section(f"{run.run}: {show(run.cv_score)} with weights chosen on other folds, {rosy}.{said}", blocks)
