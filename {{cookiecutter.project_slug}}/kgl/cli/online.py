"""kgl download, submit, status and doctor: the commands that talk to Kaggle."""

import sys
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import click

from kgl.cli import talk
from kgl.errors import KglError, some, usage
from kgl.paths import digest, find_workspace

if TYPE_CHECKING:
    from pathlib import Path

    from kgl.competition import Competition
    from kgl.online.status import Status
    from kgl.paths import Workspace

SHOWN = 12  # files that download lists before it says how many more there are


def _open() -> "tuple[Workspace, Competition]":
    from kgl.competition import load_competition

    workspace = find_workspace()
    return workspace, load_competition(workspace)


@click.command()
@click.argument("patterns", nargs=-1)
@click.option("--force", is_flag=True, help="Replace files that you edited.")
def download(patterns: tuple[str, ...], force: bool) -> None:
    """Fetch the contest's files, verified and unpacked; PATTERNS such as 'train*' choose some of them."""
    from kgl.competition import files_root
    from kgl.online.client import Kaggle
    from kgl.online.download import download as bring
    from kgl.online.download import total_size
    from kgl.online.progress import size_text

    def overwrite(names: list[str]) -> bool:
        edited = f"{some(names)}: edited"
        if not (force or sys.stdin.isatty()):
            raise usage(f"{edited} since the download, and left as it is; --force fetches the original again.")
        return force or click.confirm(f"{edited} since the download. Replace it by the original?")

    workspace, competition = _open()
    root = files_root(workspace, competition)
    files, fetched = bring(Kaggle(competition.slug, say=talk.notice), root, patterns, overwrite=overwrite)
    for file in files[:SHOWN]:
        click.echo(f"  {size_text(file.size):>9}  {file.name}")
    if len(files) > SHOWN:
        click.echo(f"  and {len(files) - SHOWN:,} more")
    total = f"{len(files):,} files, {size_text(total_size(files))}, in {root}"
    click.echo(f"{total}; {len(fetched):,} fetched now" + ", the others were whole" * (len(fetched) < len(files)))
    known = competition.task and competition.metric and competition.target and competition.files.train
    click.echo(f"Next: uv run kgl {'baseline' if known else 'init, which reads them and fills competition.toml'}")


@click.command()
@click.argument("run", required=False)
@click.option("-m", "note", default="", metavar="TEXT", help="A note for the description.")
@click.option("--dry-run", is_flag=True, help="Only the checks, offline.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--again", is_flag=True, help="Send content that was sent before.")
@click.option("--stale-sample", is_flag=True, help="The sample submission is out of date: expect the rows of test.")
@click.option("--final", is_flag=True, help="Propose the two submissions to select for the private score.")
def submit(run: str | None, note: str, dry_run: bool, yes: bool, again: bool, stale_sample: bool, final: bool) -> None:
    """Check a run's file, send it, wait for its score and record it; RUN is the board's first unless given."""
    from kgl.board import best_run
    from kgl.online.client import Kaggle
    from kgl.online.submit import Candidate, allowance_in_words, prepare_file, refuse_sent
    from kgl.online.submit import submit as send
    from kgl.runs import read_run
    from kgl.submission import check_run, renew_submission

    workspace, competition = _open()
    if final:
        return _propose(workspace, competition)
    chosen = read_run(workspace, run) if run else best_run(workspace, competition, "submit")
    if chosen.is_rosy:
        talk.notice(f"{chosen.run} is rosy: its own folds chose its epochs, so its CV promises more than it will keep")
    renew_submission(workspace, chosen.run, talk.notice)
    file = check_run(workspace, chosen.run, stale_sample=stale_sample)
    sha256 = digest(file)
    if not again:
        refuse_sent(workspace, sha256)
    click.echo(f"checked      runs/{chosen.run}/{file.name}, CV {talk.number(chosen.cv_score)}")
    if dry_run:
        return _show_file(file, chosen.label_order, competition)
    confirm = talk.asking(yes, f"Send it to {competition.slug}?")
    kaggle = Kaggle(competition.slug, say=talk.notice)
    candidate = Candidate(chosen.run, sha256, partial(prepare_file, kaggle, file), chosen.cv_score, note, again)
    try:
        event = send(workspace, kaggle, candidate, confirm=confirm)
    except KeyboardInterrupt:
        talk.notice("Stopped. What was sent is at Kaggle and is not sent twice; uv run kgl status picks up its score.")
        raise
    scored = event and event.status != "pending"
    talk.tell_scores(event, allowance_in_words(kaggle) if scored else "")
    if scored:
        click.echo("Next: uv run kgl status")


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


def _propose(workspace: "Workspace", competition: "Competition") -> None:
    from kgl.final import final_two
    from kgl.fold_file import current_hash

    competition.require("metric")
    chosen, warnings = final_two(workspace, competition.metric, current_hash(workspace, competition.folds))
    for warning in warnings:
        click.echo(warning)
    if not chosen:
        raise KglError("no scored submission in submissions.jsonl yet; uv run kgl submit makes one.")
    for choice in chosen:
        event = choice.event
        click.echo(f"choose  ref {event.ref}  {event.run}  {talk.scores(event)}\n        {choice.reason}")
    click.echo(f"Select them at https://www.kaggle.com/competitions/{competition.slug}/submissions; nothing was sent.")


@click.command()
@talk.json_option
def status(as_json: bool) -> None:
    """Submissions with CV beside scores, your place and the medal lines, and what is left today."""
    from kgl.online.client import Kaggle
    from kgl.online.relation import in_words
    from kgl.online.status import read_status

    workspace, competition = _open()
    now = read_status(workspace, Kaggle(competition.slug, say=talk.notice))
    if as_json:
        return talk.print_json(asdict(now))
    rows = []
    for one in now.submissions:
        told = map(talk.number, (one.cv_score, one.public_score, one.private_score))
        sent, about = one.time[:16].replace("T", " "), one.run or one.message[:40]
        rows.append([str(one.ref), sent, about, *told, f"{one.status} {one.error}".strip()])
    header = ["ref", "sent (UTC)", "run", "CV", "public", "private", "status"]
    talk.print_table(header, rows) if rows else click.echo("no submissions yet")
    _show_place(now)
    click.echo("\n".join(in_words(now.relation)))


def _show_place(now: "Status") -> None:
    contest = now.contest
    medals = "" if contest.medals else "; no medals here"
    hidden = "; Kaggle does not show the leaderboard" if now.lines is None else ""
    click.echo(f"place        {contest.rank or '-'} of {contest.teams:,}{medals}{hidden}")
    for line in now.lines or ():
        distance = f", {line.distance:.5f} from yours" if line.distance is not None else ""
        click.echo(f"{line.name:12} {line.score:.5f} at place {line.place:,}{distance}")
    click.echo(f"allowance    {now.allowance}")
    if contest.deadline:
        click.echo(f"deadline     {contest.deadline:%Y-%m-%d %H:%M} UTC")


@click.command()
@talk.json_option
def doctor(as_json: bool) -> None:
    """What is wrong with machine, credentials, rules, data and folds, and what mends it."""
    from kgl.checks import check_workspace
    from kgl.competition import files_root
    from kgl.online.checks import check_online

    findings = check_workspace(find_workspace())
    with suppress(KglError):  # facts that cannot be read: check_workspace tells
        workspace, competition = _open()
        findings += check_online(competition.slug, files_root(workspace, competition))
    if as_json:
        talk.print_json([asdict(finding) for finding in findings])
    else:
        talk.print_findings(findings)
    if any(finding.level == "block" for finding in findings):
        raise click.exceptions.Exit(1)
