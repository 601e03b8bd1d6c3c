"""kgl report: one page, and RESULTS.md."""

import click


@click.command()
def report() -> None:
    """One HTML page on data, runs and errors (reports/index.html), and RESULTS.md for the repository.

    Made from the files alone: nothing is trained and nothing is sent.
    """
    from kgl.report.material import here
    from kgl.report.page import write_report

    written, lacking = write_report(here())
    for sentence in lacking:
        click.echo(sentence, err=True)
    click.echo(" · ".join(written))
