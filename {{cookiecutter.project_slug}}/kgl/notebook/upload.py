"""Data sets and a notebook to Kaggle: what is there with the same content stays, so that nothing is ever doubled."""

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kgl.errors import REFUSED, KglError
from kgl.notebook.kernel import DATASET, KERNEL, NOTEBOOK, Build, set_owner, size_of
from kgl.online.client import Kaggle
from kgl.online.fetch import digest
from kgl.online.progress import size_text
from kgl.online.refusals import refused
from kgl.paths import read_json, write_json

FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0  # seconds between two looks, growing by half
LONGEST_UNPACKING = 1800.0  # seconds
BROKEN = ("error", "cancel requested", "cancel acknowledged")


@dataclass(frozen=True)
class Pushed:
    """A version of a notebook at Kaggle. kernel: `owner/slug`. sha256: of all that it is made of."""

    kernel: str
    number: int
    sha256: str


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


def wait_until(kaggle: Kaggle, is_over: Callable[[], bool], longest: float) -> bool:
    """Look from time to time; False where `longest` seconds have passed in vain."""
    waited, pause = 0.0, FIRST_PAUSE
    while not is_over():
        if waited >= longest:
            return False
        kaggle.sleep(pause)
        waited, pause = waited + pause, min(pause * 1.5, LONGEST_PAUSE)
    return True


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
    def is_ready() -> bool:
        found = kaggle.find("datasets.get_dataset_status", **names)  # a new one may not be seen at once
        if found and found.status.name in ("FAILED", "DELETED"):
            raise KglError(f"Kaggle could not unpack the data set {slug}; delete it there and push again.")
        return bool(found and found.status.name == "READY")

    if not wait_until(kaggle, is_ready, LONGEST_UNPACKING):
        raise KglError(f"the data set {slug} is there but not ready yet; nothing is lost: push again in some minutes.")
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
