"""The practice Kaggle's side of an HTTP connection: bodies in, answers and files out, files by ranges as well."""

import io
import json
import re
import socketserver
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import md5
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

PIECE = 1 << 16
Json = dict[str, Any]
Content = bytes | Path


class Refused(Exception):
    """An answer that is an error, in the JSON shape of Kaggle's."""

    def __init__(self, code: int, message: str, status: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.code, details = code, [{"reason": reason}] if reason else []
        self.body: Json = {"error": {"code": code, "message": message, "status": status, "details": details}}


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

    def send_content(self, content: Content, changed: datetime) -> None:
        """A file, or its rest if Range asks for that and the file is still the one that If-Range means."""
        size, tag = size_of(content), tag_of(content)
        date = format_datetime(changed.replace(tzinfo=UTC), usegmt=True)
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(wanted[1]) if wanted and self.headers.get("If-Range", tag) in (tag, date) else 0
        if first and first >= size:
            return self.send(416, Content_Range=f"bytes */{size}")
        about: Json = {"Content_Range": f"bytes {first}-{size - 1}/{size}"} if first else {}
        about |= {"Accept_Ranges": "bytes", "Content_Type": "application/octet-stream"}
        self.head(206 if first else 200, size - first, ETag=tag, Last_Modified=date, **about)
        with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
            file.seek(first)
            while piece := file.read(PIECE):
                self.write(piece)

    def answer(self) -> None:
        """Answer one request of any kind."""
        try:
            cast(Server, self.server).serve(self)
        except Refused as refused:
            self.send(refused.code, refused.body)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal belongs to the command that uses the server."""


class Server(socketserver.ThreadingTCPServer):
    """A server on a free port of this machine; `serve` answers each request."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, exchange: type[Exchange], serve: Callable[[Exchange], None]) -> None:
        self.serve = serve
        super().__init__(("127.0.0.1", 0), exchange)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report errors; a client that goes away is none."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def size_of(content: Content) -> int:
    """Bytes of a file."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def tag_of(content: Content) -> str:
    """What tells one state of a file from another."""
    stat = None if isinstance(content, bytes) else content.stat()
    return f'"{stat.st_size:x}-{stat.st_mtime_ns:x}"' if stat else f'"{md5(cast(bytes, content)).hexdigest()}"'
