"""kgl notebook: code competitions, from a run to a notebook that Kaggle scores, and training on Kaggle."""

import click


@click.group()
def notebook() -> None:
    """Code competitions: build a notebook, check it here, push it to Kaggle, submit it; or train there.

    \b
    kgl notebook build            # what predicts with the board's first run; or name a run or a blend
    kgl notebook check            # does it run as Kaggle runs it: no network, other test rows, time, memory
    kgl notebook push             # data sets, then the notebook; waits until it has run
    kgl notebook submit           # that version, scored
    """


def _notice(line: str) -> None:
    click.echo(line, err=True)


@notebook.command()
@click.argument("run", required=False)
@click.option("--gpu", is_flag=True, help="Ask for a graphics card; costs quota.")
@click.option("--internet", is_flag=True, help="Leave the network on; most code competitions refuse that.")
@click.option("--no-wheels", is_flag=True, help="Pack no packages that Kaggle's image lacks or has in other versions.")
@click.option("--package", "packages", multiple=True, metavar="NAME", help="Pack this one, too; may stand repeatedly.")
def build(run: str | None, gpu: bool, internet: bool, no_wheels: bool, packages: tuple[str, ...]) -> None:
    """Make build/RUN: data sets of source, weights and wheels, and a notebook that predicts with them."""
    from kgl.notebook.build import build as build_run
    from kgl.paths import find_workspace

    made = build_run(
        find_workspace(), run, gpu=gpu, internet=internet, wheels=not no_wheels, packages=packages, say=_notice
    )
    click.echo("Next: uv run kgl notebook check", err=True)
    click.echo(f"build/{made.run}")


@notebook.command()
@click.argument("run", required=False)
@click.option("--rows", type=click.IntRange(min=1), help="How many test rows Kaggle will have, for the forecast.")
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), default=9.0, show_default=True)
@click.option("--memory", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True, help="GB.")
def check(run: str | None, rows: int | None, hours: float, memory: float) -> None:
    """Run the built notebook here as Kaggle will: cut off from the network, with another number of test rows."""
    from kgl.notebook.build import find_build
    from kgl.notebook.check import Limits
    from kgl.notebook.check import check as check_build
    from kgl.paths import find_workspace

    workspace = find_workspace()
    limits = Limits(hours=hours, memory_gb=memory, rows=rows)
    click.echo(check_build(workspace, find_build(workspace, run), limits, say=_notice))
