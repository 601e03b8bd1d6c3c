"""The practice Kaggle with faults that a test switches on, by endpoint and count; each request is noted.

    with FaultyKaggle(sample_contest()) as kaggle:
        kaggle.play("ListSubmissions", busy(retry_after=1), times=2)
        kaggle.play("storage", cut(at_random(seed=0)), times=20)
        kaggle.play("CreateSubmission", lost_answer)

Endpoints are those of the API (`ListSubmissions`), `storage`, `upload`, and `*` for all. What a fault looks like on the
wire is Kaggle's where that is known (status, JSON, reasons); the wording of some messages is assumed.
"""

import csv
import io
import re
import secrets
import socket
import struct
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import md5
from pathlib import Path
from random import Random
from typing import Self, cast

from kgl.rehearsal.contest import PracticeContest
from kgl.rehearsal.server import PIECE, Exchange, Json, PracticeKaggle, Submission

DATE = "Thu, 01 Jan 2026 00:00:00 GMT"  # of the contest's files
Fault = Callable[["FaultyExchange"], bool]  # sets the exchange up, or answers itself and says so
Place = int | Callable[[int], int]  # a byte, or a function of the number of bytes


class Refused(Exception):
    """An answer that is an error, in the JSON shape of Kaggle's."""

    def __init__(self, code: int, message: str, status: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.code, details = code, [{"reason": reason}] if reason else []
        self.body: Json = {"error": {"code": code, "message": message, "status": status, "details": details}}


class BadSubmission(Exception):
    """Kaggle took the file, but it cannot be scored: the submission ends as ERROR with this description."""


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


class FaultyExchange(Exchange):
    """An exchange that can lose, cut, spoil and delay what it reads and writes, and sends files by ranges as well."""

    asked: Asked
    released: threading.Event

    def begin(self, asked: Asked, released: threading.Event) -> None:
        """Set everything to faultless: a connection may carry many requests."""
        self.asked, self.released = asked, released
        self.cut_answer: Place | None = None
        self.cut_body: Place | None = None
        self.end = self.close
        self.lost, self.spoilt, self.rate, self.sent = False, -1, 0.0, 0

    def body(self) -> bytes:
        return b"".join(self.pieces())

    def arriving(self) -> Iterator[bytes]:
        """The request's body as it comes in, by length or (requests does so with empty files) in chunks."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().strip() or b"0", 16):
                yield self.rfile.read(size + 2)[:-2]
            self.rfile.readline()
        left = int(self.headers.get("Content-Length") or 0)
        while left and (piece := self.rfile.read1(min(left, PIECE))):
            left -= len(piece)
            yield piece

    def pieces(self) -> Iterator[bytes]:
        at = _place(self.cut_body, int(self.headers.get("Content-Length") or 0))
        for piece in self.arriving():
            if at is not None and self.asked.size + len(piece) > at:
                yield piece[: at - self.asked.size]
                self.asked.size = at
                self.end()
            self.asked.size += len(piece)
            yield piece

    def send_file(self, content: bytes, first: int = 0, **headers: object) -> None:
        """A file, or its rest if Range asks for that and the file is still the one that If-Range means."""
        tag, size = f'"{md5(content).hexdigest()}"', len(content)
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(wanted[1]) if wanted and self.headers.get("If-Range", tag) in (tag, DATE) else 0
        if first and first >= size:
            return self.send(416, Content_Range=f"bytes */{size}")
        about: Json = {"Content_Range": f"bytes {first}-{size - 1}/{size}"} if first else {}
        super().send_file(content, first, Accept_Ranges="bytes", ETag=tag, Last_Modified=DATE, **about)

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


class FaultyKaggle(PracticeKaggle):
    """The practice Kaggle that plays faults, refuses what Kaggle refuses, and notes what it was asked."""

    exchange = FaultyExchange

    def __init__(self, contest: PracticeContest) -> None:
        super().__init__(contest)
        self.asked: list[Asked] = []
        self.plays: list[Play] = []
        self.facts: Json = {}  # more or other facts of the contest
        self.neighbours: list[str] = []  # slugs that a search finds before the contest
        self.archive: bytes | None = None  # sent in place of the packed files
        self.zip_from = 1_000_000  # bytes; text files from this size on are sent as "<name>.zip"
        self.packed: dict[str, bytes] = {}
        self.key = secrets.token_hex(16)
        legacy = b64encode(f"{self.username}:{self.key}".encode()).decode()
        self.legacy = f"Basic {legacy}"
        self.unknown_is_forbidden = False  # an unknown contest answers 403, as some do, in place of 404
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
        try:
            if fault is None or not fault(faulty):
                self.authenticate(faulty)
                super().serve(faulty)
        except Refused as refused:
            faulty.send(refused.code, refused.body)

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

    # What Kaggle refuses

    def authenticate(self, exchange: FaultyExchange) -> None:
        """Who asks?"""
        known = (f"Bearer {self.token}", self.legacy)
        if exchange.endpoint not in ("upload", "storage") and exchange.headers.get("Authorization") not in known:
            _drain(exchange)
            raise Refused(401, "Request is missing valid authentication credentials", "UNAUTHENTICATED")

    def call(self, endpoint: str, request: Json) -> Json | str:
        if request.get("competitionName", self.contest.slug) != self.contest.slug:
            if self.unknown_is_forbidden:
                raise Refused(403, "Permission 'competitions.get' was denied", "PERMISSION_DENIED")
            raise Refused(404, f"Competition not found: {request['competitionName']}", "NOT_FOUND")
        if not self.contest.entered and re.match("DownloadData|StartSubmission|Create", endpoint):
            sentence = "You must accept this competition's rules before you'll be able to download files or submit."
            raise Refused(403, sentence, "PERMISSION_DENIED", "RulesAcceptanceRequired")
        try:
            return super().call(endpoint, request)
        except AttributeError:
            raise Refused(404, f"The practice Kaggle has no {endpoint}", "NOT_FOUND") from None

    def api_introspect_token(self, request: Json) -> Json:
        return super().api_introspect_token(request) if request.get("token") == self.token else {}

    def api_create_submission(self, request: Json) -> Json:
        upload, content = self.uploads.get(request.get("blobFileTokens", ""), ({}, b""))
        if len(content) != upload.get("contentLength", 0) or not upload:
            raise Refused(400, "The uploaded file was not found", "INVALID_ARGUMENT")
        if not self.api_get_submission_limits({})["numAllowedNow"]:
            sentence = f"Your team has used its daily Submission allowance ({self.contest.daily_limit}) today"
            raise Refused(400, f"Submission not allowed: {sentence}, please try again tomorrow UTC.")
        return super().api_create_submission(request)

    # Files and uploads in parts

    def api_download_data_file(self, request: Json) -> str:
        name = request.get("fileName", "")
        if name not in self.contest.files:
            raise Refused(404, f"File not found: {name}", "NOT_FOUND")
        zipped = len(self.contest.files[name]) >= self.zip_from and name.endswith((".csv", ".tsv", ".json", ".txt"))
        return super().api_download_data_file(request) + ".zip" * zipped

    def stored(self, route: str) -> bytes:
        files, name = self.contest.files, route.removeprefix("/data/")
        if route.startswith("/bundle/") and self.archive is not None:
            return self.archive
        if route.startswith("/bundle/") or name in files:
            return super().stored(route)
        if (inside := name.removesuffix(".zip")) in files:
            return self.pack({inside.rsplit("/", 1)[-1]: files[inside]})
        raise Refused(404, "The specified key does not exist", "NOT_FOUND")

    def pack(self, files: Mapping[str, bytes]) -> bytes:
        """The same files give the same zip, so that a rest of it may be asked for."""
        state = repr([(name, md5(content).hexdigest()) for name, content in files.items()])
        with self.lock:
            if state not in self.packed:
                self.packed[state] = super().pack(files)
        return self.packed[state]

    def receive(self, exchange: Exchange) -> None:
        """The bytes of an upload. A broken one keeps what arrived; `Content-Range: bytes */N` asks how much that is."""
        token = exchange.route.rsplit("/", 1)[-1]
        request, content = self.uploads.get(token, ({}, bytearray()))
        if start := re.match(r"bytes (\d+)-", exchange.headers.get("Content-Range", "bytes 0-")):
            del content[int(start[1]) :]
        for piece in cast(FaultyExchange, exchange).pieces():
            content += piece
        if not request:
            raise Refused(404, "Upload not found", "NOT_FOUND")
        if len(content) >= request.get("contentLength", 0):
            return exchange.send(200, {})
        received: Json = {"Range": f"bytes=0-{len(content) - 1}"} if content else {}
        exchange.send(308, **received)

    # Scores

    def score(self, one: Submission) -> None:
        try:
            check_rows(self.contest, one.content)
            super().score(one)
        except BadSubmission as error:
            one.status, one.error = "ERROR", str(error)
        except ValueError as error:
            one.status, one.error = "ERROR", f"Evaluation Exception: {error}"

    # The contest, other than it should be

    def api_get_competition(self, request: Json) -> Json:
        return super().api_get_competition(request) | self.facts

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


def check_rows(contest: PracticeContest, content: bytes) -> None:
    """Kaggle's checks of a file: columns, number of rows, cells, ids."""
    try:
        lines = [line for line in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")) if line]
    except (UnicodeDecodeError, csv.Error):
        raise BadSubmission("ERROR: The submission is not a readable CSV file") from None
    header, body = (lines[0], lines[1:]) if lines else ([], [])
    if sorted(header) != sorted(contest.columns):
        raise BadSubmission(f"ERROR: The columns must be {', '.join(contest.columns)}; found {', '.join(header)}")
    if len(body) != len(contest.solution):
        raise BadSubmission(f"Evaluation Exception: Submission must have {len(contest.solution)} rows")
    keys: set[str] = set()
    for number, line in enumerate(body, start=2):
        if len(line) != len(header) or not all(line):
            raise BadSubmission(f"ERROR: Line {number} has an empty or missing value, or one too many")
        key = line[header.index(contest.columns[0])]
        if key in keys:
            raise BadSubmission(f"ERROR: Line {number}: the key '{key}' has already been defined")
        keys.add(key)
    if missing := contest.solution.keys() - keys:
        raise BadSubmission(f"ERROR: Unable to find {len(missing)} required keys in '{contest.columns[0]}'")


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
