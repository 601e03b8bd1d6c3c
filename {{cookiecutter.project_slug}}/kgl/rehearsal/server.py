"""The practice Kaggle: a small server on this machine that the real, unmodified client talks to over HTTP.

`KAGGLE_API_ENVIRONMENT=LOCALHOST` makes the client call http://localhost, and `HTTP_PROXY` leads those calls here,
whatever the port. Addresses, JSON and the order of calls are those of kaggle 2.2 and kagglesdk 0.1.3x.
"""

import json
import os
import re
import secrets
import tempfile
import threading
import time
import zipfile
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from kgl.rehearsal.contest import BadSubmission, PracticeContest
from kgl.rehearsal.web import Content, Exchange, Json, Refused, Server, size_of, tag_of

STORAGE = "http://storage.localhost"  # another host than the API's, as at Kaggle: the client drops the token there


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
        self.username, self.key, self.team = "rehearsal", secrets.token_hex(16), "You (rehearsal)"
        self.token = f"KGAT_{secrets.token_hex(16)}"
        legacy = b64encode(f"{self.username}:{self.key}".encode()).decode()
        self.credentials = {f"Bearer {self.token}", f"Basic {legacy}"}
        self.submissions: list[Submission] = []
        self.uploads: dict[str, tuple[Json, bytearray]] = {}  # by token: StartSubmissionUpload, what has arrived
        self.lock = threading.RLock()

    def start(self) -> Self:
        """Listen on a free port of this machine."""
        self.packed = tempfile.TemporaryDirectory(prefix="kgl-rehearsal-", ignore_cleanup_errors=True)
        self.server = Server(self.exchange, self.serve)
        self.port: int = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self, *exception: object) -> None:
        """Stop listening and delete what was packed."""
        self.server.shutdown()
        self.server.server_close()
        self.packed.cleanup()

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
        """Answer one request.

        Raises:
            Refused: the answer is an error.
        """
        if exchange.endpoint == "upload":
            return self.receive(exchange)
        if exchange.endpoint == "storage":
            return exchange.send_content(self.stored(exchange.route), self.contest.changed)
        request: Json = json.loads(b"".join(exchange.pieces()) or b"{}")
        self.check(exchange, request)
        answer = self.call(exchange.endpoint, request)
        if isinstance(answer, dict):
            exchange.send(200, answer)
        else:
            exchange.send(302, Location=f"{STORAGE}{quote(answer)}?signature=practice")

    def check(self, exchange: Exchange, request: Json) -> None:
        """Who asks, for which contest, and are its rules accepted?"""
        if exchange.headers.get("Authorization") not in self.credentials:
            raise Refused(401, "Request is missing valid authentication credentials", "UNAUTHENTICATED")
        if request.get("competitionName", self.contest.slug) != self.contest.slug:
            raise Refused(404, f"Competition not found: {request['competitionName']}", "NOT_FOUND")
        if not self.contest.entered and re.match("DownloadData|StartSubmission|Create", exchange.endpoint):
            sentence = "You must accept this competition's rules before you'll be able to download files or submit."
            raise Refused(403, sentence, "PERMISSION_DENIED", "RulesAcceptanceRequired")

    def call(self, endpoint: str, request: Json) -> Json | str:
        """The answer of an endpoint."""
        method = getattr(self, "api" + re.sub("([A-Z])", r"_\1", endpoint).lower(), None)
        if method is None:
            raise Refused(404, f"The practice Kaggle has no {endpoint}", "NOT_FOUND")
        with self.lock:
            answer: Json | str = method(request)
        return answer

    # The user and the contest

    def api_introspect_token(self, request: Json) -> Json:
        return {"active": True, "username": self.username} if request.get("token") == self.token else {}

    def api_get_competition(self, request: Json) -> Json:
        contest, teams = self.contest, [row["teamName"] for row in self.standings()]
        address = f"https://www.kaggle.com/competitions/{contest.slug}"
        about: Json = {"id": 1, "ref": address, "url": address, "title": contest.title, "category": "Getting Started"}
        about |= {"deadline": stamp(contest.deadline), "enabledDate": stamp(contest.changed), "teamCount": len(teams)}
        about |= {"maxDailySubmissions": contest.daily_limit, "evaluationMetric": contest.metric, "maxTeamSize": 5}
        about |= {"userHasEntered": contest.entered, "reward": "Knowledge"}
        return about | ({"userRank": teams.index(self.team) + 1} if self.team in teams else {})

    def api_list_competition_pages(self, request: Json) -> Json:
        pages = {"Description": self.contest.title, "Evaluation": self.contest.metric} | self.contest.pages
        wanted = request.get("pageName")
        return {"pages": [{"name": name, "content": pages[name]} for name in pages if wanted in (None, name)]}

    # Files

    def api_list_data_files(self, request: Json) -> Json:
        files, date = self.contest.files, stamp(self.contest.changed)
        listed = [{"name": name, "totalBytes": size_of(files[name]), "creationDate": date} for name in files]
        return page(listed, request, "files")

    def api_download_data_files(self, request: Json) -> str:
        return f"/bundle/{self.contest.slug}/archive.zip"

    def api_download_data_file(self, request: Json) -> str:
        """The last part of the address is the name that the client gives the file."""
        name = request.get("fileName", "")
        if name not in self.contest.files:
            raise Refused(404, f"File not found: {name}", "NOT_FOUND")
        big = size_of(self.contest.files[name]) >= self.contest.zip_from
        return f"/data/{name}" + (".zip" if big and name.endswith((".csv", ".tsv", ".json", ".txt")) else "")

    def stored(self, route: str) -> Content:
        """What lies at an address of the storage."""
        files, name = self.contest.files, route.removeprefix("/data/")
        if route.startswith("/bundle/"):
            return self.pack(files)
        if name in files:
            return files[name]
        if (inside := name.removesuffix(".zip")) in files:
            return self.pack({inside.rsplit("/", 1)[-1]: files[inside]})
        raise Refused(404, "The specified key does not exist", "NOT_FOUND")

    def pack(self, files: Mapping[str, Content]) -> Path:
        """A zip of files; the same files give the same zip."""
        state = repr([(name, tag_of(content)) for name, content in files.items()])
        path = Path(self.packed.name, md5(state.encode()).hexdigest())
        with self.lock:
            if not path.exists():
                with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                    for name, content in files.items():
                        archive.writestr(name, content if isinstance(content, bytes) else content.read_bytes())
        return path

    # Submissions

    def api_start_submission_upload(self, request: Json) -> Json:
        token = secrets.token_hex(16)
        self.uploads[token] = request, bytearray()
        return {"token": token, "createUrl": f"{STORAGE}/upload/{token}?signature=practice"}

    def receive(self, exchange: Exchange) -> None:
        """The bytes of an upload. A broken one keeps what arrived; `Content-Range: bytes */N` asks how much that is."""
        token = exchange.route.rsplit("/", 1)[-1]
        request, content = self.uploads.get(token, ({}, bytearray()))
        if start := re.match(r"bytes (\d+)-", exchange.headers.get("Content-Range", "bytes 0-")):
            del content[int(start[1]) :]
        for piece in exchange.pieces():
            content += piece
        if not request:
            raise Refused(404, "Upload not found", "NOT_FOUND")
        if len(content) >= request.get("contentLength", 0):
            return exchange.send(200, {})
        received: Json = {"Range": f"bytes=0-{len(content) - 1}"} if content else {}
        exchange.send(308, **received)

    def api_create_submission(self, request: Json) -> Json:
        upload, content = self.uploads.get(request.get("blobFileTokens", ""), ({}, b""))
        if len(content) != upload.get("contentLength", 0) or not upload:
            raise Refused(400, "The uploaded file was not found", "INVALID_ARGUMENT")
        if not self.api_get_submission_limits({})["numAllowedNow"]:
            sentence = f"Your team has used its daily Submission allowance ({self.contest.daily_limit}) today"
            raise Refused(400, f"Submission not allowed: {sentence}, please try again tomorrow UTC.")
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
            old = time.monotonic() - one.born >= self.contest.pending_seconds
            if one.status == "PENDING" and old and one.polls >= self.contest.pending_polls:
                try:
                    one.status, (one.public, one.private) = "COMPLETE", self.contest.score(one.content)
                except BadSubmission as error:
                    one.status, one.error = "ERROR", str(error)
            one.polls += 1
        return page([self.shown(one) for one in reversed(self.submissions)], request, "submissions")

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
