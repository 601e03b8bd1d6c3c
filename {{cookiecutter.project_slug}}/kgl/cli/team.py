"""kgl import: what a team mate predicted becomes a run here."""

from pathlib import Path

import click

from kgl.cli.talk import notice


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(exists=True, path_type=Path))
@click.option("--name", default="", help="What the run is called here; by default team_<their name>.")
@click.option("-m", "note", default="", metavar="NOTE", help="Kept in run.json, for the board.")
def import_(files: tuple[Path, ...], name: str, note: str) -> None:
    """A team mate's out-of-fold and test predictions, checked, as a run for board, blend and submit.

    \b
    kgl import ../anna/runs/lightgbm-003 --name anna_lightgbm   # a run's folder
    kgl import oof.csv test.csv --name ben -m "his CNN"         # or two tables (csv or parquet)

    What to send: runs/<run>/run.json, oof.parquet and test.parquet. Both of you need the same data/folds.parquet,
    made once and shared through git. Tables made otherwise have the columns id, fold (not for test) and p_<label> for
    each label, or the target's name.
    """
    from kgl.paths import find_workspace
    from kgl.session import open_session
    from kgl.team import import_run
    from kgl.wording import summary

    session = open_session(find_workspace(), say=notice)
    run = import_run(session, files, name=name, note=note)
    click.echo(summary(run))
    notice("Next: uv run kgl board, or uv run kgl blend")
    click.echo(run.run)
