"""What `kgl board` and `kgl blend` print."""

from itertools import zip_longest

import click

from kgl.board import Board, Line, leaderboard
from kgl.changes import all_changes, differences, members_of
from kgl.cli.talk import notice, print_table
from kgl.evidence import Evidence, farthest
from kgl.metrics import get_metric
from kgl.paths import Workspace
from kgl.runs import Run, list_runs
from kgl.verdicts import Verdict
from kgl.wording import cv, luck, rule_in_words, show, took, verdict_in_words


def show_board(board: Board, metric: str, *, wide: bool) -> None:
    """The ranked runs, what is not ranked, and what to do next."""
    header = ["#", "run", f"CV {metric}", "vs best", "vs parent", "public", "time", "what changed"]
    if wide:
        header[3:3] = ["error", "out of fold"]
        header[-2:-2] = ["private"]
    rows = [_cells(place, line, wide) for place, line in enumerate(board.lines, 1)]
    rows += [_cells(0, line, wide) for line in board.others]
    print_table(header, rows)
    verdicts = [v for line in (*board.lines, *board.others) for v in (line.against_best, line.against_parent) if v]
    if any(not verdict.rows for verdict in verdicts):
        click.echo("~: by fold scores alone, which see less; rows follow where predictions are here: kgl board again")
    if not all(verdict.same_data for verdict in verdicts):
        click.echo("*: the data have changed between the two (files, or load() of contest.py); train both on the same")
    if any(line.run.is_rosy for line in board.lines):
        click.echo("rosy: the labels of a fold chose the epoch for it (choose=fold); honest runs stand first.")
    if any(line.run.lacks for line in board.lines):
        click.echo("fewer rows: train lacked some of data/folds.parquet; mend load(), or kgl folds --force if meant so")
    if board.failed:
        names = [run.run for run in board.failed]
        click.echo(f"failed: {', '.join(names)}; why: log.txt in their folders in runs/; delete these when done with")
    if board.left_out:
        click.echo(f"{board.left_out} runs of other folds or not scored by {metric} as it is now are left out.")
    following = "Next: uv run kgl submit, or change an experiment and train it"
    click.echo(following if board.lines else "No complete run yet: uv run kgl baseline")


def _cells(place: int, line: Line, wide: bool) -> list[str]:
    """Of a ranked run, or of one that is not: its place is 0."""
    run = line.run
    spread = f" ± {run.cv_std:.{5 if wide else 4}f}" if run.cv_std is not None else ""
    part = "quick" if run.config.get("quick") else cv(run) if run.status == "partial" else run.status
    cells = [str(place), run.run, show(run.cv_score) + spread] if place else ["", run.run, part]
    cells += [show(run.standard_error), show(run.oof_score)] if wide else []
    against_best = "best" if place == 1 else _word(line.against_best, wide) or "fewer rows" * (run.lacks > 0)
    cells += [against_best, _word(line.against_parent, wide), line.public]
    said = "; ".join(filter(None, (run.note, line.changed))) if wide else run.note or line.changed
    said = f"goes on with: {run.command}" if run.status == "stopped" and run.command else said
    return [*cells, *([line.private] if wide else []), took(run.seconds) * (run.seconds > 0 or place > 0), said]


def _word(verdict: Verdict | None, wide: bool) -> str:
    if verdict is None:
        return ""
    marks = "~" * (not verdict.rows) + "*" * (not verdict.same_data)
    return verdict.word + marks + (f" {verdict.gain:+.5f} {luck(verdict.p)}" if wide else "")


def show_run(workspace: Workspace, run: Run) -> None:
    """One run in full."""
    runs = list_runs(workspace)
    evidence, by_name = Evidence(workspace, runs), {one.run: one for one in runs}
    parent = by_name.get(run.parent)
    lines = [("run", f"{run.run}: {run.kind or run.experiment}, {run.status}" + (f": {run.note}" if run.note else ""))]
    if run.cv_score is not None:
        error = f", standard error {show(run.standard_error)}" if run.standard_error is not None else ""
        lines.append((f"CV {run.metric}", f"{cv(run)}{error}; out of fold {show(run.oof_score)}"))
    lines.append(("folds", "  ".join(map(show, run.fold_scores))))
    if (noise := evidence.noise.get(run.experiment)) is not None:
        lines.append(("seeds", f"{run.seeds}; another seed moves a fold's score by {show(noise**0.5)}"))
    if parent:
        verdict = verdict_in_words(evidence.verdict(run, parent), run, parent)
        lines.append(("against parent", f"{parent.run}: {verdict}"))
        lines += [("changed", change) for change in ([] if run.blend else all_changes(workspace, run, parent))]
    if run.blend:
        lines += [("made of", members_of(run)), *(("worth", line) for line in worth_in_words(run))]
    if run.is_complete and get_metric(run.metric).takes == "labels" and (side := evidence.side(run)) and evidence.truth:
        lines.append(("decides", rule_in_words(evidence.truth.target, side.rule)))
    public, private = leaderboard(workspace, notice).get(run.run, ("", ""))
    lines.append(("leaderboard", f"public {public}" + (f", private {private}" if private else "") if public else ""))
    lines.append(("needs", took(run.seconds) + (f", {run.peak_memory_mb:,.0f} MB" if run.peak_memory_mb else "")))
    lines += [(f"  {name:<20}", f"  {value}") for name, _, value in differences({}, run.config)]
    lines += [("made by", run.command), ("started", run.started)]
    lines.append(("git", run.git.get("commit", "")[:12] + " and changes" * bool(run.git.get("dirty"))))
    for key, text in lines:
        if text.strip():
            click.echo(f"{key:<16}{text}")
    evidence.save()


def show_pair(workspace: Workspace, new: Run, old: Run) -> None:
    """Two runs: the verdict, what changed, fold by fold, and the rows where they differ most."""
    evidence = Evidence(workspace, list_runs(workspace))
    click.echo(verdict_in_words(evidence.verdict(new, old), new, old))
    for change in all_changes(workspace, new, old):
        click.echo(f"changed: {change}")
    metric, rows = get_metric(new.metric), []
    for k, (a, b) in enumerate(zip_longest(new.fold_scores, old.fold_scores)):
        gain = "" if a is None or b is None or new.metric != old.metric else f"{metric.gain(a, b):+.5f}"
        rows.append([str(k), show(a), show(b), gain])
    print_table(["fold", new.run, old.run, "gain"], rows)
    if evidence.rows(new, old) and evidence.truth and (a := evidence.side(new)) and (b := evidence.side(old)):
        what = "the probability of the right label" if evidence.truth.target.one_label else "the prediction"
        if apart := [list(row) for row in farthest(evidence.truth, a, b)]:
            click.echo(f"where they differ most in {what}:")
            print_table(["id", "fold", "target", new.run, old.run], apart)
    evidence.save()


def worth_in_words(run: Run) -> list[str]:
    """Of each member of a blend with weight: what it weighs, what it brings, and how like the best member it is."""
    blend = run.blend or {}
    weights = dict(zip(blend.get("members", ()), blend.get("weights", ()), strict=True))
    alike = blend.get("correlation") or []
    lines = []
    for i, (name, weight) in enumerate(weights.items()):
        if weight:
            worth = blend.get("worth", {}).get(name)
            brings = "" if worth is None else f"  brings {worth:+.5f}"
            like = f"  correlation {alike[i][0]:.3f} with {next(iter(weights))}" if i and alike else ""
            lines.append(f"{name:<22} {weight:5.2f}{brings}{like}")
    return lines
