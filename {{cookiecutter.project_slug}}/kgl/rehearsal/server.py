"""The practice Kaggle: a small server on this machine that the real, unmodified client talks to over HTTP.

`KAGGLE_API_ENVIRONMENT=LOCALHOST` makes the client call http://localhost, and `HTTP_PROXY` leads those calls here,
whatever the port. Addresses, JSON and the order of calls are those of kaggle 2.2 and kagglesdk 0.1.3x. It plays a
day on which all goes well; what may go wrong is played in the template's tests.
"""

import io
import json
import os
import re
import secrets
import socketserver
import sys
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import quote, unquote, urlsplit

from kgl.rehearsal.contest import PracticeContest

STORAGE = "http://storage.localhost"  # another host than the API's, as at Kaggle: the client drops the token there
CHANGED = "2026-01-01T00:00:00.000Z"  # when the contest's files were made
PIECE = 1 << 16
Json = dict[str, Any]


class Exchange(BaseHTTPRequestHandler):
    """One connection: how requests are read and answers written. What they say comes from PracticeKaggle."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def route(self) -> str:
        """The path that was asked for; the client sends it as to a proxy, with `http://host` in front."""
        return unquote(urlsplit(self.path).path)

    @property
    def endpoint(self) -> str:
        """`ListSubmissions` and the like, or `storage` or `upload`."""
        api = self.route.startswith("/api/v1/")
        return self.route.rsplit("/", 1)[-1] if api else "upload" if self.command == "PUT" else "storage"

    def body(self) -> bytes:
        """What the request brings."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def head(self, code: int, length: int, **headers: object) -> None:
        """Status line and headers of an answer; `Content_Type=` becomes the header Content-Type."""
        self.send_response(code)
        for name, value in {**headers, "Content_Length": length}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def write(self, piece: bytes) -> None:
        """A part of the answer's body."""
        self.wfile.write(piece)

    def send(self, code: int, body: Json | None = None, **headers: object) -> None:
        """A whole answer: JSON, or nothing but its headers."""
        content = b"" if body is None else json.dumps(body).encode()
        self.head(code, len(content), Content_Type="application/json; charset=utf-8", **headers)
        self.write(content)

    def send_file(self, content: bytes, first: int = 0, **headers: object) -> None:
        """A file, or its rest from the byte `first` on."""
        self.head(206 if first else 200, len(content) - first, Content_Type="application/octet-stream", **headers)
        for start in range(first, len(content), PIECE):
            self.write(content[start : start + PIECE])

    def answer(self) -> None:
        """Answer one request of any kind."""
        cast(Server, self.server).kaggle.serve(self)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal belongs to the command that uses the server."""


class Server(socketserver.ThreadingTCPServer):
    """A server on a free port of this machine."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, kaggle: "PracticeKaggle") -> None:
        self.kaggle = kaggle
        super().__init__(("127.0.0.1", 0), kaggle.exchange)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report errors; a client that goes away is none."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@dataclass
class Submission:
    """One submission as the practice Kaggle keeps it."""

    ref: int
    file_name: str
    description: str
    content: bytes
    date: datetime
    polls: int = 0
    status: str = "PENDING"
    public: float | None = None
    private: float | None = None
    error: str | None = None


class PracticeKaggle:
    """The practice Kaggle with one contest and one user. A method `api_list_data_files` answers `ListDataFiles`:
    a dict goes out as JSON, a text is an address in the storage that the client is sent to.

    with PracticeKaggle(contest) as kaggle:
        subprocess.run([...], env=kaggle.environment(home))
        print(kaggle.submissions[0].public)
    """

    exchange = Exchange

    def __init__(self, contest: PracticeContest) -> None:
        self.contest = contest
        self.username, self.team = "rehearsal", "You (rehearsal)"
        self.token = f"KGAT_{secrets.token_hex(16)}"
        self.submissions: list[Submission] = []
        self.uploads: dict[str, tuple[Json, bytearray]] = {}  # by token: StartSubmissionUpload, what has arrived
        self.lock = threading.RLock()

    def start(self) -> Self:
        """Listen on a free port of this machine."""
        self.server = Server(self)
        self.port: int = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self, *exception: object) -> None:
        """Stop listening."""
        self.server.shutdown()
        self.server.server_close()

    __enter__, __exit__ = start, stop

    def environment(self, home: Path) -> dict[str, str]:
        """All variables of a child process: this one's without its Kaggle settings, `home` as its home folder."""
        config = home / ".kaggle"
        config.mkdir(parents=True, exist_ok=True)
        kept = {key: value for key, value in os.environ.items() if not key.upper().startswith("KAGGLE_")}
        return kept | {
            **dict.fromkeys(("HOME", "USERPROFILE"), str(home)),
            **dict.fromkeys(("HTTP_PROXY", "http_proxy"), f"http://127.0.0.1:{self.port}"),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
            **{"KAGGLE_API_ENVIRONMENT": "LOCALHOST", "KAGGLE_API_TOKEN": self.token, "KAGGLE_CONFIG_DIR": str(config)},
        }

    def close_contest(self) -> None:
        """The deadline passes: from now on private scores are shown."""
        self.contest.deadline = utc_now() - timedelta(seconds=1)

    # Requests

    def serve(self, exchange: Exchange) -> None:
        """Answer one request."""
        if exchange.endpoint == "upload":
            return self.receive(exchange)
        if exchange.endpoint == "storage":
            return exchange.send_file(self.stored(exchange.route))
        answer = self.call(exchange.endpoint, json.loads(exchange.body() or b"{}"))
        if isinstance(answer, dict):
            exchange.send(200, answer)
        else:
            exchange.send(302, Location=f"{STORAGE}{quote(answer)}?signature=practice")

    def call(self, endpoint: str, request: Json) -> Json | str:
        """The answer of an endpoint."""
        method = getattr(self, "api" + re.sub("([A-Z])", r"_\1", endpoint).lower())
        with self.lock:
            answer: Json | str = method(request)
        return answer

    # The user and the contest

    def api_introspect_token(self, request: Json) -> Json:
        return {"active": True, "username": self.username}

    def api_get_competition(self, request: Json) -> Json:
        contest, teams = self.contest, [row["teamName"] for row in self.standings()]
        address = f"https://www.kaggle.com/competitions/{contest.slug}"
        about: Json = {"id": 1, "ref": address, "url": address, "title": contest.title, "category": "Getting Started"}
        about |= {"deadline": stamp(contest.deadline), "enabledDate": CHANGED, "teamCount": len(teams)}
        about |= {"maxDailySubmissions": contest.daily_limit, "evaluationMetric": "Categorization Accuracy"}
        about |= {"userHasEntered": contest.entered, "reward": "Knowledge", "maxTeamSize": 5}
        return about | ({"userRank": teams.index(self.team) + 1} if self.team in teams else {})

    # Files

    def api_list_data_files(self, request: Json) -> Json:
        files = self.contest.files.items()
        listed = [{"name": name, "totalBytes": len(content), "creationDate": CHANGED} for name, content in files]
        return page(listed, request, "files")

    def api_download_data_files(self, request: Json) -> str:
        return f"/bundle/{self.contest.slug}/archive.zip"

    def api_download_data_file(self, request: Json) -> str:
        """The last part of the address is the name that the client gives the file."""
        return f"/data/{request['fileName']}"

    def stored(self, route: str) -> bytes:
        """What lies at an address of the storage."""
        files = self.contest.files
        return self.pack(files) if route.startswith("/bundle/") else files[route.removeprefix("/data/")]

    def pack(self, files: Mapping[str, bytes]) -> bytes:
        """A zip of files."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return packed.getvalue()

    # Submissions

    def api_start_submission_upload(self, request: Json) -> Json:
        token = secrets.token_hex(16)
        self.uploads[token] = request, bytearray()
        return {"token": token, "createUrl": f"{STORAGE}/upload/{token}?signature=practice"}

    def receive(self, exchange: Exchange) -> None:
        """The bytes of an upload."""
        self.uploads[exchange.route.rsplit("/", 1)[-1]][1].extend(exchange.body())
        exchange.send(200, {})

    def api_create_submission(self, request: Json) -> Json:
        upload, content = self.uploads[request["blobFileTokens"]]
        ref, description = 40_000_001 + len(self.submissions), request.get("submissionDescription", "")
        self.submissions.append(Submission(ref, upload["fileName"], description, bytes(content), utc_now()))
        return {"message": f"Successfully submitted to {self.contest.title}", "ref": ref}

    def shown(self, one: Submission) -> Json:
        """A submission as its owner sees it: no private score before the deadline."""
        closed = utc_now() >= self.contest.deadline
        scores = {"publicScore": one.public, "privateScore": one.private if closed else None}
        about: Json = {"ref": one.ref, "date": stamp(one.date), "description": one.description, "status": one.status}
        about |= {"fileName": one.file_name, "totalBytes": len(one.content), "errorDescription": one.error}
        return about | {name: "" if score is None else f"{score:.5f}" for name, score in scores.items()}

    def api_list_submissions(self, request: Json) -> Json:
        """The newest first; what was pending long enough is scored now."""
        for one in self.submissions:
            if one.status == "PENDING" and one.polls >= self.contest.pending_polls:
                self.score(one)
            one.polls += 1
        return page([self.shown(one) for one in reversed(self.submissions)], request, "submissions")

    def score(self, one: Submission) -> None:
        """Set the scores of a submission."""
        one.status, (one.public, one.private) = "COMPLETE", self.contest.score(one.content)

    def api_get_submission_limits(self, request: Json) -> Json:
        """The allowance of the day (UTC): what is pending counts, what ended as an error does not."""
        counted = [one for one in self.submissions if one.status != "ERROR"]
        today = sum(one.date.date() == utc_now().date() for one in counted)
        allowed = max(0, self.contest.daily_limit - today) if self.contest.entered else 0
        return {"numToday": today, "numTotal": len(counted), "numAllowedNow": allowed}

    # Leaderboard

    def standings(self) -> list[Json]:
        """Teams, best first: by public score, by private score once the contest is closed."""
        place, sign = int(utc_now() >= self.contest.deadline), -1 if self.contest.greater_is_better else 1
        mine = [(one.public, one.private or 0.0) for one in self.submissions if one.public is not None]
        teams = self.contest.teams | ({self.team: min(mine, key=lambda pair: sign * pair[0])} if mine else {})
        ordered = enumerate(sorted(teams.items(), key=lambda item: sign * item[1][place]), start=1)
        return [{"teamId": n, "teamName": name, "score": f"{pair[place]:.5f}"} for n, (name, pair) in ordered]

    def api_get_leaderboard(self, request: Json) -> Json:
        return page(self.standings(), request, "submissions")


def utc_now() -> datetime:
    """Now in UTC without a zone, as Kaggle writes its times."""
    return datetime.now(UTC).replace(tzinfo=None)


def stamp(moment: datetime) -> str:
    """A time as Kaggle's JSON has it."""
    return moment.isoformat(timespec="milliseconds") + "Z"


def page(items: list[Any], request: Json, name: str) -> Json:
    """One page of a list: 20 items by default, 200 at most; the page token is the place where it starts."""
    start, size = int(request.get("pageToken") or 0), min(int(request.get("pageSize") or 20), 200)
    following = {"nextPageToken": str(start + size)} if start + size < len(items) else {}
    return {name: items[start : start + size]} | following
