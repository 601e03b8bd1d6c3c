"""The practice Kaggle: a small HTTP server on this machine that the real, unmodified client talks to.

`KAGGLE_API_ENVIRONMENT=LOCALHOST` makes the client call http://localhost, and `HTTP_PROXY` leads those calls here,
whatever the port. Addresses, JSON and the order of calls are those of kaggle 2.2 and kagglesdk 0.1.3x; where the real
service could not be watched, docs/kaggle.md says what was assumed.
"""

import base64
import csv
import io
import json
import os
import re
import secrets
import socketserver
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO, Self, cast
from urllib.parse import quote, unquote, urlsplit

from kgl.rehearsal.contest import BadSubmission, PracticeContest

PIECE = 1 << 16
STORAGE = "http://storage.localhost"
Json = dict[str, Any]
Content = bytes | Path


class Refused(Exception):
    """An answer that is an error, in the JSON shape of Kaggle's."""

    def __init__(self, code: int, message: str, status: str = "", *, reason: str = "") -> None:
        super().__init__(message)
        details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}] if reason else []
        self.code = code
        self.body: Json = {"error": {"code": code, "message": message, "status": status, "details": details}}


@dataclass
class Submission:
    """One submission as the practice Kaggle keeps it."""

    ref: int
    file_name: str
    description: str
    content: bytes
    date: datetime
    born: float = field(default_factory=time.monotonic)
    polls: int = 0
    status: str = "PENDING"
    public: float | None = None
    private: float | None = None
    error: str = ""


@dataclass
class Upload:
    """A file on its way up: what has arrived so far."""

    file_name: str
    size: int
    content: bytearray = field(default_factory=bytearray)


def utc_now() -> datetime:
    """Now in UTC without a zone, as Kaggle writes its times."""
    return datetime.now(UTC).replace(tzinfo=None)


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds") + "Z"


def _page(items: list[Json], request: Json, name: str) -> Json:
    """One page of a list: the page token is the place where it starts."""
    start, size = int(request.get("pageToken") or 0), min(int(request.get("pageSize") or 20), 200)
    following = {"nextPageToken": str(start + size)} if start + size < len(items) else {}
    return {name: items[start : start + size], **following}


class Exchange(BaseHTTPRequestHandler):
    """One connection with the client: reads requests and writes answers, what they say comes from PracticeKaggle."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def kaggle(self) -> "PracticeKaggle":
        return cast("_Server", self.server).kaggle

    @property
    def route(self) -> str:
        """The path that was asked for; through a proxy setting it comes with `http://host` in front."""
        return urlsplit(self.path).path

    @property
    def endpoint(self) -> str:
        """`ListSubmissions` and the like, or `storage` and `upload`."""
        if self.route.startswith("/api/v1/"):
            return self.route.rsplit("/", 1)[-1]
        return "upload" if self.command == "PUT" else "storage"

    def pieces(self) -> Iterator[bytes]:
        """The request's body as it comes in, with a length or in chunks."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left and (piece := self.rfile.read1(min(left, PIECE))):
            left -= len(piece)
            yield piece

    def send(self, code: int, body: bytes = b"", **headers: object) -> None:
        """A whole answer. `Content_Type="..."` becomes the header Content-Type."""
        self.head(code, len(body), **headers)
        self.write(body)

    def head(self, code: int, length: int, **headers: object) -> None:
        """Status line and headers of an answer."""
        self.send_response(code)
        for name, value in {**headers, "Content_Length": length}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def write(self, piece: bytes) -> None:
        """Part of the answer's body."""
        self.wfile.write(piece)

    def send_json(self, code: int, body: Json, **headers: object) -> None:
        self.send(code, json.dumps(body).encode(), Content_Type="application/json; charset=utf-8", **headers)

    def answer(self) -> None:
        try:
            self.kaggle.serve(self)
        except Refused as refused:
            self.close_connection = True  # a body may be left unread
            self.send_json(refused.code, refused.body)

    do_GET = do_POST = do_PUT = do_HEAD = answer

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the command that uses the server has the terminal."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    kaggle: "PracticeKaggle"

    def server_bind(self) -> None:
        """Bind without the look-up of this machine's name that HTTPServer does, which takes seconds on some."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no error."""
        import sys

        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class PracticeKaggle:
    """The practice Kaggle with one contest and one user.

    with PracticeKaggle(contest) as kaggle:
        subprocess.run([...], env=kaggle.environment(home))
        kaggle.submissions[0].public
    """

    def __init__(self, contest: PracticeContest) -> None:
        self.contest = contest
        self.username, self.team = "rehearsal", "You (rehearsal)"
        self.token = f"KGAT_{secrets.token_hex(16)}"
        self.key = secrets.token_hex(16)
        self.submissions: list[Submission] = []
        self.uploads: dict[str, Upload] = {}
        self.lock = threading.RLock()
        self.calls: dict[str, Callable[[Json], Json]] = {
            "IntrospectToken": self.introspect,
            "ListCompetitions": self.list_competitions,
            "GetCompetition": lambda request: self.competition(),
            "ListDataFiles": self.list_files,
            "ListCompetitionPages": self.list_pages,
            "GetLeaderboard": self.leaderboard,
            "StartSubmissionUpload": self.start_upload,
            "CreateSubmission": self.create_submission,
            "ListSubmissions": self.list_submissions,
            "GetSubmission": self.get_submission,
            "GetSubmissionLimits": self.limits,
        }

    # Starting, stopping, and what a child process needs

    def start(self) -> Self:
        """Listen on a free port of this machine."""
        self._packed = tempfile.TemporaryDirectory(prefix="kgl-rehearsal-", ignore_cleanup_errors=True)
        self._server = _Server(("127.0.0.1", 0), Exchange)
        self._server.kaggle = self
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._packed.cleanup()

    __enter__ = start

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        return self._server.server_port

    def environment(self, home: Path) -> dict[str, str]:
        """A whole environment for a child process: this one's, less its Kaggle settings, with `home` as home folder."""
        kept = {key: value for key, value in os.environ.items() if not key.upper().startswith("KAGGLE_")}
        proxy = f"http://127.0.0.1:{self.port}"
        config = home / ".kaggle"
        config.mkdir(parents=True, exist_ok=True)
        return kept | {
            **dict.fromkeys(("HOME", "USERPROFILE"), str(home)),
            **dict.fromkeys(("HTTP_PROXY", "http_proxy"), proxy),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
            "KAGGLE_API_TOKEN": self.token,
            "KAGGLE_CONFIG_DIR": str(config),
        }

    def close_contest(self) -> None:
        """The deadline passes: from now on private scores are shown."""
        self.contest.deadline = utc_now() - timedelta(seconds=1)

    @property
    def closed(self) -> bool:
        return utc_now() >= self.contest.deadline

    # Routing

    def serve(self, exchange: Exchange) -> None:
        """Answer one request.

        Raises:
            Refused: the answer is an error.
        """
        endpoint = exchange.endpoint
        if endpoint == "upload":
            return self.receive(exchange)
        if endpoint == "storage":
            return self.send_content(exchange, self.stored(unquote(exchange.route)))
        request = cast(Json, json.loads(b"".join(exchange.pieces()) or b"{}"))
        self.check(exchange, endpoint, request)
        if endpoint == "DownloadLeaderboard":
            return self.send_content(exchange, self.leaderboard_file())
        if endpoint in ("DownloadDataFile", "DownloadDataFiles"):
            return exchange.send(302, Location=STORAGE + quote(self.address(request)) + "?signature=practice")
        if endpoint not in self.calls:
            raise Refused(404, f"The practice Kaggle has no {endpoint}", "NOT_FOUND")
        with self.lock:
            answer = self.calls[endpoint](request)
        exchange.send_json(200, answer)

    def check(self, exchange: Exchange, endpoint: str, request: Json) -> None:
        """Who asks, for which contest, and are its rules accepted?"""
        basic = base64.b64encode(f"{self.username}:{self.key}".encode()).decode()
        if exchange.headers.get("Authorization") not in (f"Bearer {self.token}", f"Basic {basic}"):
            raise Refused(401, "Request is missing valid authentication credentials", "UNAUTHENTICATED")
        if request.get("competitionName", self.contest.slug) != self.contest.slug:
            raise Refused(404, f"Competition not found: {request['competitionName']}", "NOT_FOUND")
        if not self.contest.entered and endpoint in ("DownloadDataFile", "DownloadDataFiles"):
            raise Refused(403, "You must accept this competition's rules before you'll be able to download files.",
                          "PERMISSION_DENIED", reason="RulesAcceptanceRequired")
        if not self.contest.entered and endpoint in ("StartSubmissionUpload", "CreateSubmission"):
            raise Refused(403, "You cannot submit until you accept the competition rules",
                          "PERMISSION_DENIED", reason="RulesAcceptanceRequired")

    # The user and the contest

    def introspect(self, request: Json) -> Json:
        active = request.get("token") == self.token
        return {"active": active, "username": self.username} if active else {"active": False}

    def competition(self) -> Json:
        contest = self.contest
        address = f"https://www.kaggle.com/competitions/{contest.slug}"
        ranks = [row["teamName"] for row in self.standings()]
        return {
            "id": 1, "ref": address, "url": address, "title": contest.title, "description": contest.title,
            "category": contest.category, "reward": "Knowledge", "organizationName": "kgl rehearsal",
            "deadline": _stamp(contest.deadline), "enabledDate": _stamp(contest.changed),
            "teamCount": len(contest.teams) + 1, "userHasEntered": contest.entered,
            "userRank": ranks.index(self.team) + 1 if self.team in ranks else None,
            "maxDailySubmissions": contest.daily_limit, "maxTeamSize": 5, "evaluationMetric": contest.metric,
        }  # fmt: skip

    def list_competitions(self, request: Json) -> Json:
        """The contest, if what is searched for is in its slug or title (Kaggle's search is fuzzy: others may come)."""
        search = str(request.get("search") or "").lower()
        found = search in self.contest.slug or search in self.contest.title.lower()
        return _page([self.competition()] if found else [], request, "competitions")

    def list_pages(self, request: Json) -> Json:
        contest = self.contest
        pages = {"description": contest.title, "Evaluation": f"Metric: {contest.metric}", **contest.pages}
        wanted = request.get("pageName")
        return {"pages": [{"name": name, "content": text, "mimeType": "text/markdown", "isPublished": True}
                          for name, text in pages.items() if wanted in (None, name)]}  # fmt: skip

    # Files

    def list_files(self, request: Json) -> Json:
        date = _stamp(self.contest.changed)
        files = [{"name": name, "totalBytes": _size(content), "creationDate": date}
                 for name, content in self.contest.files.items()]  # fmt: skip
        return _page(files, request, "files")

    def address(self, request: Json) -> str:
        """Where a file lies in the storage; its last part is the name that the client gives it."""
        name = request.get("fileName")
        if name is None:
            return f"/bundle/{self.contest.slug}/archive.zip"
        if name not in self.contest.files:
            raise Refused(404, f"File not found: {name}", "NOT_FOUND")
        text = name.endswith((".csv", ".tsv", ".json", ".txt"))
        zipped = text and _size(self.contest.files[name]) >= self.contest.zip_from
        return f"/data/{self.contest.slug}/{name}{'.zip' if zipped else ''}"

    def stored(self, route: str) -> Content:
        """What lies at an address of the storage."""
        folder, _, name = route.removeprefix("/").split("/", 2) if route.count("/") > 2 else ("", "", "")
        files = self.contest.files
        if folder == "bundle":
            return self.packed("archive", files)
        if folder == "data" and name in files:
            return files[name]
        if folder == "data" and name.removesuffix(".zip") in files:
            plain = name.removesuffix(".zip")
            return self.packed(plain, {plain.rsplit("/", 1)[-1]: files[plain]})
        raise Refused(404, "The specified key does not exist.", "NOT_FOUND")

    def packed(self, name: str, files: dict[str, Content]) -> Path:
        """A zip of files, made once; the same files give the same bytes."""
        path = Path(self._packed.name, md5(name.encode()).hexdigest() + ".zip")
        with self.lock:
            if not path.exists():
                with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                    for inside, content in files.items():
                        info = zipfile.ZipInfo(inside, date_time=(2026, 1, 1, 0, 0, 0))
                        info.compress_type = zipfile.ZIP_DEFLATED
                        with archive.open(info, "w", force_zip64=True) as out, _open(content) as source:
                            while piece := source.read(PIECE):
                                out.write(piece)
        return path

    def send_content(self, exchange: Exchange, content: Content) -> None:
        """A file, or the part of it that Range asks for, if it still is the file that If-Range names."""
        size, tag = _size(content), _tag(content)
        changed = format_datetime(self.contest.changed.replace(tzinfo=UTC), usegmt=True)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", exchange.headers.get("Range", ""))
        if exchange.headers.get("If-Range", tag) not in (tag, changed):
            wanted = None
        first = int(wanted[1]) if wanted else 0
        last = min(int(wanted[2]) if wanted and wanted[2] else size - 1, size - 1)
        if wanted and first >= size:
            return exchange.send(416, Content_Range=f"bytes */{size}")
        part = {"Content_Range": f"bytes {first}-{last}/{size}"} if wanted else {}
        exchange.head(206 if wanted else 200, last - first + 1, Content_Type="application/octet-stream", ETag=tag,
                      Accept_Ranges="bytes", Last_Modified=changed, **part)  # fmt: skip
        with _open(content) as file:
            file.seek(first)
            left = last - first + 1 if exchange.command != "HEAD" else 0
            while left and (piece := file.read(min(left, PIECE))):
                exchange.write(piece)
                left -= len(piece)

    # Submissions

    def start_upload(self, request: Json) -> Json:
        token = secrets.token_hex(16)
        self.uploads[token] = Upload(request.get("fileName", ""), int(request.get("contentLength", 0)))
        return {"token": token, "createUrl": f"{STORAGE}/upload/{token}?upload_id=practice"}

    def receive(self, exchange: Exchange) -> None:
        """The bytes of an upload. A broken one keeps what arrived; `Content-Range: bytes */N` asks how much that is."""
        upload = self.uploads.get(exchange.route.rsplit("/", 1)[-1])
        if upload is None:
            raise Refused(404, "Upload not found", "NOT_FOUND")
        part = re.match(r"bytes (\*|(\d+)-)", exchange.headers.get("Content-Range", ""))
        if not (part and part[1] == "*"):
            del upload.content[int(part[2]) if part else 0 :]
        for piece in exchange.pieces():
            upload.content += piece
        if len(upload.content) >= upload.size:
            return exchange.send_json(200, {})
        received: dict[str, object] = {"Range": f"bytes=0-{len(upload.content) - 1}"} if upload.content else {}
        exchange.send(308, b"", **received)

    def create_submission(self, request: Json) -> Json:
        upload = self.uploads.get(request.get("blobFileTokens", ""))
        if upload is None or len(upload.content) != upload.size:
            raise Refused(400, "The uploaded file was not found", "INVALID_ARGUMENT")
        if self.limits({})["numAllowedNow"] <= 0:
            limit = self.contest.daily_limit
            raise Refused(400, f"Submission not allowed: Your team has used its daily Submission allowance ({limit}) "
                          "today, please try again tomorrow UTC.", "FAILED_PRECONDITION")  # fmt: skip
        submission = Submission(
            ref=40_000_000 + len(self.submissions) + 1,
            file_name=upload.file_name,
            description=request.get("submissionDescription", ""),
            content=bytes(upload.content),
            date=utc_now(),
        )
        self.submissions.append(submission)
        return {"message": f"Successfully submitted to {self.contest.title}", "ref": submission.ref}

    def settle(self) -> None:
        """Score what has been pending long enough."""
        for one in self.submissions:
            waited = time.monotonic() - one.born >= self.contest.pending_seconds
            if one.status == "PENDING" and waited and one.polls >= self.contest.pending_polls:
                try:
                    one.public, one.private = self.contest.score(one.content)
                    one.status = "COMPLETE"
                except BadSubmission as error:
                    one.status, one.error = "ERROR", str(error)

    def shown(self, one: Submission) -> Json:
        """A submission as its owner sees it: no private score before the deadline."""
        scores = {"publicScore": one.public, "privateScore": one.private if self.closed else None}
        return {
            "ref": one.ref, "date": _stamp(one.date), "description": one.description, "fileName": one.file_name,
            "totalBytes": len(one.content), "status": one.status, "errorDescription": one.error or None,
            "submittedBy": self.username, "teamName": self.team,
            **{name: "" if score is None else f"{score:.5f}" for name, score in scores.items()},
        }  # fmt: skip

    def list_submissions(self, request: Json) -> Json:
        self.settle()
        for one in self.submissions:
            one.polls += 1
        return _page([self.shown(one) for one in reversed(self.submissions)], request, "submissions")

    def get_submission(self, request: Json) -> Json:
        for one in self.list_submissions({"pageSize": 200})["submissions"]:
            if one["ref"] == request.get("ref"):
                return cast(Json, one)
        raise Refused(404, "Submission not found", "NOT_FOUND")

    def limits(self, request: Json) -> Json:
        """Allowance of the day (UTC): what is pending counts, what ended as an error does not."""
        counted = [one for one in self.submissions if one.status != "ERROR"]
        today = sum(one.date.date() == utc_now().date() for one in counted)
        allowed = max(0, self.contest.daily_limit - today)
        return {"numToday": today, "numTotal": len(counted), "numAllowedNow": allowed, "limitedByTotal": False}

    # Leaderboard

    def standings(self) -> list[Json]:
        """Teams, best first: by public score, by private score once the contest is closed."""
        teams = dict(self.contest.teams)
        sign = -1 if self.contest.greater_is_better else 1
        scored = [(one.public, one.private) for one in self.submissions if one.public is not None]
        if scored:
            teams[self.team] = cast(tuple[float, float], min(scored, key=lambda scores: sign * scores[0]))
        place = 1 if self.closed else 0
        ordered = sorted(teams.items(), key=lambda item: sign * item[1][place])
        return [{"teamId": number, "teamName": name, "submissionDate": _stamp(self.contest.changed),
                 "score": f"{scores[place]:.5f}"} for number, (name, scores) in enumerate(ordered, 1)]  # fmt: skip

    def leaderboard(self, request: Json) -> Json:
        return _page(self.standings(), request, "submissions")

    def leaderboard_file(self) -> bytes:
        """The leaderboard as Kaggle sends it: a CSV in a zip."""
        table = io.StringIO()
        lines = csv.writer(table, lineterminator="\n")
        lines.writerow(("Rank", "TeamId", "TeamName", "LastSubmissionDate", "Score", "SubmissionCount"))
        for rank, row in enumerate(self.standings(), start=1):
            lines.writerow((rank, row["teamId"], row["teamName"], row["submissionDate"], row["score"], 1))
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(f"{self.contest.slug}-publicleaderboard.csv", table.getvalue())
        return packed.getvalue()


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _open(content: Content) -> BinaryIO:
    return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")


def _tag(content: Content) -> str:
    """What tells one state of a file from another."""
    if isinstance(content, bytes):
        return f'"{md5(content).hexdigest()}"'
    return f'"{content.stat().st_size:x}-{content.stat().st_mtime_ns:x}"'
