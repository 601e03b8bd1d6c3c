"""kgl report: one page, and RESULTS.md."""

import click


@click.command()
def report() -> None:
    """One HTML page on data, runs and errors (reports/index.html), and RESULTS.md for the repository.

    Made from the files alone: nothing is trained and nothing is sent.
    """
    from kgl.report.material import here
    from kgl.report.page import write_report

    made = write_report(here())
    for sentence in made.lacking:
        click.echo(sentence, err=True)
    root = made.results.parent
    shown = [path.relative_to(root).as_posix() for path in (made.page, made.results) if path.is_file()]
    click.echo(" · ".join(shown))
