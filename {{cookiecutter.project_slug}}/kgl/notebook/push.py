"""kgl notebook push and submit: a build goes to Kaggle, what its notebook wrote comes back, that version is sent.

What is there with the same content stays, so that nothing is ever doubled.
"""

import contextlib
import hashlib
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kgl.competition import load_competition
from kgl.errors import REFUSED, KglError
from kgl.journal import Event
from kgl.notebook.kernel import DATASET, KERNEL, NOTEBOOK, Build, find_build, set_owner, size_of
from kgl.online.client import Kaggle
from kgl.online.extract import safe_name
from kgl.online.fetch import discard, fetch
from kgl.online.progress import progress, size_text
from kgl.online.refusals import refused
from kgl.online.submit import Candidate, Confirm, Make
from kgl.online.submit import submit as send
from kgl.paths import Workspace, digest, read_json, write_json, write_text
from kgl.runs import read_run
from kgl.session import Say

LONGEST_RUN, LONGEST_UNPACKING = 13 * 3600.0, 1800.0  # seconds
FILE, OUTPUT = "submission.csv", "kernels.list_kernel_session_output"
BROKEN = ("error", "cancel requested", "cancel acknowledged")


@dataclass(frozen=True)
class Pushed:
    """A version of a notebook at Kaggle. kernel: `owner/slug`. sha256: of all that it is made of."""

    kernel: str
    number: int
    sha256: str


def push(workspace: Workspace, run: str | None, *, say: Say) -> Pushed | None:
    """Bring a build to Kaggle, follow its notebook, fetch what it wrote into build/<run>/output and check the file.

    Args:
        workspace: where build/ lies.
        run: whose build; None: the newest.
        say: takes a line at a time.

    Returns:
        The version; None where it still runs when the wait ends.

    Raises:
        KglError: refused by Kaggle (3); the notebook failed, or its file is not as Kaggle wants it (1).
    """
    from kgl.submission import check_run  # pandas takes its time

    build, kaggle = find_build(workspace, run), Kaggle(load_competition(workspace).slug, say=say)
    pushed = upload(kaggle, build)
    if not follow(kaggle, pushed.kernel, build.folder):
        return None
    if FILE not in fetch_output(kaggle, pushed.kernel, build.folder / "output"):
        raise KglError(f"the notebook ran on Kaggle but wrote no {FILE}; its log: {build.folder / 'kaggle.log'}")
    check_run(workspace, build.run, file=build.folder / "output" / FILE)
    say(f"version {pushed.number} of {pushed.kernel} ran well; checked: build/{build.run}/output/{FILE}")
    return pushed


def submit(workspace: Workspace, run: str | None, *, note: str, confirm: Confirm, say: Say) -> Event | None:
    """Submit the notebook of a build, pushed first where it is not at Kaggle, once; see `kgl.online.submit.submit`.

    Returns:
        How the submission stands; None where the notebook still runs, or the user said no.
    """
    build, kaggle = find_build(workspace, run), Kaggle(load_competition(workspace).slug, say=say)
    pushed = push(workspace, build.run, say=say)
    if pushed is None:
        return None
    where = (kaggle.slug, pushed.kernel, pushed.number)

    def prepare(message: str) -> Make:
        return lambda: kaggle.ask(lambda api: api.competition_submit_code(FILE, message, *where), attempts=1)

    cv_score = read_run(workspace, build.run).cv_score
    candidate = Candidate(build.run, pushed.sha256, prepare, cv_score, note, is_notebook=True)
    return send(workspace, kaggle, candidate, confirm=confirm)


def follow(kaggle: Kaggle, kernel: str, folder: Path) -> bool:
    """Wait until the notebook has run, and keep its log as kaggle.log; False where it still runs when the wait ends.

    Raises:
        KglError: it failed; which cell, and the error (status 1).
    """
    last = said = ""

    def is_over() -> bool:
        nonlocal last, said
        before, (last, said) = last, state_of(kaggle, kernel)
        if last != before:
            kaggle.say(f"notebook {kernel}: {last}")
        return last in ("complete", *BROKEN)

    if not kaggle.wait(is_over, LONGEST_RUN):
        kaggle.say(f"it still runs ({last}); the same command follows it again: https://www.kaggle.com/code/{kernel}")
        return False
    log = _log(kaggle, kernel, folder)
    if last in BROKEN:
        raise KglError(f"the notebook failed on Kaggle{_failure(log, said or last)}. Its log: {folder / 'kaggle.log'}")
    return True


def fetch_output(kaggle: Kaggle, kernel: str, folder: Path, wanted: Callable[[str], bool] = bool) -> list[str]:
    """Fetch what the latest version wrote, whole, into `folder`; returns the names of all files that were wanted."""
    found = []
    for file in kaggle.every(OUTPUT, "files", **names_of(kernel)):
        name = safe_name(file.file_name, "the notebook's output")
        if wanted(name):
            _fetch(kaggle, file.url, folder / name)
            found.append(name)
    return found


def _fetch(kaggle: Kaggle, url: str, target: Path) -> None:
    import requests

    def start() -> requests.Response:
        answer = requests.get(url, stream=True, timeout=kaggle.timeout)
        answer.raise_for_status()
        return answer

    with progress(target.name) as report:
        fetch(start, target, report).replace(target)
    discard(target)


def _log(kaggle: Kaggle, kernel: str, folder: Path) -> str:
    """The log of the latest version, as text, also kept as kaggle.log."""
    log = kaggle.call(OUTPUT, page_size=1, **names_of(kernel)).log or ""
    with contextlib.suppress(ValueError, TypeError, KeyError):  # it may be plain text
        log = "".join(event["data"] for event in json.loads(log))
    log = re.sub(r"\x1b\[[0-9;]*m", "", log)
    write_text(folder / "kaggle.log", log)
    return log


def _failure(log: str, otherwise: str) -> str:
    """Which cell failed and how, by the log of a notebook; `otherwise` where it does not tell."""
    cells = re.findall(r"In ?\[(\d+)\]", log)
    errors = re.findall(r"^((?:\w+\.)*\w+(?:Error|Exception|Exit|Interrupt): .*)$", log, re.M)
    said = (errors or [otherwise])[-1].rstrip(". ")
    if lacking := re.match(r"ModuleNotFoundError: No module named '(\w+)", said):
        said += f"; Kaggle's image lacks it: kgl notebook build --package {lacking[1]}, and push again"
    return f"{f', cell {cells[-1]}' if cells else ''}: {said}"


def upload(kaggle: Kaggle, build: Build, *, hours: float | None = None) -> Pushed:
    """Data sets, each until it is ready, then the notebook, which Kaggle runs at once, for so many hours at most.

    Raises:
        KglError: refused (3); a data set that does not become ready, or no connection (1).
    """
    set_owner(build.folder, kaggle.owner())
    about = read_json(build.kernel / KERNEL)
    parts = [about, read_json(build.kernel / NOTEBOOK), *(_upload_dataset(kaggle, data) for data in build.datasets)]
    sha256 = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return Pushed(about["id"], _upload_notebook(kaggle, build, sha256, hours), sha256)


def find_notebook(kaggle: Kaggle, kernel: str) -> Any:
    """The latest version, `blob.source` and `metadata`; None where the user has no such notebook."""
    return kaggle.find("kernels.get_kernel", **names_of(kernel))


def state_of(kaggle: Kaggle, kernel: str) -> tuple[str, str]:
    """How the latest version stands (queued, running, complete, or one of BROKEN), and Kaggle's words for a failure."""
    answer = kaggle.find("kernels.get_kernel_session_status", **names_of(kernel))
    if answer is None:  # a new one may not be seen at once
        return "queued", ""
    return answer.status.name.lower().replace("_", " "), answer.failure_message or ""


def names_of(kernel: str) -> dict[str, Any]:
    """A notebook as Kaggle's calls name it."""
    return dict(zip(("user_name", "kernel_slug"), kernel.split("/"), strict=True))


def _upload_dataset(kaggle: Kaggle, folder: Path) -> str:
    """A data set with this content, ready at Kaggle; returns the content's hash, which its description holds."""
    about, mark = read_json(folder / DATASET), _content_hash(folder)
    owner, slug = about["id"].split("/")
    names: dict[str, Any] = {"owner_slug": owner, "dataset_slug": slug}
    content = {"description": f"Made by kgl notebook. Content: {mark}"}

    def text() -> str:
        found = kaggle.find("datasets.get_dataset", **names)
        return "" if found is None else f"there: {found.description}"

    def make() -> Any:
        files = kaggle.ask(lambda api: _upload_files(api, folder))
        if known:
            body = _version_body(files=files, version_notes=mark, **content)
            return kaggle.call("datasets.create_dataset_version", attempts=1, body=body, **names)
        new: dict[str, Any] = {"owner_slug": owner, "slug": slug, "title": about["title"], "is_private": True}
        new |= {"license_name": about["licenses"][0]["name"], "files": files, **content}
        return kaggle.call("datasets.create_dataset", attempts=1, **new)

    known = text()
    if mark not in known:
        kaggle.say(f"data set {slug}: {size_text(size_of(folder))} to upload")
        answer, there = kaggle.once(make, lambda: mark in text())
        if not there and answer.error:
            raise refused(answer.error, kaggle.slug)
    _wait_until_ready(kaggle, slug, names)
    return mark


def _wait_until_ready(kaggle: Kaggle, slug: str, names: dict[str, Any]) -> None:
    def end() -> str:
        found = kaggle.find("datasets.get_dataset_status", **names)  # a new one may not be seen at once
        return found.status.name if found and found.status.name in ("READY", "FAILED", "DELETED") else ""

    ended = kaggle.wait(end, LONGEST_UNPACKING)
    if not ended:
        raise KglError(f"the data set {slug} is there but not ready yet; nothing is lost: push again in some minutes.")
    if ended != "READY":
        raise KglError(f"Kaggle could not unpack the data set {slug}; delete it there and push again.")
    kaggle.say(f"data set {slug}: ready")


def _upload_files(api: Any, folder: Path) -> list[Any]:
    """Bring up the files of a data set, folders as zips, which Kaggle unpacks. The client leaves out what broke."""
    from kaggle.api.kaggle_api_extended import ResumableUploadContext
    from kagglesdk.blobs.types.blob_api_service import ApiBlobType

    body = _version_body(files=[])
    with ResumableUploadContext() as context:
        api.upload_files(body, None, str(folder), ApiBlobType.DATASET, context, not sys.stderr.isatty(), "zip")
    if len(body.files) < sum(path.name != DATASET for path in folder.iterdir()):
        raise ConnectionError("an upload broke")
    return list(body.files)


def _version_body(**fields: Any) -> Any:
    from kagglesdk.datasets.types.dataset_api_service import ApiCreateDatasetVersionRequestBody

    body = ApiCreateDatasetVersionRequestBody()
    for name, value in fields.items():
        setattr(body, name, value)
    return body


def _content_hash(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != DATASET)
    lines = [f"{path.relative_to(folder).as_posix()} {digest(path)}" for path in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _upload_notebook(kaggle: Kaggle, build: Build, sha256: str, hours: float | None) -> int:
    """The number of a version with this content that waits, runs or ran well; one that failed is pushed again."""
    kernel = read_json(build.kernel / KERNEL)["id"]

    def number() -> int:
        """Of the latest version, if it has this content."""
        found = find_notebook(kaggle, kernel)
        return int(found.metadata.current_version_number) if found and sha256 in found.blob.source else 0

    before = number()
    if before and state_of(kaggle, kernel)[0] not in BROKEN:
        kaggle.say(f"notebook {kernel}: version {before} has this content")
        return before
    with tempfile.TemporaryDirectory(prefix="kgl-push-") as name:
        staged = shutil.copytree(build.kernel, Path(name, "notebook"))
        notebook = read_json(staged / NOTEBOOK)  # its last cell says what all is made of: by it a version is known
        notebook["cells"].append({"cell_type": "markdown", "id": "content", "metadata": {}, "source": sha256})
        write_json(staged / NOTEBOOK, notebook)
        limit = str(round(hours * 3600)) if hours else None
        answer, found = kaggle.once(
            lambda: kaggle.ask(lambda api: api.kernels_push(str(staged), limit), attempts=1),
            lambda: max(0, number() - before) and number(),
        )
    if answer is not None:
        _refuse(kaggle, answer)
    return found or int(answer.version_number)


def _refuse(kaggle: Kaggle, answer: Any) -> None:
    if answer.error:
        raise refused(answer.error, kaggle.slug)
    for what in ("dataset", "competition", "kernel"):
        if names := getattr(answer, f"invalid_{what}_sources"):
            lost = f"Kaggle did not attach {', '.join(names)} to the notebook: it is not there, not yours, or its rules"
            raise KglError(f"{lost} are not accepted. Look at it on Kaggle and push again.", REFUSED)
