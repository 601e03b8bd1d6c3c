"""What the commands share: lines beside the answer, tables, the question before something is sent, and its score."""

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from kgl.errors import usage

if TYPE_CHECKING:
    from kgl.findings import Finding
    from kgl.journal import Event

json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")


def notice(line: str) -> None:
    """A line beside the answer."""
    click.echo(line, err=True)


def print_json(value: Any) -> None:
    """An answer for programs; times become text."""
    click.echo(json.dumps(value, indent=2, default=str))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their texts; empty ones are left out, and the last one is cut where the line ends."""
    kept = [i for i, _ in enumerate(header) if i + 1 == len(header) or not rows or any(row[i] for row in rows)]
    table = [[row[i] for i in kept] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(kept) - 1)]
    room = max(20, shutil.get_terminal_size((140, 24)).columns - sum(widths) - 2 * len(widths))
    for row in table:
        last = row[-1] if len(row[-1]) <= room else row[-1][: room - 3] + "..."
        cells = [text.ljust(width) for text, width in zip(row[:-1], widths, strict=True)]
        click.echo("  ".join([*cells, last]).rstrip())


def print_findings(findings: "Iterable[Finding]") -> None:
    """What is so, and below it what mends it."""
    for one in findings:
        click.echo(f"{one.level:6} {one.what}" + (f"\n       -> {one.mend}" if one.mend else ""))


def asking(yes: bool, question: str) -> Callable[[str], bool]:
    """What asks before something is sent, unless `yes`.

    Raises:
        KglError: there is nobody to ask (status 2).
    """
    if not (yes or sys.stdin.isatty()):
        raise usage("nothing is sent without your word, and there is no terminal to ask on; add --yes.")

    def confirm(text: str) -> bool:
        click.echo(text)
        return yes or click.confirm(question)

    return confirm


def tell_scores(event: "Event | None", more: str) -> None:
    """How a submission stands; `more` is said of one that is scored, None of one that was not sent."""
    if event is None:
        click.echo("Nothing was sent.")
    elif event.status == "pending":
        click.echo(f"still pending (ref {event.ref}); uv run kgl status picks up its score")
    else:
        click.echo(f"scored       {scores(event)}   ({more})")


def scores(event: "Event") -> str:
    """The public score, and the private one if it is known."""
    private = "" if event.private_score is None else f"  private {event.private_score:.5f}"
    return f"public {number(event.public_score)}{private}"


def number(value: float | None) -> str:
    """A score of the leaderboard."""
    return "-" if value is None else f"{value:.5f}"
