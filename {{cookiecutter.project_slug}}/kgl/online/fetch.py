"""Fetching one file over HTTP so that nothing is lost: `<name>.part` grows until it is whole, over runs and cuts."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kgl.errors import KglError
from kgl.online.refusals import is_passing, pause, status_of
from kgl.paths import write_text

if TYPE_CHECKING:
    from requests import Response

CHUNK, TRIES, TIMEOUT = 1 << 20, 6, 30.0
Report = Callable[[int, int], None]  # bytes that are there, bytes in all (0: unknown)


def fetch(start: Callable[[], "Response"], target: Path, report: Report) -> Path:
    """Bring `<target>.part` to its full size and return it; `<target>.part.of` says what it is a part of.

    Args:
        start: asks for the file and returns the streamed answer of the storage.
        target: names the part; the caller moves or unpacks it, then calls `discard`.

    Raises:
        KglError: several tries in a row brought no new byte (status 1); what came is kept.
    """
    part = part_of(target)
    best, failures = size_of(part), 0
    while True:
        try:
            _receive(start(), target, report)
            return part
        except KglError:
            raise
        except Exception as error:
            if not is_passing(error) and status_of(error) not in (400, 403):  # those: the storage's address ran out
                broke = f"{target.name}: the storage refused it ({status_of(error) or type(error).__name__})"
                raise KglError(f"{broke}. What came is kept; run this again later.") from error  # no signed address
            failures = 1 if size_of(part) > best else failures + 1
            best = max(best, size_of(part))
            wait = pause(error, failures)
            if failures >= TRIES or wait is None:
                broke = f"{target.name}: the connection broke {failures} times in a row at {best:,} bytes"
                raise KglError(f"{broke}. They are kept; run this again and it goes on from there.") from error
        time.sleep(wait)


def part_of(target: Path) -> Path:
    """Where the bytes of `target` gather."""
    return target.with_name(target.name + ".part")


def discard(target: Path) -> None:
    """Remove the part and what is known about it."""
    part_of(target).unlink(missing_ok=True)
    _identity_of(target).unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """Bytes in a file, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def _receive(response: "Response", target: Path, report: Report) -> None:
    """Read what is missing; it goes on from the part's own size if that is of the same version of the file."""
    import requests

    part, known = part_of(target), _identity_of(target)
    size, tag = _identify(response)
    same = known.is_file() and known.read_text(encoding="utf-8") == f"{size} {tag}\n"
    offset = size_of(part) if same and size and tag and response.request.method == "GET" else 0
    offset *= offset <= size  # more than the whole file is nothing to go on from
    if offset:
        response.close()
        if offset == size:
            return
        headers = {"Range": f"bytes={offset}-", "If-Range": tag, "Accept-Encoding": "identity"}
        response = requests.get(response.url, headers=headers, stream=True, timeout=TIMEOUT)
        response.raise_for_status()
        if not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            offset, (size, tag) = 0, _identify(response)  # another version came, from its beginning
    if not offset:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        write_text(known, f"{size} {tag}\n")
    with response, part.open("ab") as file:
        while piece := response.raw.read1(CHUNK, decode_content=True):  # iter_content loses up to CHUNK in a cut
            file.write(piece)
            offset += len(piece)
            report(offset, size)
    if offset < size:
        raise ConnectionError(f"cut at {offset} of {size} bytes")


def _identify(response: "Response") -> tuple[int, str]:
    """Size and version of a remote file; 0 and "" where the server does not tell, or packs it on the way."""
    headers = response.headers
    tag = headers.get("ETag", "")
    tag = headers.get("Last-Modified", "") if tag[:2] in ("", "W/") else tag  # If-Range needs a strong one
    return (0, "") if "Content-Encoding" in headers else (int(headers.get("Content-Length", 0)), tag)


def _identity_of(target: Path) -> Path:
    return target.with_name(target.name + ".part.of")
