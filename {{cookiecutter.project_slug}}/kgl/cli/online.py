"""kgl download, submit, status and doctor: the commands that talk to Kaggle."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from kgl.errors import KglError, usage

if TYPE_CHECKING:
    from pathlib import Path

    from kgl.competition import Competition
    from kgl.findings import Finding
    from kgl.online.journal import Event
    from kgl.online.status import Status
    from kgl.paths import Workspace

SHOWN = 12  # files that download lists before it says how many more there are


def _open() -> "tuple[Workspace, Competition]":
    from kgl.competition import load_competition
    from kgl.paths import find_workspace

    workspace = find_workspace()
    return workspace, load_competition(workspace)


def _notice(line: str) -> None:
    click.echo(line, err=True)


@click.command()
@click.argument("patterns", nargs=-1)
@click.option("--force", is_flag=True, help="Replace files that you edited.")
def download(patterns: tuple[str, ...], force: bool) -> None:
    """Fetch the contest's files, verified and unpacked; PATTERNS such as 'train*' choose some of them."""
    from kgl.online.client import Kaggle
    from kgl.online.download import download as bring
    from kgl.online.progress import size_text

    def overwrite(names: list[str]) -> bool:
        edited = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") + ": edited"
        if not (force or sys.stdin.isatty()):
            raise usage(f"{edited} since the download, and left as it is; --force fetches the original again.")
        return force or click.confirm(f"{edited} since the download. Replace it by the original?")

    workspace, competition = _open()
    root = workspace.root / competition.files.root
    files, fetched = bring(Kaggle(competition.slug, say=_notice), root, patterns, overwrite=overwrite)
    for file in files[:SHOWN]:
        click.echo(f"  {size_text(file.size):>9}  {file.name}")
    if len(files) > SHOWN:
        click.echo(f"  and {len(files) - SHOWN:,} more")
    total = size_text(sum(file.size for file in files))
    click.echo(f"{len(files):,} files, {total}, in {root}; {len(fetched):,} fetched now, the others were whole")
    known = competition.task and competition.metric and competition.target and competition.files.train
    click.echo(f"Next: uv run kgl {'baseline' if known else 'init, which reads them and fills competition.toml'}")


@click.command()
@click.argument("run", required=False)
@click.option("-m", "note", default="", metavar="TEXT", help="A note for the description.")
@click.option("--dry-run", is_flag=True, help="Only the checks, offline.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--again", is_flag=True, help="Send content that was sent before.")
@click.option(
    "--stale-sample", is_flag=True, help="The sample submission's rows are out of date: expect those of test."
)
@click.option("--final", is_flag=True, help="Propose the two submissions to select for the private score.")
def submit(run: str | None, note: str, dry_run: bool, yes: bool, again: bool, stale_sample: bool, final: bool) -> None:
    """Check a run's file, send it, wait for its score and record it; RUN is the board's first unless given."""
    from kgl.online.client import Kaggle
    from kgl.online.fetch import digest
    from kgl.online.submit import Candidate, allowance, refuse_sent
    from kgl.online.submit import submit as send
    from kgl.runs import read_run
    from kgl.submission import check_run

    workspace, competition = _open()
    if final:
        return _propose(workspace, competition)
    chosen = read_run(workspace, run or _best(workspace, competition))
    if chosen.is_rosy:
        _notice(f"{chosen.run} is rosy: its own folds chose its epochs, so its CV promises more than it will keep")
    file = check_run(workspace, chosen.run, stale_sample=stale_sample)
    if not again:
        refuse_sent(workspace, digest(file))
    click.echo(f"checked      runs/{chosen.run}/{file.name}, CV {_number(chosen.cv_score)}")
    if dry_run:
        return _show_file(file, chosen.label_order, competition)
    if not (yes or sys.stdin.isatty()):
        raise usage("nothing is sent without your word, and there is no terminal to ask on; add --yes.")

    def confirm(text: str) -> bool:
        click.echo(text)
        return yes or click.confirm(f"Send it to {competition.slug}?")

    kaggle = Kaggle(competition.slug, say=_notice)
    candidate = Candidate(chosen.run, file, cv_score=chosen.cv_score, note=note, again=again)
    try:
        event = send(workspace, kaggle, candidate, confirm=confirm)
    except KeyboardInterrupt:
        _notice("Stopped. What was sent is recorded; uv run kgl status picks up its score.")
        raise
    if event is None:
        return click.echo("Nothing was sent.")
    if event.status == "pending":
        return click.echo(f"still pending (ref {event.ref}); uv run kgl status picks up its score")
    try:
        left = allowance(kaggle)
    except KglError as error:
        left = error.message
    click.echo(f"scored       {_scores(event)}   ({left})\nNext: uv run kgl status")


def _show_file(file: "Path", labels: list[str], competition: "Competition") -> None:
    """The first lines of a submission, and which label a single probability is of."""
    from kgl.metrics import get_metric

    lines = file.read_text(encoding="utf-8").splitlines()
    click.echo("\n".join(f"  {line[:100]}" for line in lines[:4]))
    columns = [name for name in lines[0].split(",") if name not in competition.id]
    takes = get_metric(competition.metric).takes
    if competition.task == "binary" and takes == "probabilities" and len(columns) == 1:
        click.echo(f"{columns[0]}: the probability of {labels[1]} (not of {labels[0]})")
    click.echo(f"{len(lines) - 1:,} rows; nothing was sent. Next: uv run kgl submit {file.parent.name}")


def _best(workspace: "Workspace", competition: "Competition") -> str:
    from kgl.board import best_run
    from kgl.fold_file import current_hash

    competition.require("metric")
    best = best_run(workspace, competition.metric, current_hash(workspace, competition.folds))
    if best is None:
        raise KglError("no complete run to submit yet; uv run kgl baseline makes some.")
    return best.run


def _propose(workspace: "Workspace", competition: "Competition") -> None:
    from kgl.final import final_two
    from kgl.fold_file import current_hash
    from kgl.paths import use_workspace

    competition.require("metric")
    use_workspace(workspace)  # for a metric of contest.py
    chosen, warnings = final_two(workspace, competition.metric, current_hash(workspace, competition.folds))
    for warning in warnings:
        click.echo(warning)
    if not chosen:
        raise KglError("no scored submission in submissions.jsonl yet; uv run kgl submit makes one.")
    for choice in chosen:
        event = choice.event
        click.echo(f"choose  ref {event.ref}  {event.run}  {_scores(event)}\n        {choice.reason}")
    click.echo(f"Select them at https://www.kaggle.com/competitions/{competition.slug}/submissions; nothing was sent.")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(as_json: bool) -> None:
    """Submissions with CV beside scores, your place and the medal lines, and what is left today."""
    from kgl.online.client import Kaggle
    from kgl.online.relation import in_words
    from kgl.online.status import read_status

    workspace, competition = _open()
    now = read_status(workspace, Kaggle(competition.slug, say=_notice))
    if as_json:
        return click.echo(json.dumps(asdict(now), indent=2, default=str))
    _show_submissions(now.submissions)
    _show_place(now)
    click.echo("\n".join(in_words(now.relation)))


def _show_submissions(submissions: "list[Event]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("ref", "sent (UTC)", "run", "CV", "public", "private", "status", box=None, pad_edge=False)
    for event in submissions:
        scores = (_number(value) for value in (event.cv_score, event.public_score, event.private_score))
        about = event.run or event.message[:40]
        table.add_row(
            str(event.ref), event.time[:16].replace("T", " "), about, *scores, f"{event.status} {event.error}"
        )
    Console(width=None if sys.stdout.isatty() else 140).print(table if submissions else "no submissions yet")


def _show_place(now: "Status") -> None:
    contest = now.contest
    click.echo(
        f"place        {contest.rank or '-'} of {contest.teams:,}" + ("" if contest.medals else "; no medals here")
    )
    for line in now.lines:
        distance = f", {line.distance:.5f} from yours" if line.distance is not None else ""
        click.echo(f"{line.name:12} {line.score:.5f} at place {line.place:,}{distance}")
    click.echo(f"allowance    {now.allowance}")
    if contest.deadline:
        click.echo(f"deadline     {contest.deadline:%Y-%m-%d %H:%M} UTC")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor(as_json: bool) -> None:
    """What is wrong with machine, credentials, rules, data and folds, and what mends it."""
    findings = _findings()
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    for finding in findings if not as_json else []:
        click.echo(f"{finding.level:6} {finding.what}" + (f"\n       -> {finding.mend}" if finding.mend else ""))
    if any(finding.level == "block" for finding in findings):
        raise click.exceptions.Exit(1)


def _findings() -> "list[Finding]":
    from kgl.checks import check_workspace
    from kgl.online.checks import check_online
    from kgl.paths import find_workspace

    findings = check_workspace(find_workspace())
    try:
        workspace, competition = _open()
    except KglError:  # check_workspace tells
        return findings
    return findings + check_online(competition.slug, workspace.root / competition.files.root)


def _scores(event: "Event") -> str:
    private = "" if event.private_score is None else f"  private {event.private_score:.5f}"
    return f"public {_number(event.public_score)}{private}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5f}"
