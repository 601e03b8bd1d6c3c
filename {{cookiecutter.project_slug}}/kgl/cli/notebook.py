"""kgl notebook: code competitions, from a run to a notebook that Kaggle scores, and training on Kaggle."""

import click

from kgl.cli.talk import asking, notice, tell_scores
from kgl.errors import usage
from kgl.paths import find_workspace


@click.group()
def notebook() -> None:
    """Code competitions: build a notebook, check it here, push it to Kaggle, submit it; or train there.

    \b
    kgl notebook build            # what predicts with the board's first run; or name a run or a blend
    kgl notebook check            # does it run as Kaggle runs it: no network, other test rows, time, memory
    kgl notebook push             # data sets, then the notebook; waits until it has run
    kgl notebook submit           # that version, scored
    kgl notebook train NAME       # an experiment, trained on Kaggle
    """


@notebook.command()
@click.argument("run", required=False)
@click.option("--gpu", is_flag=True, help="Ask for a graphics card; costs quota.")
@click.option("--internet", is_flag=True, help="Leave the network on; most code competitions refuse that.")
@click.option("--no-wheels", is_flag=True, help="Pack no packages that Kaggle's image lacks or has in other versions.")
@click.option("--package", "packages", multiple=True, metavar="NAME", help="Pack this one, too; may stand repeatedly.")
def build(run: str | None, gpu: bool, internet: bool, no_wheels: bool, packages: tuple[str, ...]) -> None:
    """Make build/RUN: data sets of source, weights and wheels, and a notebook that predicts with them."""
    from kgl.notebook.build import build as build_run

    options = {"gpu": gpu, "internet": internet, "wheels": not no_wheels}
    name = build_run(find_workspace(), run, **options, packages=packages, say=notice)
    notice("Next: uv run kgl notebook check")
    click.echo(f"build/{name}")


@notebook.command()
@click.argument("run", required=False)
@click.option("--rows", type=click.IntRange(min=1), help="How many test rows Kaggle will have, for the forecast.")
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), default=9.0, show_default=True)
@click.option("--memory", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True, help="GB.")
def check(run: str | None, rows: int | None, hours: float, memory: float) -> None:
    """Run the built notebook here as Kaggle will: cut off from the network, with another number of test rows."""
    from kgl.notebook.check import check as check_build
    from kgl.notebook.kernel import find_build

    workspace = find_workspace()
    build = find_build(workspace, run)
    click.echo(check_build(workspace, build, hours=hours, memory_gb=memory, rows=rows, say=notice))


@notebook.command()
@click.argument("run", required=False)
def push(run: str | None) -> None:
    """Bring a build to Kaggle, data sets first; follow its notebook, fetch its output and log, check the file.

    What is there with the same content is not pushed again: stop it and start it as you like.
    """
    from kgl.notebook.push import push as push_build

    if pushed := push_build(find_workspace(), run, say=notice):
        notice("Next: uv run kgl notebook submit")
        click.echo(f"{pushed.kernel} version {pushed.number}")


@notebook.command()
@click.argument("run", required=False)
@click.option("-m", "note", default="", metavar="TEXT", help="A note for the description.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def submit(run: str | None, note: str, yes: bool) -> None:
    """Submit the notebook of a build, pushed first where it is not; wait for its score and record it."""
    from kgl.notebook.push import submit as submit_build

    event = submit_build(find_workspace(), run, note=note, confirm=asking(yes, "Submit it?"), say=notice)
    tell_scores(event, f"ref {event.ref}, {event.run}" if event else "")


@notebook.command()
@click.argument("name")
@click.argument("changes", nargs=-1, metavar="[key=value...]")
@click.option("--gpu", is_flag=True, help="Ask for a graphics card; costs quota.")
@click.option("--hours", type=click.FloatRange(0, 12, min_open=True), default=9.0, help="Of a session, 9 by default.")
def train(name: str, changes: tuple[str, ...], gpu: bool, hours: float) -> None:
    """Train an experiment on Kaggle and fetch its run; the same command follows it, and begins the next session.

    \b
    kgl notebook train strong --gpu            # all folds, as many as nine hours allow
    kgl notebook train strong folds=0,1 --gpu  # these alone
    """
    from kgl.notebook.train import train as train_there
    from kgl.wording import summary

    if odd := [word for word in changes if "=" not in word]:
        raise usage(f"'{odd[0]}' is not key=value, such as folds=0,1.")
    typed = dict(word.split("=", 1) for word in changes)
    if run := train_there(find_workspace(), name, typed, gpu=gpu, hours=hours, say=notice):
        click.echo(summary(run))
        if not run.is_complete:
            notice("Not all folds are there: the same command goes on in another session.")
        click.echo(run.run)
