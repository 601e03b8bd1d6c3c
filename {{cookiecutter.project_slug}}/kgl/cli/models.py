"""The commands that train, compare, blend and predict."""

import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kgl.cli.talk import json_option, notice, print_json
from kgl.errors import KglError, usage
from kgl.paths import find_workspace

if TYPE_CHECKING:
    from kgl.session import Session


def open_here() -> "Session":
    """The workspace of the current folder."""
    from kgl.session import open_session
    from kgl.submission import find_form
    from kgl.tables import ID, read_sample_submission

    session = open_session(find_workspace(), say=notice)
    if session.data.train_only:
        notice(f"left out, since test lacks them or has no value: {', '.join(session.data.train_only)}")
    try:
        find_form(session.competition, session.data.target, read_sample_submission(), session.data.test[ID])
    except KglError as error:
        notice(f"no submission.csv will come of it: {error.message}")
    return session


cluster_option = click.option(
    "--cluster", default="", metavar="ADDRESS", help="Train on the workers of this dask scheduler."
)


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0), help="Too slow models are left out, seeds added; 0: no limit.")
@cluster_option
def baseline(minutes: float | None, cluster: str) -> None:
    """Folds, all experiments that suit the data, a blend and a checked submission file.

    The experiments are those of [baseline], if it names any. What was finished before is not trained again: stop it
    and start it as you like.
    """
    from kgl.baseline import run_baseline

    def progress(line: str) -> None:
        if sys.stderr.isatty():
            notice(line)

    blend = run_baseline(open_here(), minutes, cluster, done=click.echo, progress=progress)
    click.echo("Next: uv run kgl board, then uv run kgl submit")
    click.echo(blend.run)


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="NAME... [key=value...]")
@click.option("--quick", is_flag=True, help="One fold, one seed, few rows: does it run? Never ranked.")
@click.option("--again", is_flag=True, help="Train anew what is complete.")
@click.option("--workers", type=int, help="Folds at once, each in a process of its own.")
@cluster_option
@click.option("--parent", default="", metavar="RUN", help="The run to compare it with; found by itself otherwise.")
@click.option("-m", "note", default="", metavar="NOTE", help="What you try, for the board.")
def train(
    words: tuple[str, ...], quick: bool, again: bool, workers: int | None, cluster: str, parent: str, note: str
) -> None:
    """Train experiments over all folds and seeds; NAME is a file of experiments/.

    \b
    kgl train lightgbm                            # experiments/lightgbm.py
    kgl train lightgbm params.learning_rate=0.05  # one change, recorded in the run
    kgl train lightgbm seeds=0,1,2 -m "is it noise?"
    kgl train lightgbm folds=0                    # one fold first; without it the others follow
    """
    from kgl.config import from_text
    from kgl.crossval import Options
    from kgl.crossval import train as train_one
    from kgl.wording import summary

    if apart := re.search(r"([^\n=]+)(?:\n=\n|\n=|=\n)([^\n=]+)(?:\n|$)", "\n".join(words)):
        raise usage(f"blanks round '=' take a setting apart; write {apart[1]}={apart[2]} without blanks.")
    names = [Path(word).stem if word.endswith(".py") else word for word in words if "=" not in word]
    changes = dict(word.split("=", 1) for word in words if "=" in word)
    typed = changes.pop("folds", None)
    folds = None if typed is None else from_text(tuple[int, ...], typed, "folds")
    if not names:
        raise usage("name an experiment: kgl train NAME [key=value...].")
    session = open_here()
    options = Options(folds=folds, quick=quick, again=again, note=note, parent=parent, workers=workers, cluster=cluster)
    failed = []
    for name in names:
        try:
            run = train_one(session, name, changes, options=options, progress=notice)
        except KglError as error:
            if len(names) == 1:
                raise
            notice(error.message)
            failed.append(name)
            continue
        click.echo(summary(run))
        if run.is_complete:
            notice(f"Next: uv run kgl board {run.run}" + (f" {run.parent}" if run.parent else ""))
        click.echo(run.run)
    if failed:
        raise KglError(f"{len(failed)} of {len(names)} failed: {', '.join(failed)}; the reasons stand above.")


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN...]")
@click.option("--stack", is_flag=True, help="By a small linear model on the members, in place of weights.")
@click.option("-m", "note", default="", metavar="NOTE", help="Kept in run.json.")
def blend(runs: tuple[str, ...], stack: bool, note: str) -> None:
    """Blend runs, by default the best of each experiment, into a run like any other."""
    from kgl.blend import make_blend
    from kgl.cli.show import worth_in_words
    from kgl.wording import summary

    run = make_blend(open_here(), runs, note=note, stack=stack)
    click.echo(summary(run))
    for line in worth_in_words(run):
        click.echo(f"  {line}")
    click.echo(run.run)


@click.command()
@click.argument("run")
def predict(run: str) -> None:
    """Predict the test rows again from the saved models of RUN, for instance when test has changed."""
    from kgl.predict import predict_again

    done = predict_again(find_workspace(), run, say=notice)
    click.echo(f"runs/{done.run}/submission.csv")


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN] [RUN]")
@click.option("--wide", is_flag=True, help="All columns: standard errors, gains, private scores.")
@json_option
def board(runs: tuple[str, ...], wide: bool, as_json: bool) -> None:
    """Runs, best first, each against the best and its parent; one run in full; two side by side."""
    from kgl.board import make_board
    from kgl.cli.show import show_board, show_pair, show_run
    from kgl.competition import load_competition
    from kgl.fold_file import current_hash
    from kgl.paths import use_workspace
    from kgl.runs import read_run

    workspace = find_workspace()
    use_workspace(workspace)  # for a metric of contest.py
    if len(runs) > 2:
        raise usage("kgl board takes no run, one, or two to compare.")
    chosen = [read_run(workspace, name) for name in runs]
    if chosen and as_json:
        return print_json([asdict(run) for run in chosen])
    if chosen:
        return show_run(workspace, chosen[0]) if len(chosen) == 1 else show_pair(workspace, chosen[0], chosen[1])
    competition = load_competition(workspace)
    competition.require("metric")
    found = make_board(workspace, competition.metric, current_hash(workspace, competition.folds), say=notice)
    if not as_json:
        return show_board(found, competition.metric, wide=wide)
    lines = [asdict(line) | {"standard_error": line.run.standard_error} for line in found.lines]
    print_json([line.pop("run") | line for line in lines])
