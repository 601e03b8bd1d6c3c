"""The practice Kaggle with faults that a test switches on, by endpoint and count; each request is noted.

    with FaultyKaggle(sample_contest()) as kaggle:
        kaggle.play("ListSubmissions", busy(retry_after=1), times=2)
        kaggle.play("storage", cut(at_random(seed=0)), times=20)
        kaggle.play("CreateSubmission", lost_answer)

Endpoints are those of the API (`ListSubmissions`), `storage`, `upload`, and `*` for all. What a fault looks like on the
wire is Kaggle's where that is known (status, JSON, reasons); the wording of some messages is assumed.
"""

import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Self, cast

from kgl.rehearsal.contest import PracticeContest
from kgl.rehearsal.server import Exchange, Json, Submission
from tests.kaggle_strict import Refused, StrictExchange, StrictKaggle

Fault = Callable[["FaultyExchange"], bool]  # sets the exchange up, or answers itself and says so
Place = int | Callable[[int], int]  # a byte, or a function of the number of bytes


@dataclass
class Asked:
    """A request as it came in; secrets are masked, and of its body only the size is kept."""

    endpoint: str
    method: str
    path: str
    headers: dict[str, str]
    at: float = field(default_factory=time.monotonic)
    size: int = 0


@dataclass
class Play:
    """A fault that waits for its turn."""

    endpoint: str
    fault: Fault
    times: float
    after: int


class FaultyExchange(StrictExchange):
    """An exchange that can lose, cut, spoil and delay what it reads and writes."""

    asked: Asked
    released: threading.Event

    def begin(self, asked: Asked, released: threading.Event) -> None:
        """Set everything to faultless: a connection may carry many requests."""
        self.asked, self.released = asked, released
        self.cut_answer: Place | None = None
        self.cut_body: Place | None = None
        self.end = self.close
        self.lost, self.spoilt, self.rate, self.sent = False, -1, 0.0, 0

    def pieces(self) -> Iterator[bytes]:
        at = _place(self.cut_body, int(self.headers.get("Content-Length") or 0))
        for piece in super().pieces():
            if at is not None and self.asked.size + len(piece) > at:
                yield piece[: at - self.asked.size]
                self.asked.size = at
                self.end()
            self.asked.size += len(piece)
            yield piece

    def head(self, code: int, length: int, **headers: object) -> None:
        if self.lost:
            self.end()
        self.sent, self.cut_answer = 0, _place(self.cut_answer, length)
        super().head(code, length, **headers)

    def write(self, piece: bytes) -> None:
        slow = max(1, int(self.rate / 20)) if self.rate else len(piece) or 1
        for start in range(0, len(piece), slow):
            if self.rate and self.released.wait(0.05):
                self.close()
            self._write(piece[start : start + slow])

    def _write(self, piece: bytes) -> None:
        if 0 <= (place := self.spoilt - self.sent) < len(piece):
            piece = piece[:place] + bytes([piece[place] ^ 0xFF]) + piece[place + 1 :]
        if self.cut_answer is not None and self.sent + len(piece) > cast(int, self.cut_answer):
            super().write(piece[: cast(int, self.cut_answer) - self.sent])
            self.end()
        super().write(piece)
        self.sent += len(piece)

    def close(self) -> None:
        """End the connection in order: the client sees too few bytes."""
        self.close_connection = True
        raise ConnectionAbortedError

    def reset(self) -> None:
        """Break the connection: the client sees "connection reset"."""
        at_once = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        socket.close(self.connection.detach())
        raise ConnectionResetError

    def hang(self) -> None:
        """Do nothing more, until the server is stopped."""
        self.released.wait()
        self.close()


def _place(place: Place | None, length: int) -> int | None:
    return place(length) if callable(place) else place


class FaultyKaggle(StrictKaggle):
    """The practice Kaggle that plays faults and notes what it was asked."""

    exchange = FaultyExchange

    def __init__(self, contest: PracticeContest) -> None:
        super().__init__(contest)
        self.asked: list[Asked] = []
        self.plays: list[Play] = []
        self.facts: Json = {}  # more or other facts of the contest
        self.neighbours: list[str] = []  # slugs that a search finds before the contest
        self.word = ""  # a submission's status, in place of the true one
        self.archive: bytes | None = None  # sent in place of the packed files
        self.released = threading.Event()

    def play(self, endpoint: str, fault: Fault, *, times: float = 1, after: int = 0) -> Self:
        """Play a fault at the next `times` requests to an endpoint, once `after` of them went well."""
        self.plays.append(Play(endpoint, fault, times, after))
        return self

    def count(self, endpoint: str) -> int:
        """How often an endpoint was asked."""
        return sum(one.endpoint == endpoint for one in self.asked)

    def stop(self, *exception: object) -> None:
        self.released.set()
        super().stop()

    __exit__ = stop

    def serve(self, exchange: Exchange) -> None:
        faulty = cast(FaultyExchange, exchange)
        headers = {name: _masked(name, value) for name, value in faulty.headers.items()}
        asked = Asked(faulty.endpoint, faulty.command, faulty.route, headers)
        faulty.begin(asked, self.released)
        with self.lock:
            self.asked.append(asked)
            fault = self._next(asked.endpoint)
        if fault is None or not fault(faulty):
            super().serve(faulty)

    def _next(self, endpoint: str) -> Fault | None:
        for play in self.plays:
            if play.endpoint not in (endpoint, "*") or play.times <= 0:
                continue
            if play.after > 0:
                play.after -= 1
                continue
            play.times -= 1
            return play.fault
        return None

    # The contest, other than it should be

    def stored(self, route: str) -> bytes:
        return self.archive if self.archive is not None and route.startswith("/bundle/") else super().stored(route)

    def api_get_competition(self, request: Json) -> Json:
        return super().api_get_competition(request) | self.facts

    def shown(self, one: Submission) -> Json:
        return super().shown(one) | ({"status": self.word} if self.word else {})

    def api_list_competitions(self, request: Json) -> Json:
        """A search; whatever is looked for, the contest is found, and its neighbours before it."""
        contest, address = self.api_get_competition({}), "https://www.kaggle.com/competitions/"
        others = [contest | {"ref": address + slug, "title": slug} for slug in self.neighbours]
        return {"competitions": [*others, contest]}

    def notebooks_only(self) -> None:
        """The contest takes notebooks, no files."""
        self.facts["isKernelsSubmissionsOnly"] = True
        said = "Submission not allowed: This competition only accepts Submissions from Notebooks."
        self.play("CreateSubmission", refuse(400, said), times=NEVER_ENDS)

    def refuse_submissions(self) -> None:
        """The contest is over and takes no late submissions."""
        self.close_contest()
        self.facts["submissionsDisabled"] = True
        said = "Submission not allowed: The competition deadline has passed."
        self.play("CreateSubmission", refuse(400, said), times=NEVER_ENDS)

    def fail_scoring(self) -> None:
        """Each submission ends as an error."""

        def scorer(*rows: object) -> float:
            raise ValueError("Submission Scoring Error")

        self.contest.scorer = scorer

    def stale_environment(self, home: Path) -> dict[str, str]:
        """The environment of somebody whose token has run out, though the legacy keys behind it are good."""
        keys = {"KAGGLE_USERNAME": self.username, "KAGGLE_KEY": self.key}
        return self.environment(home) | keys | {"KAGGLE_API_TOKEN": "KGAT_" + "0" * 32}


NEVER_ENDS = float("inf")


def _masked(name: str, value: str) -> str:
    return value.split()[0] + " ***" if name.lower() in ("authorization", "proxy-authorization") else value


# Answers that are errors


def refuse(code: int, message: str, status: str = "FAILED_PRECONDITION", reason: str = "") -> Fault:
    """An error in Kaggle's JSON shape."""

    def fault(exchange: FaultyExchange) -> bool:
        _drain(exchange)
        raise Refused(code, message, status, reason)

    return fault


def busy(retry_after: object = None, code: int = 429) -> Fault:
    """429, or 500, 503 and their kind, with a page in place of JSON; `retry_after` in seconds or as a date."""

    def fault(exchange: FaultyExchange) -> bool:
        _drain(exchange)
        page = f"<html><body><h1>{code}</h1></body></html>".encode()
        extra: Json = {} if retry_after is None else {"Retry_After": retry_after}
        exchange.head(code, len(page), Content_Type="text/html", **extra)
        exchange.write(page)
        return True

    return fault


def reply(answer: Json) -> Fault:
    """A good answer that is not true."""

    def fault(exchange: FaultyExchange) -> bool:
        _drain(exchange)
        exchange.send(200, answer)
        return True

    return fault


def _drain(exchange: FaultyExchange) -> None:
    """Read the request to its end: an answer before that may be lost when the connection closes."""
    for _ in exchange.pieces():
        pass


IDENTITY = refuse(403, "Identity verification is required", "PERMISSION_DENIED", "IdentityVerificationRequired")
PHONE = refuse(403, "You must verify your phone number to enter", "PERMISSION_DENIED", "PhoneVerificationRequired")
BAD_TOKEN = refuse(401, "Request is missing valid authentication credentials", "UNAUTHENTICATED")
INACTIVE_TOKEN = reply({"active": False})
DAILY_LIMIT = refuse(400, "Submission not allowed: Your team has used its daily Submission allowance (10) today, "
                          "please try again tomorrow UTC (5 hours from now).")  # fmt: skip
FALSE_SUCCESS = reply({"message": "Successfully submitted to titanic (sample)", "ref": 0})
SERVER_ERROR, UNAVAILABLE = busy(code=500), busy(code=503)


# Connections that break, hang or crawl


def cut(place: Place, how: str = "close") -> Fault:
    """The answer ends after `place` bytes of its body: `close`, `reset`, or `hang`."""

    def fault(exchange: FaultyExchange) -> bool:
        exchange.cut_answer, exchange.end = place, getattr(exchange, how)
        return False

    return fault


def cut_upload(place: Place, how: str = "reset") -> Fault:
    """The connection ends when `place` bytes of the request's body have come in; the server keeps them."""

    def fault(exchange: FaultyExchange) -> bool:
        exchange.cut_body, exchange.end = place, getattr(exchange, how)
        return False

    return fault


def at_random(seed: int) -> Callable[[int], int]:
    """Places for `cut`, others each time."""
    random = Random(seed)
    return lambda length: random.randrange(max(1, length))


def spoil(place: int) -> Fault:
    """One byte of the answer is wrong, its length is right."""

    def fault(exchange: FaultyExchange) -> bool:
        exchange.spoilt = place
        return False

    return fault


def crawl(bytes_per_second: float) -> Fault:
    """The answer's body comes slowly."""

    def fault(exchange: FaultyExchange) -> bool:
        exchange.rate = bytes_per_second
        return False

    return fault


def lost_answer(exchange: FaultyExchange) -> bool:
    """The request is carried out, then the connection breaks before the answer."""
    exchange.lost, exchange.end = True, exchange.reset
    return False


def hang(exchange: FaultyExchange) -> bool:
    """The server has taken the connection and never answers."""
    exchange.hang()
    return True


def reset(exchange: FaultyExchange) -> bool:
    """The connection breaks before anything is done."""
    exchange.reset()
    return True
