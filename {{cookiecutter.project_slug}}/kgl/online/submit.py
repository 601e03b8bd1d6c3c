"""kgl submit: no slot is spent on a bad file, none twice on the same one, and nothing is lost on the way."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from kgl.errors import FAILED, REFUSED, KglError
from kgl.online.client import Contest, Kaggle, explain_rules
from kgl.online.fetch import digest
from kgl.online.journal import Event, append, latest, now
from kgl.online.refusals import reset_time
from kgl.online.submissions import Submission, describe, list_submissions, mark, updated
from kgl.paths import Workspace

FIRST_PAUSE, LONGEST_PAUSE, CAP = 2.0, 60.0, 600.0
"""Seconds between two looks at a pending submission, growing by half, and after how many in all the wait ends."""


def refuse_sent(workspace: Workspace, file: Path) -> str:
    """The sha256 of the file's content, if it was not sent yet.

    Raises:
        KglError: submissions.jsonl knows this content (status 1).
    """
    sha256 = digest(file)
    for event in latest(workspace).values():
        if event.file_sha256 == sha256:
            raise _sent_already(event)
    return sha256


def submit(
    workspace: Workspace,
    kaggle: Kaggle,
    run: str,
    file: Path,
    *,
    cv_score: float | None,
    note: str,
    again: bool,
    confirm: Callable[[str], bool],
    say: Callable[[str], None],
    cap: float = CAP,
) -> Event | None:
    """Send a file that was checked, wait for its score, and record both; None if the user said no.

    Args:
        again: send content that was sent before.
        confirm: asked once, with the allowance, before anything is uploaded.
        say: takes a line about what is done.
        cap: seconds of waiting, after which the submission is left pending.

    Raises:
        KglError: sent already, upload failed, or Kaggle could not score the file (1); refused by Kaggle (3).
    """
    sha256 = digest(file) if again else refuse_sent(workspace, file)
    _refuse_closed(kaggle.contest())
    before = list_submissions(kaggle)
    message = describe(run, sha256, cv_score=cv_score, note=note)
    if not again:
        _recover(workspace, before, Event(0, run, sha256, message, now(), "pending", cv_score=cv_score))
    if not confirm(f"{message}\n{allowance(kaggle)}"):
        return None
    ref = _create(kaggle, _upload(kaggle, file), message, {one.ref for one in before})
    event = Event(ref, run, sha256, message, now(), "pending", cv_score=cv_score)
    append(workspace, event)
    say(f"submitted    {message} (ref {ref}); waiting for the score, Ctrl-C loses nothing")
    return finish(workspace, kaggle, event, cap=cap)


def allowance(kaggle: Kaggle) -> str:
    """What is left of the allowance, in words.

    Raises:
        KglError: nothing is left (status 3).
    """
    limits = kaggle.call("get_submission_limits")
    if limits.num_allowed_now > 0:
        return f"{limits.num_allowed_now} left today ({limits.num_today} used, back at {reset_time()})"
    if limits.limited_by_total:
        raise KglError(f"no submission left: this contest's total is used up ({limits.num_total} sent).", REFUSED)
    raise KglError(
        f"no submission left today ({limits.num_today} used); the allowance is back at {reset_time()}.", REFUSED
    )


def finish(workspace: Workspace, kaggle: Kaggle, event: Event, *, cap: float = CAP) -> Event:
    """Wait until a pending submission is scored, record it, and return how it stands: perhaps still pending.

    Raises:
        KglError: Kaggle could not score the file (status 1).
    """
    waited, pause = 0.0, FIRST_PAUSE
    while event.status == "pending" and waited < cap:
        kaggle.sleep(pause)
        waited, pause = waited + pause, min(pause * 1.5, LONGEST_PAUSE)
        found = _look(kaggle, event.ref)
        if found and found.status != "pending":
            event = updated(event, found)
            append(workspace, event)
    if event.status == "error":
        raise KglError(
            f"Kaggle could not score the file: {event.error or 'no reason given'} (no slot of the day is used)."
        )
    return event


def _look(kaggle: Kaggle, ref: int) -> Submission | None:
    """The submission, or None while it is not listed or Kaggle does not answer."""
    try:
        return next((one for one in list_submissions(kaggle) if one.ref == ref), None)
    except KglError as error:
        if error.status == FAILED:
            return None
        raise


def _refuse_closed(contest: Contest) -> None:
    if contest.code_only:
        raise KglError(
            f'"{contest.slug}" takes notebooks only; use kgl notebook push and kgl notebook submit.', REFUSED
        )
    if not contest.entered:
        raise explain_rules(contest.slug)
    if contest.closed:
        raise KglError(f'"{contest.slug}" takes no submissions now (closed).', REFUSED)


def _sent_already(event: Event) -> KglError:
    score = f"public {event.public_score}" if event.public_score is not None else event.status
    return KglError(
        f"the same content was sent already: {event.run or 'by another way'}, {event.time[:16].replace('T', ' ')} UTC, "
        f"ref {event.ref}, {score}; --again sends it once more."
    )


def _recover(workspace: Workspace, submissions: list[Submission], event: Event) -> None:
    """Refuse content that Kaggle has but submissions.jsonl lacks (sent elsewhere, or cut off), after recording it."""
    for one in submissions:
        if mark(event.file_sha256) in one.description:
            run = one.description.split()[0]
            found = updated(replace(event, ref=one.ref, run=run, time=one.time, message=one.description), one)
            append(workspace, found)
            raise _sent_already(found)


def _upload(kaggle: Kaggle, file: Path) -> str:
    """Bring the file up; from the beginning again if that breaks. Returns the token that CreateSubmission wants."""
    import requests

    status = file.stat()
    about = {"content_length": status.st_size, "last_modified_epoch_seconds": int(status.st_mtime)}

    def once(_: object) -> str:
        place = kaggle.call("start_submission_upload", file_name=file.name, **about)
        with file.open("rb") as content:
            answer = requests.put(place.create_url, data=content, timeout=kaggle.timeout)
        if answer.status_code not in (200, 201):
            raise requests.ConnectionError(f"the storage answered {answer.status_code}")
        return str(place.token)

    try:
        return kaggle.ask(once)
    except KglError as error:
        if error.status == FAILED:
            raise KglError(f"the upload broke ({error.message}) No slot of the day was used.") from error
        raise


def _create(kaggle: Kaggle, token: str, message: str, before: set[int]) -> int:
    """Make a submission of the upload and return its ref, read back. It is not made again while it may be there.

    Raises:
        KglError: refused (3); no answer, or Kaggle says that it is done and it is not there (1).
    """
    for attempt in range(1, kaggle.attempts + 1):
        try:
            answer = kaggle.call(
                "create_submission", attempts=1, blob_file_tokens=token, submission_description=message
            )
        except KglError as error:
            if error.status != FAILED:
                raise
            if ref := _read_back(kaggle, message, before):
                return ref
            if attempt == kaggle.attempts:
                raise
        else:
            if ref := _read_back(kaggle, message, before) or answer.ref:
                return int(ref)
            left = allowance(kaggle)  # refuses by itself where that is the reason
            raise KglError(
                f'Kaggle said "{answer.message}", but there is no such submission: nothing was sent. {left}.'
            )
    raise AssertionError("unreachable")


def _read_back(kaggle: Kaggle, message: str, before: set[int]) -> int:
    """The ref of the new submission with this description; 0 if there is none after some looks."""
    for look in range(3):
        for one in list_submissions(kaggle):
            if one.ref and one.ref not in before and one.description == message:
                return one.ref
        kaggle.sleep(2.0**look)
    return 0
