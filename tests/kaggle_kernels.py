"""The tests' Kaggle with data sets and notebooks: it runs what is pushed, each version with its own inputs mounted.

A version runs with the contest's files as everybody may download them; when it is submitted, it runs again with the
hidden test set, and that submission.csv is scored. What a test may change stands at the top of `NotebookKaggle`.
"""

import csv
import io
import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kgl.rehearsal.contest import PracticeContest
from kgl.rehearsal.server import STORAGE, Json, Submission, utc_now
from tests.kaggle_faults import FaultyKaggle
from tests.kaggle_strict import Refused

# Runs the cells of a notebook in a process of its own: no network where it is off, and an image without some packages.
RUNNER = """
import json, sys
notebook, internet, lacks = sys.argv[1], sys.argv[2] == "True", sys.argv[3].split(",")

class Image:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in lacks:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

def fence(event, arguments):
    if event == "socket.getaddrinfo" or (event == "socket.connect" and isinstance(arguments[1], tuple)):
        raise OSError("the network is off")

sys.meta_path.insert(0, Image)
if not internet:
    sys.addaudithook(fence)
scope = {"__name__": "__main__"}
code = [cell for cell in json.load(open(notebook, encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
for number, cell in enumerate(code, start=1):
    try:
        exec(compile(cell["source"], f"<ipython-input-{number}>", "exec"), scope)
    except BaseException as error:
        print(f"{type(error).__name__}\\x1b[0m  Traceback (most recent call last)\\nCell \\x1b[32mIn[{number}]\\x1b[0m, line 1",
              file=sys.stderr)
        print(f"\\x1b[31m{type(error).__name__}\\x1b[0m: {error}", file=sys.stderr)
        sys.exit(1)
"""  # noqa: E501


@dataclass
class Dataset:
    title: str
    description: str
    folders: list[Path] = field(default_factory=list)  # one a version
    polls: int = 0


@dataclass
class Version:
    """A version of a notebook: what was pushed, how it stands, and the folder that it wrote into."""

    request: Json
    folder: Path
    status: str = "RUNNING"
    message: str = ""
    log: list[Json] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(event["data"] for event in self.log)


def split_test(contest: PracticeContest, rows: int) -> dict[str, bytes]:
    """Leave `rows` rows of the test set for everybody; the others are hidden: returns the files with those instead."""
    public = set(list(contest.solution)[:rows])

    def part(keep: Callable[[str], bool]) -> dict[str, bytes]:
        files: dict[str, bytes] = {}
        for name, content in contest.files.items():
            if name.startswith("test/") and not keep(name.removeprefix("test/")):
                continue
            if name.endswith(".csv") and name != "train.csv":
                lines = list(csv.reader(io.StringIO(content.decode())))
                text = io.StringIO()
                csv.writer(text, lineterminator="\n").writerows([lines[0], *(row for row in lines[1:] if keep(row[0]))])
                content = text.getvalue().encode()
            files[name] = content
        return files

    hidden = part(lambda key: key not in public)
    contest.files = part(lambda key: key in public)
    contest.solution = {key: answer for key, answer in contest.solution.items() if key not in public}
    return hidden


class NotebookKaggle(FaultyKaggle):
    """The tests' Kaggle with a code competition."""

    def __init__(self, contest: PracticeContest, folder: Path, *, rows: int = 100) -> None:
        super().__init__(contest)
        self.facts["isKernelsSubmissionsOnly"] = True
        self.push_error = ""  # what SaveKernel answers
        self.unpacking_polls, self.unpacked = 1, "READY"  # a data set is ready after that many looks, or in vain
        self.detached: set[str] = set()  # sources that are not attached
        self.lacks: list[str] = []  # packages that the image has not
        self.gpu_hours, self.killed = 30.0, ""  # killed: why the machine ends each run
        self.older_mounts = False  # /kaggle/input/<slug> for all
        self.datasets: dict[str, Dataset] = {}
        self.kernels: dict[str, list[Version]] = {}
        self.folder = folder
        self.files = {True: split_test(contest, rows), False: contest.files}  # by: hidden?
        self.sessions: list[threading.Thread] = []

    def stop(self, *exception: object) -> None:
        for thread in self.sessions:
            thread.join(60)
        super().stop()

    __exit__ = stop

    # Data sets

    def api_start_blob_upload(self, request: Json) -> Json:
        return self.api_start_submission_upload({**request, "fileName": request["name"]})

    def api_create_dataset(self, request: Json) -> Json:
        ref = f"{request['ownerSlug']}/{request['slug']}"
        if ref in self.datasets or any(one.title == request["title"] for one in self.datasets.values()):
            said = (
                f'The requested title "{request["title"]}" is already in use by a dataset. Please choose another title.'
            )
            return {"status": "error", "error": said}
        if not request.get("isPrivate"):
            raise Refused(400, "A public data set")
        self.datasets[ref] = Dataset(request["title"], "")
        return self.add_version(ref, request)

    def api_create_dataset_version(self, request: Json) -> Json:
        return self.add_version(f"{request['ownerSlug']}/{request['datasetSlug']}", request["body"])

    def add_version(self, ref: str, body: Json) -> Json:
        dataset = self.datasets[ref]
        folder = self.folder / "datasets" / ref / str(len(dataset.folders) + 1)
        for file in body["files"]:
            about, content = self.uploads[file["token"]]
            unpack(folder, about["fileName"], bytes(content))
        dataset.description, dataset.polls = body.get("description", ""), 0
        dataset.folders.append(folder)
        return {"ref": ref, "url": f"https://www.kaggle.com/datasets/{ref}", "status": "ok", "error": ""}

    def dataset(self, request: Json) -> Dataset:
        try:
            return self.datasets[f"{request['ownerSlug']}/{request['datasetSlug']}"]
        except KeyError:
            raise Refused(403, "Permission 'datasets.get' was denied", "PERMISSION_DENIED") from None

    def api_get_dataset(self, request: Json) -> Json:
        found = self.dataset(request)
        return {"title": found.title, "description": found.description, "currentVersionNumber": len(found.folders)}

    def api_get_dataset_status(self, request: Json) -> Json:
        found = self.dataset(request)
        found.polls += 1
        return {"status": self.unpacked if found.polls > self.unpacking_polls else "BLOBS_RECEIVED"}

    # Notebooks

    def api_save_kernel(self, request: Json) -> Json:
        ref, title = request["slug"], request["newTitle"]
        taken = [other for other, pushed in self.kernels.items() if pushed[-1].request["newTitle"] == title]
        if taken and ref not in taken:
            return {"error": f'The requested title "{title}" is already in use by a notebook. Choose another title.'}
        if request.get("enableGpu") and not self.gpu_hours:
            return {"error": "Maximum weekly GPU quota of 30.00 hours reached."}
        if self.push_error:
            return {"error": self.push_error}
        assert request["isPrivate"] and title.replace(" ", "-") == ref.split("/")[1]
        known = {"dataset": {*self.datasets}, "competition": {self.contest.slug}, "kernel": {*self.kernels}}
        answer: Json = {}
        for kind, names in known.items():
            asked = request.get(f"{kind}DataSources", [])
            lost = [name for name in asked if name not in names or name in self.detached]
            request[f"{kind}DataSources"] = [name for name in asked if name not in lost]
            answer |= {f"invalid{kind.title()}Sources": lost} if lost else {}
        versions = self.kernels.setdefault(ref, [])
        version = Version(request, self.folder / "runs" / ref / str(len(versions) + 1))
        versions.append(version)
        self.start_session(lambda: self.run(version))
        return answer | {
            "ref": f"/code/{ref}",
            "url": f"https://www.kaggle.com/code/{ref}",
            "versionNumber": len(versions),
        }

    def start_session(self, target: Callable[[], object]) -> None:
        self.sessions.append(threading.Thread(target=target, daemon=True))
        self.sessions[-1].start()

    def run(self, version: Version) -> None:
        """Run a version with the files that everybody has."""
        status, log = self.execute(version.request, version.folder, hidden=False)
        with self.lock:
            version.log = [
                {"stream_name": "stdout", "time": 0.1, "data": line} for line in log.splitlines(keepends=True)
            ]
            version.message = self.killed
            version.status = "ERROR" if status or self.killed else "COMPLETE"

    def execute(self, request: Json, folder: Path, *, hidden: bool) -> tuple[int, str]:
        """Mount what a notebook asks for and run its cells in folder/working: exit status and log."""
        for name in ("input", "working", "home"):
            (folder / name).mkdir(parents=True)
        notebook = folder / "notebook.ipynb"
        notebook.write_text(request["text"], encoding="utf-8")
        for place, source in self.mounts(request, hidden):
            target = folder / "input" / (place.rsplit("/", 1)[-1] if self.older_mounts else place)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source, target_is_directory=True)
        env = {name: text for name, text in os.environ.items() if not name.startswith(("KAGGLE_", "PYTHONPATH"))}
        env |= {"KGL_INPUT": str(folder / "input"), "HOME": str(folder / "home"), "PYTHONUTF8": "1"}
        env |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder / "home"))  # what it unpacks goes with the test
        internet, lacks = str(request.get("enableInternet", False)), ",".join(self.lacks)
        command = [sys.executable, "-P", "-c", RUNNER, str(notebook), internet, lacks]
        limit = max(60, request.get("sessionTimeoutSeconds", 0))  # a test may ask for a moment: to stop in time, too
        output: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        try:
            done = subprocess.run(command, cwd=folder / "working", env=env, timeout=limit, text=True, **output)
        except subprocess.TimeoutExpired:
            return 1, "TimeoutError: the session ended"
        return done.returncode, done.stdout

    def mounts(self, request: Json, hidden: bool) -> list[tuple[str, Path]]:
        """Where each source is mounted, and the folder that holds it."""
        contest = self.folder / ("hidden" if hidden else "public")
        with self.lock:
            for name, content in ({} if contest.exists() else self.files[hidden]).items():
                (contest / name).parent.mkdir(parents=True, exist_ok=True)
                (contest / name).write_bytes(content)
            data = [(f"datasets/{ref}", self.datasets[ref].folders[-1]) for ref in request["datasetDataSources"]]
            earlier = [
                (f"notebooks/{ref}", self.kernels[ref][-1].folder / "working") for ref in request["kernelDataSources"]
            ]
        return [*data, *earlier, *((f"competitions/{slug}", contest) for slug in request["competitionDataSources"])]

    def versions(self, request: Json) -> list[Version]:
        try:
            return self.kernels[f"{request['userName']}/{request['kernelSlug']}"]
        except KeyError:
            raise Refused(403, "Permission 'kernels.get' was denied", "PERMISSION_DENIED") from None

    def api_get_kernel(self, request: Json) -> Json:
        found = self.versions(request)
        return {"metadata": {"currentVersionNumber": len(found)}, "blob": {"source": found[-1].request["text"]}}

    def api_get_kernel_session_status(self, request: Json) -> Json:
        version = self.versions(request)[-1]
        return {"status": version.status, "failureMessage": version.message}

    def api_list_kernel_session_output(self, request: Json) -> Json:
        version = self.versions(request)[-1]
        working, at = version.folder / "working", version.folder.relative_to(self.folder / "runs").as_posix()
        names = sorted(path.relative_to(working).as_posix() for path in working.rglob("*") if path.is_file())
        start, size = int(request.get("pageToken") or 0), min(int(request.get("pageSize") or 20), 100)
        shown = [
            {"fileName": name, "url": f"{STORAGE}/output/{at}/working/{name}"} for name in names[start : start + size]
        ]
        more = {"nextPageToken": str(start + size)} if start + size < len(names) else {}
        return {"files": shown if version.status == "COMPLETE" else [], "log": json.dumps(version.log), **more}

    def stored(self, route: str) -> bytes:
        kept = route.startswith("/output/")
        return (self.folder / "runs" / route.removeprefix("/output/")).read_bytes() if kept else super().stored(route)

    # Submissions

    def api_create_code_submission(self, request: Json) -> Json:
        owner, slug, number = request["kernelOwner"], request["kernelSlug"], request["kernelVersion"]
        version = self.versions({"userName": owner, "kernelSlug": slug})[number - 1]
        if version.status != "COMPLETE":
            raise Refused(400, "Submission not allowed: the notebook version has not run well.")
        if not self.api_get_submission_limits({})["numAllowedNow"]:
            raise Refused(400, "Submission not allowed: Your team has used its daily Submission allowance today.")
        ref, said = 50_000_001 + len(self.submissions), request.get("submissionDescription", "")
        one = Submission(ref, request["fileName"], said, b"", utc_now(), polls=-(10**9))  # pending until it has run
        self.submissions.append(one)
        self.start_session(lambda: self.rerun(one, version))
        return {"message": f"Successfully submitted to {self.contest.title}", "ref": ref}

    def rerun(self, one: Submission, version: Version) -> None:
        """Run a version with the hidden test set and score what it writes."""
        folder = version.folder.with_name(f"{version.folder.name}-hidden-{one.ref}")
        status, _ = self.execute(version.request, folder, hidden=True)
        file = folder / "working" / one.file_name
        with self.lock:
            one.content = file.read_bytes() if file.is_file() else b""
            one.status, one.error = "ERROR", "Notebook Threw Exception" if status else "Submission File Not Found"
            if one.content and not status:
                one.error = None
                self.score(one)

    def wait(self, endpoint: str, count: int, patience: float = 60) -> None:
        """Until an endpoint was asked so often."""
        end = time.monotonic() + patience
        while self.count(endpoint) < count:
            assert time.monotonic() < end, f"nobody asks {endpoint}"
            time.sleep(0.01)


def unpack(folder: Path, name: str, content: bytes) -> None:
    """A file of a data set; a zip becomes a folder of its name."""
    folder.mkdir(parents=True, exist_ok=True)
    if name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(folder / name.removesuffix(".zip"))
    else:
        (folder / name).write_bytes(content)
