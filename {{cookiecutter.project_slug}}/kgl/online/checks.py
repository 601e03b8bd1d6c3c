"""The online part of kgl doctor: credentials, client, and what Kaggle says. It ends in time whatever hangs."""

import importlib.metadata
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from kgl.errors import KglError
from kgl.findings import Finding
from kgl.online.client import Contest, Kaggle
from kgl.online.credentials import SETTINGS, config_folders, sources
from kgl.online.download import list_files, total_size
from kgl.online.manifest import NAME as MANIFEST
from kgl.online.progress import size_text
from kgl.online.refusals import explain, rules_not_accepted
from kgl.online.submit import allowance

PATIENCE = 40.0  # seconds for all calls together; even a name server that never answers ends there


def check_online(slug: str, root: Path) -> list[Finding]:
    """Findings about credentials, the client and the contest. `root` is the folder of the data."""
    client = f"kaggle client {importlib.metadata.version('kaggle')}, Python {sys.version.split()[0]}"
    findings = [*_credentials(), Finding("ok", client)]
    if any(finding.level == "block" for finding in findings):
        return findings
    stdout = sys.stdout
    asked: list[Finding] = []
    thread = threading.Thread(target=_ask, args=(slug, root, asked), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    sys.stdout = stdout  # a call that hangs still has it redirected
    if thread.is_alive():
        mend = "check the network and HTTPS_PROXY, or try later; only download, submit and status need Kaggle"
        asked.append(Finding("block", f"Kaggle did not answer within {PATIENCE:.0f} s", mend))
    return findings + asked


def _credentials() -> Iterator[Finding]:
    found = sources()
    if not found:
        mend = f"create a token at {SETTINGS}, save it as ~/.kaggle/access_token"
        yield Finding("block", "no Kaggle credentials", mend)
    for source in found:
        if source is found[0]:
            yield Finding("ok", f"the {source.kind} in {source.place} is in force")
        else:
            mend = "remove what is not wanted: a stale token would block good keys"
            yield Finding("warn", f"the {source.kind} in {source.place} is shadowed by {found[0].place}", mend)
        if source.path and os.name != "nt" and source.path.stat().st_mode & 0o077:  # Windows' modes say nothing
            yield Finding("warn", f"{source.path} can be read by other users", f"chmod 600 {source.path}")
    for path in {folder / "kaggle.json" for folder in config_folders()} - {source.path for source in found}:
        if path.is_file():
            mend = "the client reads one folder only, and needs username and key in the file"
            yield Finding("warn", f"{path} is not used", mend)


def _ask(slug: str, root: Path, asked: list[Finding]) -> None:
    """Everything that needs an answer of Kaggle; the first refusal ends it."""
    try:
        kaggle = Kaggle(slug, timeout=8.0, attempts=2)
        contest = kaggle.contest()
        asked.append(Finding("ok", f'Kaggle accepts the credentials and knows the contest "{contest.title or slug}"'))
        asked += _contest(contest)
        asked.append(_space(total_size(list_files(kaggle)), root))
        if not contest.entered:
            raise rules_not_accepted(slug)
        kaggle.call("download_data_files").close()
        asked.append(Finding("ok", "the rules are accepted, and the data may be downloaded"))
        if not contest.code_only:  # an upload that is begun and never sent costs no slot, and tells who may submit
            kaggle.call("start_submission_upload", file_name="check.csv", content_length=1)
        asked.append(Finding("ok", f"submissions: {allowance(kaggle)}"))
    except Exception as error:  # in a thread, where nobody else would see it
        said = error if isinstance(error, KglError) else explain(error, slug)
        what, _, mend = said.message.replace("\n ", ". ", 1).partition(". ")
        asked.append(Finding("block", what, mend.strip()))


def _contest(contest: Contest) -> Iterator[Finding]:
    yield Finding("ok", f"{contest.daily_limit} submissions a day, metric: {contest.metric or 'not told'}")
    if contest.deadline:
        days = (contest.deadline - datetime.now(UTC)).days
        left = f"in {days:,} days" if days >= 0 else "passed"
        yield Finding("ok" if days >= 0 else "warn", f"deadline {contest.deadline:%Y-%m-%d %H:%M} UTC, {left}")
    if contest.code_only:
        yield Finding("warn", "a code competition: it takes notebooks only", "submit with kgl notebook")
    if contest.closed:
        yield Finding("warn", "the contest takes no submissions now")


def _space(needed: int, root: Path) -> Finding:
    """The data, archive and unpacked, beside what the disk has free."""
    free = shutil.disk_usage(next(folder for folder in (root, *root.parents) if folder.exists())).free
    what = f"the data takes {size_text(needed)}; the disk of {root} has {size_text(free)} free"
    if (root / MANIFEST).exists() or 2 * needed < free:
        return Finding("ok", what)
    return Finding("warn", what, "archive and files need up to twice their size; set [files] root to another disk")
