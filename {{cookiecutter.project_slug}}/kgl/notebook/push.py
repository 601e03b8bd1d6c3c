"""kgl notebook push and submit: data sets, the notebook, its file. Killed and started again, nothing is doubled."""

import contextlib
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kgl.competition import load_competition
from kgl.errors import FAILED, REFUSED, KglError
from kgl.notebook.kernel import DATASET, KERNEL, NOTEBOOK, Build, find_build, set_owner, size_of
from kgl.online.client import Kaggle
from kgl.online.extract import safe_name
from kgl.online.fetch import digest, discard, fetch
from kgl.online.journal import Event
from kgl.online.progress import progress, size_text
from kgl.online.refusals import refused
from kgl.online.submit import Candidate, Confirm, Make, send
from kgl.paths import Workspace, read_json, use_workspace, write_json, write_text
from kgl.runs import read_run

FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0  # seconds between two looks, growing by half
LONGEST_UNPACKING, LONGEST_RUN = 1800.0, 13 * 3600.0  # seconds
BROKEN = ("error", "cancel requested", "cancel acknowledged")
FILE = "submission.csv"


@dataclass(frozen=True)
class Pushed:
    """A version of a notebook at Kaggle. kernel: `owner/slug`. sha256: of all that it is made of."""

    kernel: str
    number: int
    sha256: str


def push(workspace: Workspace, run: str | None, *, say: Callable[[str], None]) -> Pushed | None:
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
    build = find_build(workspace, run)
    kaggle = Kaggle(load_competition(workspace).slug, say=say)
    pushed = bring(kaggle, build)
    if not follow(kaggle, pushed.kernel, build.folder):
        return None
    if FILE not in fetch_output(kaggle, pushed.kernel, build.folder / "output"):
        raise KglError(f"the notebook ran on Kaggle but wrote no {FILE}; its log: {build.folder / 'kaggle.log'}")
    _check(workspace, build)
    say(f"version {pushed.number} of {pushed.kernel} ran well; checked: build/{build.run}/output/{FILE}")
    return pushed


def submit(
    workspace: Workspace, run: str | None, *, note: str = "", confirm: Confirm, say: Callable[[str], None]
) -> Event | None:
    """Submit the notebook of a build, pushed first where it is not at Kaggle, once; see `kgl.online.submit.send`.

    Returns:
        How the submission stands; None where the notebook still runs, or the user said no.
    """
    build = find_build(workspace, run)
    pushed = push(workspace, build.run, say=say)
    if pushed is None:
        return None
    kaggle = Kaggle(load_competition(workspace).slug, say=say)
    where = (kaggle.slug, pushed.kernel, pushed.number)

    def prepare(message: str) -> Make:
        return lambda: kaggle.ask(lambda api: api.competition_submit_code(FILE, message, *where), attempts=1)

    cv_score = read_run(workspace, build.run).cv_score
    candidate = Candidate(build.run, build.folder / "output" / FILE, cv_score=cv_score, note=note)
    return send(workspace, kaggle, candidate, pushed.sha256, prepare=prepare, confirm=confirm, notebook=True)


def bring(kaggle: Kaggle, build: Build, *, hours: float | None = None) -> Pushed:
    """Data sets, then the notebook; what is at Kaggle with the same content stays as it is.

    Raises:
        KglError: refused (3); a data set that does not become ready, or no connection (1).
    """
    set_owner(build.folder, kaggle.owner())
    about = read_json(build.kernel / KERNEL)
    parts = [about, read_json(build.kernel / NOTEBOOK), *(_bring_dataset(kaggle, data) for data in build.datasets)]
    sha256 = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return Pushed(about["id"], _bring_notebook(kaggle, build, sha256, hours), sha256)


def follow(kaggle: Kaggle, kernel: str, folder: Path, *, longest: float = LONGEST_RUN) -> bool:
    """Wait until the notebook has run, and keep its log as kaggle.log; False where it still runs when the wait ends.

    Raises:
        KglError: it failed; which cell, and the error (status 1).
    """
    last = ""

    def is_over() -> bool:
        nonlocal last
        try:
            answer = kaggle.call("kernels.get_kernel_session_status", **_names(kernel))
        except KglError as error:
            if error.status != FAILED:
                raise
            return False  # the network may come back before the wait ends
        state = _state(answer)
        if state != last:
            kaggle.say(f"notebook {kernel}: {state}")
        last = state
        if state in BROKEN:
            raise KglError(
                f"{_failure(_log(kaggle, kernel, folder), answer.failure_message or state)}. {_where(folder)}"
            )
        return state == "complete"

    if not _wait(kaggle, is_over, longest):
        kaggle.say(f"it still runs ({last}); the same command follows it again: https://www.kaggle.com/code/{kernel}")
        return False
    _log(kaggle, kernel, folder)
    return True


def fetch_output(kaggle: Kaggle, kernel: str, folder: Path, wanted: Callable[[str], bool] = bool) -> list[str]:
    """Fetch what the latest version wrote, whole, into `folder`; returns the names of all files that were wanted."""
    found = []
    for file in kaggle.every("kernels.list_kernel_session_output", "files", **_names(kernel)):
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
        fetch(start, target, report=report, sleep=kaggle.sleep).replace(target)
    discard(target)


def find_notebook(kaggle: Kaggle, kernel: str) -> Any:
    """The latest version, `blob.source` and `metadata`; None where the user has no such notebook."""
    return kaggle.find("kernels.get_kernel", **_names(kernel))


def is_broken(kaggle: Kaggle, kernel: str) -> bool:
    """Whether the latest version failed or was cancelled."""
    return _state(kaggle.call("kernels.get_kernel_session_status", **_names(kernel))) in BROKEN


def _bring_dataset(kaggle: Kaggle, folder: Path) -> str:
    """A data set with this content, ready at Kaggle; returns the content's hash, which its description holds."""
    about, mark = read_json(folder / DATASET), _content_hash(folder)
    owner, slug = about["id"].split("/")
    names: dict[str, Any] = {"owner_slug": owner, "dataset_slug": slug}

    def find() -> Any:
        return kaggle.find("datasets.get_dataset", **names)

    def is_there() -> bool:
        return mark in getattr(find(), "description", "")

    known = find()
    if mark not in getattr(known, "description", ""):
        kaggle.say(f"data set {slug}: {size_text(size_of(folder))} to upload")
        content = {"description": f"Made by kgl notebook push. Content: {mark}"}
        new = {"owner_slug": owner, "slug": slug, "title": about["title"], "is_private": True, **content}
        new |= {"license_name": about["licenses"][0]["name"]}

        def make() -> Any:
            files = kaggle.ask(lambda api: _upload(api, folder))
            if known is None:
                return kaggle.call("datasets.create_dataset", attempts=1, files=files, **new)
            body = _version_body(files=files, version_notes=mark, **content)
            return kaggle.call("datasets.create_dataset_version", attempts=1, body=body, **names)

        answer, there = kaggle.once(make, is_there)
        if not there and answer.error:
            raise refused(answer.error, kaggle.slug)

    def is_ready() -> bool:
        status = kaggle.call("datasets.get_dataset_status", **names).status.name
        if status in ("FAILED", "DELETED"):
            raise KglError(
                f"Kaggle could not unpack the data set {slug} ({status.lower()}); delete it there, push again."
            )
        return bool(status == "READY")

    if not _wait(kaggle, is_ready, LONGEST_UNPACKING):
        raise KglError(f"the data set {slug} is there but not ready yet; nothing is lost: push again in some minutes.")
    kaggle.say(f"data set {slug}: ready")
    return mark


def _upload(api: Any, folder: Path) -> list[Any]:
    """Bring up the files of a data set, folders as zips, which Kaggle unpacks; the client leaves out what broke."""
    from kaggle.api.kaggle_api_extended import ResumableUploadContext
    from kagglesdk.blobs.types.blob_api_service import ApiBlobType

    request = _version_body(files=[])
    with ResumableUploadContext() as context:
        api.upload_files(request, None, str(folder), ApiBlobType.DATASET, context, True, "zip")
    if len(request.files) < sum(path.name != DATASET for path in folder.iterdir()):
        raise ConnectionError("an upload broke")
    return list(request.files)


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


def _bring_notebook(kaggle: Kaggle, build: Build, sha256: str, hours: float | None) -> int:
    """The number of a version with this content that runs, waits or ran well; one that failed is pushed again."""
    kernel = read_json(build.kernel / KERNEL)["id"]
    known = find_notebook(kaggle, kernel)
    before = known.metadata.current_version_number if known else 0
    if known and sha256 in known.blob.source and not is_broken(kaggle, kernel):
        kaggle.say(f"notebook {kernel}: version {before} has this content")
        return int(before)

    def number() -> int:
        found = find_notebook(kaggle, kernel)
        there = found and found.metadata.current_version_number > before and sha256 in found.blob.source
        return int(found.metadata.current_version_number) if there else 0

    with tempfile.TemporaryDirectory(prefix="kgl-push-") as name:
        staged = Path(name, "notebook")
        shutil.copytree(build.kernel, staged)
        _add_mark(staged / NOTEBOOK, sha256)
        limit = str(round(hours * 3600)) if hours else None
        answer, found = kaggle.once(
            lambda: kaggle.ask(lambda api: api.kernels_push(name + "/notebook", limit), attempts=1), number
        )
    if answer is not None:
        _refuse(kaggle, answer)
    return found or int(answer.version_number)


def _add_mark(notebook: Path, sha256: str) -> None:
    """A last cell that says what all is made of: by it a version is known again."""
    content = read_json(notebook)
    content["cells"].append({"cell_type": "markdown", "id": "content", "metadata": {}, "source": f"Content: {sha256}"})
    write_json(notebook, content)


def _refuse(kaggle: Kaggle, answer: Any) -> None:
    if answer.error:
        raise refused(answer.error, kaggle.slug)
    for what in ("dataset", "competition", "kernel"):
        if names := getattr(answer, f"invalid_{what}_sources"):
            raise KglError(
                f"Kaggle did not attach {', '.join(names)} to the notebook: it is not there, not yours, or its rules "
                "are not accepted. Look at it on Kaggle and push again.",
                REFUSED,
            )


def _names(kernel: str) -> dict[str, Any]:
    owner, slug = kernel.split("/")
    return {"user_name": owner, "kernel_slug": slug}


def _state(answer: Any) -> str:
    return str(answer.status.name).lower().replace("_", " ")


def _wait(kaggle: Kaggle, is_over: Callable[[], bool], longest: float) -> bool:
    waited, pause = 0.0, FIRST_PAUSE
    while not is_over():
        if waited >= longest:
            return False
        kaggle.sleep(pause)
        waited, pause = waited + pause, min(pause * 1.5, LONGEST_PAUSE)
    return True


def _log(kaggle: Kaggle, kernel: str, folder: Path) -> str:
    """The log of the latest version, as text, also kept as kaggle.log."""
    log = kaggle.call("kernels.list_kernel_session_output", page_size=1, **_names(kernel)).log or ""
    with contextlib.suppress(ValueError, TypeError, KeyError):  # it may be plain text
        log = "".join(event["data"] for event in json.loads(log))
    log = re.sub(r"\x1b\[[0-9;]*m", "", log)
    write_text(folder / "kaggle.log", log)
    return log


def _failure(log: str, otherwise: str) -> str:
    """Which cell failed and how, by the log of a notebook; `otherwise` where it does not tell."""
    cells = re.findall(r"In ?\[(\d+)\]", log)
    errors = re.findall(r"^((?:\w+\.)*\w+(?:Error|Exception|Exit|Interrupt): .*)$", log, re.M)
    said = errors[-1].rstrip(". ") if errors else otherwise.rstrip(". ")
    if lacking := re.search(r"No module named '(\w+)", said):
        said += f"; Kaggle's image lacks it: kgl notebook build --package {lacking[1]}, and push again"
    return f"the notebook failed on Kaggle{f', cell {cells[-1]}' if cells else ''}: {said}"


def _where(folder: Path) -> str:
    return f"Its log: {folder / 'kaggle.log'}"


def _check(workspace: Workspace, build: Build) -> None:
    from kgl.submission import check_file  # pandas takes its time
    from kgl.target import Target

    use_workspace(workspace)
    competition = load_competition(workspace)
    target = Target(competition.task, competition.target, tuple(read_run(workspace, build.run).label_order))
    check_file(build.folder / "output" / FILE, competition, target)
