"""kgl tune."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from kgl.cli.models import cluster_option, open_here
from kgl.cli.talk import json_option, print_json, print_table

if TYPE_CHECKING:
    from kgl.tune import Outcome

SHOWN = 10


@click.command()
@click.argument("name")
@click.option("--trials", type=click.IntRange(min=1), default=30, show_default=True, help="In all, over all calls.")
@click.option("--minutes", type=click.FloatRange(min=0), default=0, help="Begin no further trial after that time.")
@click.option("--storage", default="", metavar="URL", help="A database that several machines reach.")
@click.option("--workers", type=int, help="Folds at once, each in a process of its own.")
@cluster_option
@json_option
def tune(
    name: str, trials: int, minutes: float, storage: str, workers: int | None, cluster: str, as_json: bool
) -> None:
    """Search the settings of experiment NAME, and train it with those that hold on folds that did not choose them.

    \b
    kgl tune lightgbm              # 30 trials; the same command goes on where it was stopped
    kgl tune lightgbm --trials 60  # 30 more; in a second terminal too: they share the trials
    kgl tune lightgbm --storage postgresql://...  # the same from several machines

    What is tried: `space` in experiments/NAME.py, a function of an Optuna trial, or what suits the model.
    """
    from kgl.crossval import Options
    from kgl.tune import tune as search

    options = Options(workers=workers, cluster=cluster)
    outcome = search(open_here(), name, options, trials=trials, minutes=minutes, storage=storage)
    if as_json:
        return print_json(asdict(outcome) | {"run": outcome.run.run})
    _show(outcome)
    click.echo(outcome.run.run)


def _show(outcome: "Outcome") -> None:
    from kgl.tune_trials import in_words
    from kgl.wording import luck, show

    known = [tried for tried in outcome.trials if tried.score is not None]
    first = next((tried.score for tried in known if not tried.changes), None)
    rows = []
    for one in known[:SHOWN]:
        change = f"{(one.score or 0) - first:+.5f}" if one.changes and first is not None else ""
        settings = sorted(one.changes.items(), key=lambda item: -outcome.importance.get(item[0], 0))
        rows.append((str(one.number), show(one.score), change, in_words(dict(settings))))
    print_table(("trial", outcome.metric, "change", "settings"), rows)
    parts = [f"{key.rpartition('.')[2]} {share:.0%}" for key, share in outcome.importance.items()]
    count = f"{len(outcome.trials)} trials, {len(outcome.trials) - len(known)} ended early"
    click.echo(f"{count}; what matters: {', '.join(parts) or 'not known yet'}")
    click.echo("The best of many is partly the luckiest. Again, on fresh folds with another seed:")
    again = []
    for one in outcome.finalists:
        gain = f"{one.gain:+.5f} ({luck(one.p)})" if one.changes and one.gain is not None else ""
        again.append((str(one.number), show(one.score), show(one.fresh_score), gain, one.word))
    print_table(("trial", "that chose", "fresh folds", "gain", ""), again)
    if any(one.word == "better" for one in outcome.finalists):
        click.echo(f"{outcome.run.run} is trained with the best of these; its CV chose it, and is a little rosy.")
    else:
        click.echo("No trial is better by more than noise: the experiment stays as it is.")
        best = max(outcome.finalists, key=lambda one: one.gain or 0, default=None)
        if best and best.changes:
            typed = " ".join(f"{key}={value}" for key, value in best.changes.items())
            click.echo(f"To train trial {best.number} all the same: uv run kgl train {outcome.run.experiment} {typed}")
