"""Fetching one file over HTTP so that nothing is lost: `<name>.part` grows until it is whole, over runs and cuts."""

import base64
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kgl.errors import KglError
from kgl.online.refusals import is_passing, pause, reason
from kgl.paths import read_json, write_json

if TYPE_CHECKING:
    from requests import Response

CHUNK, TRIES, TIMEOUT = 1 << 20, 6, 30.0
Report = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes in all (0: unknown)."""


@dataclass(frozen=True)
class Identity:
    """What tells one version of a remote file from another. md5 is in hex, where the server tells it."""

    size: int
    tag: str
    md5: str = ""


def fetch(
    start: Callable[[], "Response"], target: Path, *, report: Report, sleep: Callable[[float], None] = time.sleep
) -> Path:
    """Bring `<target>.part` to its full size and return it; `<target>.part.json` says what it is a part of.

    Args:
        start: asks for the file and returns the streamed answer, at the storage's address.
        target: names the part; the caller moves or unpacks it, then calls `discard`.
        report: called after each piece.
        sleep: waits between tries, in seconds.

    Raises:
        KglError: several tries in a row brought no new byte (status 1), or the file is corrupt each time it comes.
    """
    part = part_of(target)
    best, failures, corrupt = _size(part), 0, False
    while True:
        error: Exception
        try:
            identity = _receive(start(), target, report)
            if _is_sound(part, identity):
                return part
            discard(target)
            if corrupt:
                raise KglError(
                    f"{target.name} arrived corrupt twice; run this again later, or tell the contest's hosts."
                )
            corrupt = True
            continue
        except Exception as raised:
            if isinstance(raised, KglError) or not (is_passing(raised) or reason(raised)[0] in (400, 403)):
                raise  # 400 and 403: the storage's address may have run out, and a fresh one is asked for
            error = raised
        failures = 1 if _size(part) > best else failures + 1
        best = max(best, _size(part))
        wait = pause(error, failures)
        if failures >= TRIES or wait is None:
            raise KglError(
                f"{target.name}: the connection broke {failures} times in a row at {best:,} bytes; "
                "they are kept, run this again and it goes on from there."
            ) from error
        sleep(wait)


def part_of(target: Path) -> Path:
    """Where the bytes of `target` gather."""
    return target.with_name(target.name + ".part")


def discard(target: Path) -> None:
    """Remove the part and what is known about it."""
    part_of(target).unlink(missing_ok=True)
    _state_of(target).unlink(missing_ok=True)


def digest(path: Path, kind: str = "sha256") -> str:
    """The hash of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _receive(response: "Response", target: Path, report: Report) -> Identity:
    """Read what is missing; the part's own size says where to go on, if it is a part of the same version."""
    import requests

    part, identity = part_of(target), _identity(response)
    offset = _size(part) if _known(target) == identity and identity.size else 0
    if offset and offset == identity.size:
        response.close()
        return identity
    if response.request.method == "GET" and (offset or "Content-Encoding" in response.headers):
        response.close()
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers |= {"Range": f"bytes={offset}-", "If-Range": identity.tag}
        response = requests.get(response.url, headers=headers, stream=True, timeout=TIMEOUT)
        response.raise_for_status()
        if response.status_code != 206 or not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            offset, identity = 0, _identity(response)
    else:
        offset = 0
    if not offset:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        write_json(_state_of(target), {"size": identity.size, "tag": identity.tag})
    _append(response, part, offset, identity.size, report)
    return identity


def _append(response: "Response", part: Path, offset: int, size: int, report: Report) -> None:
    with response, part.open("ab" if offset else "wb") as file:
        for piece in response.iter_content(CHUNK):
            file.write(piece)
            offset += len(piece)
            report(offset, size)
    if size and offset < size:
        raise ConnectionError(f"cut at {offset} of {size} bytes")


def _identity(response: "Response") -> Identity:
    headers = response.headers
    tag = headers.get("ETag", "")
    tag = headers.get("Last-Modified", "") if not tag or tag.startswith("W/") else tag  # If-Range needs a strong one
    known = dict(item.strip().split("=", 1) for item in headers.get("x-goog-hash", "").split(",") if "=" in item)
    md5 = base64.b64decode(known["md5"]).hex() if "md5" in known else ""
    plain = "Content-Encoding" not in headers
    return Identity(int(headers.get("Content-Length", 0)) if tag and plain else 0, tag, md5)


def _known(target: Path) -> Identity | None:
    try:
        state = read_json(_state_of(target))
        return Identity(state["size"], state["tag"])
    except (OSError, KglError, KeyError, TypeError):
        return None


def _is_sound(part: Path, identity: Identity) -> bool:
    """Whether size and, where the server tells one, hash are right."""
    if identity.size and _size(part) != identity.size:
        return False
    return not identity.md5 or digest(part, "md5") == identity.md5


def _state_of(target: Path) -> Path:
    return target.with_name(target.name + ".part.json")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
