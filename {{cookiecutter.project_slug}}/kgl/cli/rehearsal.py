"""kgl rehearse: the whole loop without an account."""

import click


@click.command()
def rehearse() -> None:
    """The whole loop on a sample contest, against a practice Kaggle on this machine; no account needed.

    It runs in a temporary workspace with a home and a token of its own: nothing of yours is touched.
    """
    from kgl.competition import load_competition
    from kgl.paths import find_workspace
    from kgl.rehearsal.rehearse import rehearse as run
    from kgl.wording import show

    workspace = find_workspace()
    submission = run(workspace, say=click.echo)
    slug = load_competition(workspace).slug
    click.echo(f"public {show(submission.public)}   private {show(submission.private)}")
    click.echo("That was a rehearsal with sample data. The real one: accept the rules at")
    click.echo(f'https://www.kaggle.com/competitions/{slug}/rules, get a token (README.md, "Credentials"), then:')
    click.echo("  uv run kgl download")
