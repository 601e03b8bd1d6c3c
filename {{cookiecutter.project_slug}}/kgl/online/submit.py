"""kgl submit: no slot is spent on a bad file, none twice on the same one, and nothing is lost on the way."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kgl.errors import FAILED, REFUSED, KglError
from kgl.journal import Event, append, latest
from kgl.online.client import Kaggle
from kgl.online.credentials import masked
from kgl.online.refusals import reset_time, rules_not_accepted
from kgl.paths import Workspace
from kgl.runs import holding, now

LONGEST_WAIT = 600.0  # seconds for a score
SCORED = ("complete", "error")  # any other status is still pending
Confirm = Callable[[str], bool]
Make = Callable[[], Any]


def refuse_sent(workspace: Workspace, sha256: str) -> None:
    """Refuse content that was sent before.

    Raises:
        KglError: submissions.jsonl knows this content (status 1).
    """
    for event in latest(workspace).values():
        if event.file_sha256 == sha256:
            raise _sent_already(event)


@dataclass(frozen=True)
class Candidate:
    """What is to be submitted.

    sha256: of its content, by which it is known. prepare: takes the description, brings up what is needed, and gives
    the call that makes the submission. again: although its content was sent before. is_notebook: a file otherwise.
    """

    run: str
    sha256: str
    prepare: Callable[[str], Make]
    cv_score: float | None
    note: str = ""
    again: bool = False
    is_notebook: bool = False


def submit(workspace: Workspace, kaggle: Kaggle, candidate: Candidate, *, confirm: Confirm) -> Event | None:
    """Make a submission that was not made before, wait for its score, and record both; None if the user said no.

    Args:
        confirm: asked once, with description and allowance, before anything is uploaded.

    Raises:
        KglError: sent already, upload broken, or it cannot be scored (1); refused by Kaggle (3).
    """
    with holding(workspace.cache, "kgl submit"):  # two processes would spend two slots on the same file
        event = _send(workspace, kaggle, candidate, confirm)
    return event and finish(workspace, kaggle, event)


def _send(workspace: Workspace, kaggle: Kaggle, c: Candidate, confirm: Confirm) -> Event | None:
    """From looking what was sent to recording what is."""
    if not c.again:
        refuse_sent(workspace, c.sha256)
    _refuse_closed(kaggle, c.is_notebook)
    event = Event(0, c.run, c.sha256, describe(c.run, c.sha256, c.cv_score, c.note), now(), cv_score=c.cv_score)
    before = list_submissions(kaggle)
    if not c.again:
        _refuse_known(workspace, before, event)
    if not confirm(f"{event.message}\n{allowance(kaggle)}"):
        return None
    ref = _create(kaggle, c.prepare(event.message), event.message, {one.ref for one in before})
    event = replace(event, ref=ref, time=now())
    append(workspace, event)
    kaggle.say(f"submitted as ref {ref}; waiting for the score (Ctrl-C loses nothing)")
    return event


def prepare_file(kaggle: Kaggle, file: Path, message: str) -> Make:
    """Bring a file up; what it gives submits it. See `Candidate`."""
    fields = {"blob_file_tokens": _upload(kaggle, file), "submission_description": message}
    return lambda: kaggle.call("create_submission", attempts=1, **fields)


def finish(workspace: Workspace, kaggle: Kaggle, event: Event) -> Event:
    """Wait until a pending submission is scored, record it, and return how it stands: perhaps still pending.

    Raises:
        KglError: Kaggle could not score the file (status 1).
    """

    def scored() -> Event | None:
        found = (one for one in list_submissions(kaggle) if one.ref == event.ref and one.status in SCORED)
        return next(found, None)

    if theirs := kaggle.wait(scored, LONGEST_WAIT):
        event = merged(event, theirs)
        append(workspace, event)
    if event.status == "error":
        raise KglError(f"Kaggle could not score the file: {event.error or 'no reason given'} (this costs no slot).")
    return event


def list_submissions(kaggle: Kaggle) -> list[Event]:
    """The newest submissions of the user's team, newest first, with what Kaggle knows of them."""
    return [_event(one) for one in kaggle.every("list_submissions", "submissions", most=200)]


def _event(one: Any) -> Event:
    time = f"{one.date:%Y-%m-%dT%H:%M:%SZ}" if one.date else ""
    public, private = score_of(one.public_score), score_of(one.private_score)
    status, error = one.status.name.lower(), masked(one.error_description or "")
    return Event(int(one.ref or 0), "", "", masked(one.description or ""), time, status, public, private, error)


def score_of(text: object) -> float | None:
    """A score as Kaggle writes it; None where it is not a number."""
    return float(str(text)) if re.fullmatch(r"[-+]?\d*\.?\d+(e[-+]?\d+)?", str(text), re.I) else None


def merged(ours: Event, theirs: Event) -> Event:
    """Our event with the state that Kaggle tells."""
    return replace(theirs, run=ours.run, file_sha256=ours.file_sha256, time=ours.time, cv_score=ours.cv_score)


def allowance(kaggle: Kaggle) -> str:
    """What is left of the allowance, in words.

    Raises:
        KglError: nothing is left (status 3).
    """
    limits = kaggle.call("get_submission_limits")
    if (limits.num_allowed_now or 0) > 0:
        return f"{limits.num_allowed_now} left today, {limits.num_today} used; reset at {reset_time()}"
    if limits.limited_by_total:
        raise KglError(f"no submission left: this contest's total is used up ({limits.num_total} sent).", REFUSED)
    used = f"no submission left today ({limits.num_today} used)"
    raise KglError(f"{used}; the allowance is back at {reset_time()}.", REFUSED)


def allowance_in_words(kaggle: Kaggle) -> str:
    """What is left of the allowance, or that nothing is."""
    try:
        return allowance(kaggle)
    except KglError as error:
        return error.message


def describe(run: str, sha256: str, cv_score: float | None, note: str) -> str:
    """The description: run, CV, mark of the content, note; without characters that Kaggle is known to stumble on."""
    cv = "" if cv_score is None else f" cv={cv_score:.5f}"
    return re.sub(r"[^A-Za-z0-9\-_=.]+", " ", f"{run}{cv} {_mark(sha256)} {note}")[:200].strip()


def _mark(sha256: str) -> str:
    return f"sha={sha256[:12]}"


def _refuse_closed(kaggle: Kaggle, notebook: bool) -> None:
    contest = kaggle.contest()
    if contest.code_only and not notebook:
        raise KglError(f'"{kaggle.slug}" takes notebooks only; use kgl notebook push and kgl notebook submit.', REFUSED)
    if not contest.entered:
        raise rules_not_accepted(kaggle.slug)
    if contest.closed:
        raise KglError(f'"{kaggle.slug}" is closed: it takes no submissions now.', REFUSED)


def _sent_already(event: Event) -> KglError:
    score = f"public {event.public_score}" if event.public_score is not None else event.status
    when = event.time[:16].replace("T", " ")
    sent = f"the same content was sent already: {event.run}, {when} UTC, ref {event.ref}, {score}"
    return KglError(f"{sent}. Send something new, or add --again.")


def _refuse_known(workspace: Workspace, submissions: list[Event], event: Event) -> None:
    """Refuse content that Kaggle has and submissions.jsonl lacks (sent elsewhere, or cut off), after recording it."""
    for one in submissions:
        if _mark(event.file_sha256) in one.message:
            found = replace(merged(event, one), run=one.message.split()[0], time=one.time)
            append(workspace, found)
            raise _sent_already(found)


def _upload(kaggle: Kaggle, file: Path) -> str:
    """Bring the file up; from the beginning again if that breaks. Returns the token that CreateSubmission wants."""
    import requests

    def once(api: object) -> str:
        place = kaggle.call("start_submission_upload", file_name=file.name, content_length=file.stat().st_size)
        with file.open("rb") as content:
            answer = requests.put(place.create_url, data=content, timeout=kaggle.timeout)
        if answer.status_code not in (200, 201):
            raise requests.ConnectionError(f"the storage answered {answer.status_code}")
        return str(place.token)

    try:
        return kaggle.ask(once)
    except KglError as error:
        if error.status != FAILED:
            raise
        raise KglError(f"the upload broke, and nothing was submitted (no slot is used): {error.message}") from error


def _create(kaggle: Kaggle, make: Make, message: str, before: set[int]) -> int:
    """Make a submission and return its ref, read back. It is not made again while it may be there.

    Raises:
        KglError: refused (3); no answer, or Kaggle says that it is done and it is not there (1).
    """
    answer, found = kaggle.once(make, lambda: _read_back(kaggle, message, before))
    if ref := found or answer.ref:
        return int(ref)
    allowed = allowance(kaggle)  # refuses by itself where that is the reason
    raise KglError(f'Kaggle said "{answer.message}", but the submission is not there. Try again: {allowed}.')


def _read_back(kaggle: Kaggle, message: str, before: set[int]) -> int:
    """The ref of the new submission with this description; 0 if there is none after some looks."""
    for look in range(3):
        for one in list_submissions(kaggle):
            if one.message == message and one.ref not in before | {0}:
                return one.ref
        time.sleep(2.0**look)
    return 0
