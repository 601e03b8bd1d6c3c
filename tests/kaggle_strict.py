"""The practice Kaggle as strict as Kaggle: it refuses what Kaggle refuses, and sends and takes files in parts."""

import csv
import io
import re
import secrets
from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import md5
from typing import cast

from kgl.rehearsal.contest import PracticeContest
from kgl.rehearsal.server import PIECE, Exchange, Json, PracticeKaggle, Submission

DATE = "Thu, 01 Jan 2026 00:00:00 GMT"  # of the contest's files


class Refused(Exception):
    """An answer that is an error, in the JSON shape of Kaggle's."""

    def __init__(self, code: int, message: str, status: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.code, details = code, [{"reason": reason}] if reason else []
        self.body: Json = {"error": {"code": code, "message": message, "status": status, "details": details}}


class BadSubmission(Exception):
    """Kaggle took the file, but it cannot be scored: the submission ends as ERROR with this description."""


class StrictExchange(Exchange):
    """An exchange that answers refusals, reads bodies piece by piece, and sends files by ranges."""

    def answer(self) -> None:
        try:
            super().answer()
        except Refused as refused:
            self.send(refused.code, refused.body)

    do_GET = do_POST = do_PUT = answer

    def body(self) -> bytes:
        return b"".join(self.pieces())

    def pieces(self) -> Iterator[bytes]:
        """The request's body as it comes in, by length or (requests does so with empty files) in chunks."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().strip() or b"0", 16):
                yield self.rfile.read(size + 2)[:-2]
            self.rfile.readline()
        left = int(self.headers.get("Content-Length") or 0)
        while left and (piece := self.rfile.read1(min(left, PIECE))):
            left -= len(piece)
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


class StrictKaggle(PracticeKaggle):
    """The practice Kaggle that refuses what Kaggle refuses."""

    exchange = StrictExchange

    def __init__(self, contest: PracticeContest) -> None:
        super().__init__(contest)
        self.zip_from = 1_000_000  # bytes; text files from this size on are sent as "<name>.zip"
        self.packed: dict[str, bytes] = {}
        self.key = secrets.token_hex(16)
        legacy = b64encode(f"{self.username}:{self.key}".encode()).decode()
        self.legacy = f"Basic {legacy}"
        self.unknown_is_forbidden = False  # an unknown contest answers 403, as some do, in place of 404

    # What Kaggle refuses

    def serve(self, exchange: Exchange) -> None:
        known = (f"Bearer {self.token}", self.legacy)
        if exchange.endpoint not in ("upload", "storage") and exchange.headers.get("Authorization") not in known:
            exchange.body()
            raise Refused(401, "Request is missing valid authentication credentials", "UNAUTHENTICATED")
        super().serve(exchange)

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
        for piece in cast(StrictExchange, exchange).pieces():
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
