"""The online part of kgl doctor: credentials, client, and what Kaggle says of the contest. It ends in time whatever hangs."""

import importlib.metadata
import importlib.util
import shutil
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from kgl.errors import KglError
from kgl.findings import Finding
from kgl.online.client import Contest, Kaggle, explain_rules
from kgl.online.credentials import SETTINGS, sources, unread_files
from kgl.online.download import list_files
from kgl.online.manifest import NAME as MANIFEST
from kgl.online.progress import size_text
from kgl.online.submit import allowance

PATIENCE = 40.0
"""Seconds for all calls together; even a name server that never answers ends there."""


def check_online(slug: str, root: Path) -> list[Finding]:
    """Findings about credentials, the client and the contest. `root` is the folder of the data."""
    findings = [*check_credentials(), *check_client()]
    if any(finding.level == "block" for finding in findings):
        return findings
    stdout, asked = sys.stdout, list[Finding]()
    thread = threading.Thread(target=_ask, args=(slug, root, asked), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    sys.stdout = stdout  # a call that hangs still has it redirected
    if thread.is_alive():
        mend = "check the network and HTTPS_PROXY, or try later; only download, submit and status need Kaggle"
        asked.append(Finding("block", f"Kaggle did not answer within {PATIENCE:.0f} s", mend))
    return findings + asked


def check_credentials() -> Iterator[Finding]:
    """Which credentials there are, which are in force, and who can read them."""
    found = sources()
    if not found:
        yield Finding(
            "block", "no Kaggle credentials", f"create a token at {SETTINGS} and save it as ~/.kaggle/access_token"
        )
    for place, source in enumerate(found):
        if place == 0:
            yield Finding("ok", f"the {source.kind} in {source.place} is in force")
        else:
            yield Finding(
                "warn",
                f"the {source.kind} in {source.place} is shadowed by {found[0].place}",
                "remove the one that is not wanted, so that it cannot go stale unnoticed",
            )
        if source.open_to_others:
            yield Finding("warn", f"{source.path} can be read by other users", f"chmod 600 {source.path}")
    for path in unread_files():
        yield Finding("warn", f"{path} is not read by the client", "move it to ~/.kaggle/, with username and key in it")


def check_client() -> Iterator[Finding]:
    """The kaggle package and its known faults."""
    if sys.version_info < (3, 11):
        yield Finding(
            "block", "Python is older than 3.11, which gets a client that ignores new tokens", "install 3.11+"
        )
    try:
        version = importlib.metadata.version("kaggle")
    except importlib.metadata.PackageNotFoundError:
        yield Finding("block", "the kaggle client is not installed", "uv sync")
        return
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    if numbers < (2, 2):
        yield Finding("block", f"the kaggle client {version} is too old", "uv sync --upgrade-package kaggle")
    else:
        yield Finding("ok", f"kaggle client {version}")
    for name, why in (
        ("six", "the client imports it without asking for it"),
        ("certifi", "secure connections need it"),
    ):
        if not importlib.util.find_spec(name):
            yield Finding("block", f"the package {name} is missing; {why}", f"uv add {name}")


def _ask(slug: str, root: Path, asked: list[Finding]) -> None:
    """Everything that needs an answer of Kaggle, in the order in which it is likely to be refused."""
    kaggle = Kaggle(slug, timeout=8.0, attempts=2)
    try:
        contest = kaggle.contest()
        asked.append(Finding("ok", f'Kaggle accepts the credentials and knows the contest "{contest.title or slug}"'))
        asked += _contest(contest)
        files = list_files(kaggle)
        asked.append(_size(sum(file.size for file in files), root))
        if contest.entered:
            kaggle.call("download_data_files").close()
            asked.append(Finding("ok", "the rules are accepted and the data may be downloaded"))
            if not contest.code_only:  # starts an upload that is never sent: it costs no slot, and tells who may submit
                kaggle.call("start_submission_upload", file_name="check.csv", content_length=1)
            asked.append(Finding("ok", f"submissions: {allowance(kaggle)}"))
    except KglError as error:
        asked.append(Finding("block", *_parts(error.message)))


def _contest(contest: Contest) -> Iterator[Finding]:
    if not contest.entered:
        yield Finding("block", *_parts(explain_rules(contest.slug).message))
    if contest.code_only:
        yield Finding("warn", "a code competition: it takes notebooks only", "submit with kgl notebook")
    if contest.closed:
        yield Finding("warn", "the contest takes no submissions now")
    if contest.deadline:
        days = (contest.deadline - datetime.now(UTC)).days
        yield Finding(
            "ok", f"deadline {contest.deadline:%Y-%m-%d %H:%M} UTC ({f'in {days} days' if days >= 0 else 'passed'})"
        )
    yield Finding("ok", f"{contest.daily_limit} submissions a day, metric {contest.metric or 'not told'}")


def _size(needed: int, root: Path) -> Finding:
    """The data, archive and unpacked, beside what the disk has free."""
    there = next(folder for folder in (root, *root.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    what = f"the data is {size_text(needed)}, the disk of {root} has {size_text(free)} free"
    if (root / MANIFEST).exists() or 2 * needed < free:
        return Finding("ok", what)
    mend = "archive and files together need up to twice their size; set [files] root to a folder on another disk"
    return Finding("warn", what, mend)


def _parts(sentence: str) -> tuple[str, str]:
    """What is wrong and what to do, of an error's sentence."""
    what, _, mend = sentence.replace("\n ", "; ").partition("; ")
    return what.rstrip("."), mend.strip()
