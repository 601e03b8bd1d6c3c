"""submissions.jsonl: every submission, kept in git; one event a line, and the last line of a ref is how it stands."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields

from filelock import FileLock

from kgl.errors import KglError
from kgl.paths import Workspace

Say = Callable[[str], object]


@dataclass(frozen=True)
class Event:
    """A submission at a moment.

    status: complete, error, or what Kaggle calls it until then. Scores are None until they are known.
    """

    ref: int
    run: str
    file_sha256: str
    message: str
    time: str
    status: str = "pending"
    public_score: float | None = None
    private_score: float | None = None
    error: str = ""
    cv_score: float | None = None


def append(workspace: Workspace, event: Event) -> None:
    """Add an event; one process at a time, and a line goes to the disk in one piece."""
    workspace.cache.mkdir(parents=True, exist_ok=True)
    with FileLock(workspace.cache / ".submissions.lock"), workspace.submissions.open("ab+") as file:
        file.seek(max(file.seek(0, 2) - 1, 0))
        torn = file.read(1) not in (b"", b"\n")  # a line whose end an editor or a merge took away
        file.write(b"\n" * torn + json.dumps(asdict(event)).encode() + b"\n")


def latest(workspace: Workspace, damaged: Say | None = None) -> dict[int, Event]:
    """How each submission stands, by ref, in the order in which they were sent; unknown keys are passed over.

    Args:
        damaged: takes a sentence for each line that is no event, where the others are wanted all the same.

    Raises:
        KglError: a line is not an event (status 1).
    """
    events: dict[int, Event] = {}
    path = workspace.submissions
    known = {f.name for f in fields(Event)}
    for number, line in enumerate(path.read_bytes().splitlines() if path.is_file() else [], start=1):
        try:
            values = json.loads(line.decode("utf-8-sig")) if line.strip() else {}
            event = Event(**{k: v for k, v in values.items() if k in known}) if values else None
        except (AttributeError, ValueError, TypeError) as error:
            said, event = f"{path.name} line {number} is no event ({error}); mend or delete that line.", None
            if not damaged:
                raise KglError(said) from None
            damaged(said)
        if event:
            events[event.ref] = event
    return events
