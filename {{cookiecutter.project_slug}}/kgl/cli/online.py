"""kgl download, submit, status and doctor: the commands that talk to Kaggle."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kgl.errors import KglError, usage

if TYPE_CHECKING:
    from kgl.competition import Competition
    from kgl.online.journal import Event
    from kgl.online.status import Status
    from kgl.paths import Workspace

SHOWN = 12
"""Files that download lists before it says how many more there are."""


def _workspace() -> "tuple[Workspace, Competition, Path]":
    """The workspace, its facts and the folder of the contest's files."""
    from kgl.competition import load_competition
    from kgl.paths import find_workspace

    workspace = find_workspace()
    competition = load_competition(workspace)
    return workspace, competition, workspace.root / competition.files.root


@click.command()
@click.argument("patterns", nargs=-1)
@click.option("--force", is_flag=True, help="Replace files that you edited.")
def download(patterns: tuple[str, ...], force: bool) -> None:
    """Fetch the contest's files, verified and unpacked; PATTERNS such as 'train*' choose some of them."""
    from kgl.online.client import Kaggle
    from kgl.online.download import download as fetch_all
    from kgl.online.progress import size_text

    def overwrite(names: list[str]) -> bool:
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        if force or (
            sys.stdin.isatty() and click.confirm(f"{shown}: edited since the download. Fetch the original again?")
        ):
            return True
        if not sys.stdin.isatty():
            raise usage(f"{shown}: edited since the download, and left alone; --force fetches the original again.")
        return False

    _, competition, root = _workspace()
    done = fetch_all(Kaggle(competition.slug), root, patterns, overwrite=overwrite, say=_say)
    for file in done.files[:SHOWN]:
        click.echo(f"  {size_text(file.size):>9}  {file.name}")
    if len(done.files) > SHOWN:
        click.echo(f"  ... and {len(done.files) - SHOWN:,} more")
    total = size_text(sum(file.size for file in done.files))
    click.echo(
        f"{len(done.files):,} files, {total}, in {root}: {len(done.fetched):,} fetched now, the others were whole"
    )
    known = competition.task and competition.metric and competition.target and competition.files.train
    step = "baseline" if known else "init      # reads them and fills competition.toml"
    click.echo(f"Next: uv run kgl {step}")


@click.command()
@click.argument("run", required=False)
@click.option("-m", "note", default="", metavar="TEXT", help="A note for the description.")
@click.option("--dry-run", is_flag=True, help="Only the checks, offline.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--again", is_flag=True, help="Send content that was sent before.")
@click.option("--final", is_flag=True, help="Propose the two submissions to select for the private score.")
def submit(run: str | None, note: str, dry_run: bool, yes: bool, again: bool, final: bool) -> None:
    """Check a run's file, send it, wait for its score and record it; RUN is the board's best unless given."""
    from kgl.board import best_run
    from kgl.online.client import Kaggle
    from kgl.online.submit import allowance, refuse_sent
    from kgl.online.submit import submit as send
    from kgl.runs import read_run
    from kgl.submission import check_run

    workspace, competition, _ = _workspace()
    if final:
        return _propose(workspace, competition)
    name = run or best_run(workspace)
    file = check_run(workspace, name)
    if not again:
        refuse_sent(workspace, file)
    cv_score = read_run(workspace, name).cv_score
    click.echo(f"checked      runs/{name}/submission.csv" + ("" if cv_score is None else f", CV {cv_score:.5f}"))
    if dry_run:
        return
    if not (yes or sys.stdin.isatty()):
        raise usage("nothing is sent without your word, and there is no terminal to ask on; add --yes.")

    def confirm(text: str) -> bool:
        click.echo(text)
        return yes or click.confirm(f"Send it to {competition.slug}?")

    kaggle = Kaggle(competition.slug)
    try:
        event = send(
            workspace, kaggle, name, file, cv_score=cv_score, note=note, again=again, confirm=confirm, say=click.echo
        )
    except KeyboardInterrupt:
        _say("Stopped. What was sent is recorded; uv run kgl status picks up its score.")
        raise
    if event is None:
        click.echo("Nothing was sent.")
    elif event.status == "pending":
        click.echo(f"still pending after the wait (ref {event.ref}); uv run kgl status picks up its score")
    else:
        click.echo(f"scored       {_scores(event)}   ({_left(kaggle, allowance)})")
        click.echo("Next: uv run kgl status      or a new idea: uv run kgl board")


def _left(kaggle: Any, allowance: Any) -> str:
    try:
        return str(allowance(kaggle))
    except KglError as error:
        return error.message


def _propose(workspace: "Workspace", competition: "Competition") -> None:
    from kgl.metrics import get_metric
    from kgl.online.journal import latest
    from kgl.online.status import final_two

    competition.require("metric")
    chosen = final_two(
        list(latest(workspace).values()), greater_is_better=get_metric(competition.metric).greater_is_better
    )
    if not chosen:
        raise KglError("no scored submission in submissions.jsonl yet; uv run kgl submit makes one.")
    for event, why in zip(chosen, ("best CV", "best public score of the others"), strict=False):
        click.echo(f"  ref {event.ref}  {event.run}  {_scores(event)}  CV {_number(event.cv_score)}   {why}")
    click.echo(f"Select them at https://www.kaggle.com/competitions/{competition.slug}/submissions")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(as_json: bool) -> None:
    """Submissions with CV beside scores, your place and the medal lines, and what is left today."""
    from kgl.online.client import Kaggle
    from kgl.online.status import read_status

    workspace, competition, _ = _workspace()
    now = read_status(workspace, Kaggle(competition.slug))
    if as_json:
        click.echo(json.dumps(asdict(now), indent=2, default=str))
    else:
        _show_status(now)


def _show_status(now: "Status") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("ref", "sent (UTC)", "run", "CV", "public", "private", "status"):
        table.add_column(name, justify="right" if name in ("CV", "public", "private") else "left")
    for event in now.submissions:
        when, about = event.time[:16].replace("T", " "), event.run or event.message
        scores = (_number(value) for value in (event.cv_score, event.public_score, event.private_score))
        table.add_row(str(event.ref), when, about[:40], *scores, f"{event.status} {event.error}".strip())
    Console().print(table if now.submissions else "No submissions yet.")
    contest = now.contest
    click.echo(f"place        {contest.rank or '-'} of {contest.teams:,}")
    mine = next((line.score for line in now.lines if line.name == "yours"), None)
    for line in now.lines:
        distance = "" if mine is None or line.name == "yours" else f"   {abs(line.score - mine):.5f} from yours"
        click.echo(f"{line.name:12} {line.score:.5f} at place {line.place:,}{distance}")
    if not contest.medals:
        click.echo("             (this contest awards no medals; the lines are those of a contest of its size)")
    click.echo(f"allowance    {now.allowance}")
    if contest.deadline:
        click.echo(f"deadline     {contest.deadline:%Y-%m-%d %H:%M} UTC")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor(as_json: bool) -> None:
    """What is wrong with machine, credentials, rules, data and folds, and what mends it."""
    from kgl.findings import Finding
    from kgl.online.checks import check_online

    findings: list[Finding] = []
    try:
        _, competition, root = _workspace()
        findings += check_online(competition.slug, root)
    except KglError as error:
        findings.append(Finding("block", error.message))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            click.echo(f"{finding.level:6} {finding.what}" + (f"\n       -> {finding.mend}" if finding.mend else ""))
    if any(finding.level == "block" for finding in findings):
        raise SystemExit(1)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _scores(event: "Event") -> str:
    private = "" if event.private_score is None else f"  private {event.private_score:.5f}"
    return f"public {_number(event.public_score)}{private}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5f}"
