"""The commands that train, compare, blend and predict."""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import click

from kgl.errors import usage

if TYPE_CHECKING:
    from kgl.board import Board
    from kgl.runs import Run
    from kgl.session import Session


def notice(line: str) -> None:
    """A line beside the answer."""
    click.echo(line, err=True)


def _session() -> "Session":
    from kgl.paths import find_workspace
    from kgl.session import open_session

    session = open_session(find_workspace(), say=notice)
    if session.data.train_only:
        notice(f"columns of train only are left out: {', '.join(session.data.train_only)}")
    return session


@click.command()
@click.option(
    "--minutes",
    type=click.FloatRange(min=0),
    help="Time to use: too slow models are left out, seeds added (0: no limit).",
)
def baseline(minutes: float | None) -> None:
    """Folds, all experiments that suit the data, a blend and a checked submission file.

    The experiments are those of [baseline], if it names any. What was finished before is not trained again: stop it
    and start it as you like.
    """
    from kgl.baseline import run_baseline

    def progress(line: str) -> None:
        if sys.stderr.isatty():
            notice(line)

    blend = run_baseline(_session(), minutes, done=click.echo, progress=progress)
    click.echo("Next: uv run kgl board, then uv run kgl submit")
    click.echo(blend.run)


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="NAME... [key=value...]")
@click.option("--quick", is_flag=True, help="One fold, one seed, few rows: does it run? Never ranked.")
@click.option("--again", is_flag=True, help="Train anew what is complete.")
@click.option("--workers", type=int, help="Folds at once, each in a process of its own.")
@click.option(
    "--parent", default="", metavar="RUN", help="The run that it is compared with; found by itself otherwise."
)
@click.option("-m", "note", default="", metavar="NOTE", help="What you try, for the board.")
def train(words: tuple[str, ...], quick: bool, again: bool, workers: int | None, parent: str, note: str) -> None:
    """Train experiments over all folds and seeds; NAME is a file of experiments/.

    \b
    kgl train lightgbm                            # experiments/lightgbm.py
    kgl train lightgbm params.learning_rate=0.05  # one change, recorded in the run
    kgl train lightgbm seeds=0,1,2 -m "is it noise?"
    kgl train lightgbm folds=0                    # one fold first; without it the others follow
    """
    from kgl.crossval import Options
    from kgl.crossval import train as train_one
    from kgl.wording import summary

    names = [word for word in words if "=" not in word]
    changes = dict(word.split("=", 1) for word in words if "=" in word)
    folds = _fold_numbers(changes.pop("folds", None))
    if not names:
        raise usage("name an experiment: kgl train NAME [key=value...].")
    session = _session()
    options = Options(folds=folds, quick=quick, again=again, note=note, parent=parent, workers=workers)
    for name in names:
        run = train_one(session, name, changes, options=options, progress=notice)
        click.echo(summary(run))
        if run.is_complete:
            notice(f"Next: uv run kgl board {run.run}" + (f" {run.parent}" if run.parent else ""))
        click.echo(run.run)


def _fold_numbers(text: str | None) -> tuple[int, ...] | None:
    from kgl.config import from_text

    return None if text is None else from_text(tuple[int, ...], text, "folds")


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN...]")
@click.option("-m", "note", default="", metavar="NOTE", help="Kept in run.json.")
def blend(runs: tuple[str, ...], note: str) -> None:
    """Blend runs, by default the best of each experiment, into a run like any other."""
    from kgl.blend import make_blend
    from kgl.wording import summary

    run = make_blend(_session(), runs, note=note)
    click.echo(summary(run))
    click.echo(run.run)


@click.command()
@click.argument("run")
def predict(run: str) -> None:
    """Predict the test rows again from the saved models of RUN, for instance when test has changed."""
    from kgl.paths import find_workspace
    from kgl.predict import predict_again

    done = predict_again(find_workspace(), run, say=notice)
    click.echo(f"runs/{done.run}/submission.csv")


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN] [RUN]")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def board(runs: tuple[str, ...], as_json: bool) -> None:
    """Runs, best first, each against the best; one run in full; two side by side."""
    from kgl.competition import load_competition
    from kgl.paths import find_workspace, use_workspace
    from kgl.runs import read_run

    workspace = find_workspace()
    use_workspace(workspace)  # for a metric of contest.py
    if len(runs) > 2:
        raise usage("kgl board takes no run, one, or two to compare.")
    chosen = [read_run(workspace, name) for name in runs]
    if chosen:
        return _show_runs(chosen, as_json)
    from kgl.board import make_board
    from kgl.fold_file import current_hash

    competition = load_competition(workspace)
    competition.require("metric")
    _show_board(
        make_board(workspace, competition.metric, current_hash(workspace, competition.folds)),
        competition.metric,
        as_json,
    )


def _show_board(board: "Board", metric: str, as_json: bool) -> None:
    from kgl.wording import cv

    if as_json:
        lines = [
            asdict(line.run) | {"against_best": line.against_best and asdict(line.against_best)} for line in board.lines
        ]
        return click.echo(json.dumps(lines, indent=2))
    rows = []
    for place, line in enumerate(board.lines, 1):
        verdict = "best" if place == 1 else "-"
        if line.against_best:
            verdict = line.against_best.word + (
                f" (p {line.against_best.p:.3f})" if line.against_best.word == "worse" else ""
            )
        rows.append((str(place), line.run.run, cv(line.run), verdict, line.public, line.changed))
    for run in board.unranked:
        on = f"goes on with: {run.command}" if run.status == "stopped" and run.command else run.note
        rows.append(("", run.run, "-", run.status, "", on))
    _print_table(("#", "run", f"CV {metric}", "against best", "public", "what changed"), rows)
    if any(line.run.is_rosy for line in board.lines):
        click.echo("rosy: the labels of a fold chose the epoch for it (choose=fold); honest runs stand first.")
    if board.failed:
        click.echo(f"failed: {', '.join(run.run for run in board.failed)}; why: log.txt in their folders in runs/")
    if board.left_out:
        click.echo(f"{board.left_out} runs of other folds or of another metric than {metric} are left out.")
    click.echo(
        "Next: uv run kgl submit, or change an experiment and train it"
        if board.lines
        else "No complete run yet: uv run kgl baseline"
    )


def _show_runs(runs: list["Run"], as_json: bool) -> None:
    if as_json:
        return click.echo(json.dumps([asdict(run) for run in runs], indent=2))
    if len(runs) == 1:
        for key, value in asdict(runs[0]).items():
            if value not in ("", None, [], {}):
                click.echo(f"{key:<16}{_one_line(value)}")
        return
    from kgl.board import compare, differences
    from kgl.metrics import get_metric
    from kgl.wording import show

    new, old = runs
    if verdict := compare(get_metric(new.metric), new, old):
        side = "better " if verdict.gain >= 0 else "worse "
        by = f"{side if verdict.word in ('noise', 'rosy') else ''}by {abs(verdict.gain):.5f} in {new.metric}"
        click.echo(f"{verdict.word}: {new.run} {by} (p {verdict.p:.3f}, over {len(new.fold_scores)} folds)")
    else:
        click.echo("not compared: other folds, another metric, or too few folds in common")
    scores = enumerate(zip_longest(new.fold_scores, old.fold_scores))
    _print_table(("fold", new.run, old.run), [(str(k), show(a), show(b)) for k, (a, b) in scores])
    for key, before, after in differences(old.config, new.config):
        click.echo(f"changed: {key} {before} -> {after}")


def _one_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)


def _print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Columns as wide as their texts; the last one is cut where the line ends."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header) - 1)]
    room = max(20, shutil.get_terminal_size((140, 24)).columns - sum(widths) - 2 * len(widths))
    for row in (header, *rows):
        last = row[-1] if len(row[-1]) <= room else row[-1][: room - 3] + "..."
        cells = [text.ljust(width) for text, width in zip(row[:-1], widths, strict=True)]
        click.echo("  ".join([*cells, last]).rstrip())
