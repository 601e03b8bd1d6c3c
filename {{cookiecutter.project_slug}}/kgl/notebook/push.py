"""kgl notebook push and submit: a build goes to Kaggle, what its notebook wrote comes back, that version is sent."""

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path

from kgl.competition import load_competition
from kgl.errors import FAILED, KglError
from kgl.notebook.kernel import Build, find_build
from kgl.notebook.upload import BROKEN, Pushed, names_of, state_of, upload, wait_until
from kgl.online.client import Kaggle
from kgl.online.extract import safe_name
from kgl.online.fetch import discard, fetch
from kgl.online.journal import Event
from kgl.online.progress import progress
from kgl.online.submit import Candidate, Confirm, Make, send
from kgl.paths import Workspace, use_workspace, write_text
from kgl.runs import read_run

LONGEST_RUN = 13 * 3600.0  # seconds
FILE, OUTPUT = "submission.csv", "kernels.list_kernel_session_output"
Say = Callable[[str], None]


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
    build = find_build(workspace, run)
    kaggle = Kaggle(load_competition(workspace).slug, say=say)
    pushed = upload(kaggle, build)
    if not follow(kaggle, pushed.kernel, build.folder):
        return None
    if FILE not in fetch_output(kaggle, pushed.kernel, build.folder / "output"):
        raise KglError(f"the notebook ran on Kaggle but wrote no {FILE}; its log: {build.folder / 'kaggle.log'}")
    _check(workspace, build)
    say(f"version {pushed.number} of {pushed.kernel} ran well; checked: build/{build.run}/output/{FILE}")
    return pushed


def submit(workspace: Workspace, run: str | None, *, note: str = "", confirm: Confirm, say: Say) -> Event | None:
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


def follow(kaggle: Kaggle, kernel: str, folder: Path) -> bool:
    """Wait until the notebook has run, and keep its log as kaggle.log; False where it still runs when the wait ends.

    Raises:
        KglError: it failed; which cell, and the error (status 1).
    """
    last = ""

    def is_over() -> bool:
        nonlocal last
        try:
            state, said = state_of(kaggle, kernel)
        except KglError as error:
            if error.status != FAILED:
                raise
            return False  # the network may come back before the wait ends
        if state != last:
            kaggle.say(f"notebook {kernel}: {state}")
        last = state
        if state in BROKEN:
            failure = _failure(_log(kaggle, kernel, folder), said or state)
            raise KglError(f"the notebook failed on Kaggle{failure}. Its log: {folder / 'kaggle.log'}")
        return state == "complete"

    if not wait_until(kaggle, is_over, LONGEST_RUN):
        kaggle.say(f"it still runs ({last}); the same command follows it again: https://www.kaggle.com/code/{kernel}")
        return False
    _log(kaggle, kernel, folder)
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
        fetch(start, target, report=report, sleep=kaggle.sleep).replace(target)
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


def _check(workspace: Workspace, build: Build) -> None:
    from kgl.submission import check_file  # pandas takes its time
    from kgl.target import Target

    use_workspace(workspace)
    competition = load_competition(workspace)
    target = Target(competition.task, competition.target, tuple(read_run(workspace, build.run).label_order))
    check_file(build.folder / "output" / FILE, competition, target)
