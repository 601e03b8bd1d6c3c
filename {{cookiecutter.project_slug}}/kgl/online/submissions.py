"""Submissions as Kaggle tells them, and the words by which one is found again."""

import re
from dataclasses import dataclass, replace
from typing import Any

from kgl.online.client import Kaggle
from kgl.online.journal import Event

LONGEST = 200
"""Characters of a description."""


@dataclass(frozen=True)
class Submission:
    """One submission at Kaggle; time is UTC, `status` is pending, complete or error."""

    ref: int
    time: str
    description: str
    status: str
    public_score: float | None
    private_score: float | None
    error: str


def list_submissions(kaggle: Kaggle, *, most: int = 200) -> list[Submission]:
    """The newest submissions of the user's team, newest first."""
    return [_read(one) for one in kaggle.every("list_submissions", "submissions", most=most)]


def describe(run: str, sha256: str, *, cv_score: float | None, note: str = "") -> str:
    """The description: run, CV, the file's mark and the note, with no character that Kaggle is known to stumble on."""
    cv = "" if cv_score is None else f" cv={cv_score:.5f}"
    text = f"{run}{cv} {mark(sha256)} {note}"
    return re.sub(r"\s+", " ", re.sub(r"[^A-Za-z0-9 \-_=.]", " ", text)).strip()[:LONGEST].strip()


def mark(sha256: str) -> str:
    """What a description says of the file's content."""
    return f"sha={sha256[:12]}"


def updated(event: Event, submission: Submission) -> Event:
    """The event with what Kaggle says now."""
    return replace(
        event,
        status=submission.status,
        public_score=submission.public_score,
        private_score=submission.private_score,
        error=submission.error,
    )


def _read(one: Any) -> Submission:
    return Submission(
        ref=int(one.ref or 0),
        time=f"{one.date:%Y-%m-%dT%H:%M:%S}+00:00" if one.date else "",
        description=one.description or "",
        status=one.status.name.lower(),
        public_score=_score(one.public_score),
        private_score=_score(one.private_score),
        error=one.error_description or "",
    )


def _score(text: str) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
