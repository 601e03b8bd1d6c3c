"""Runs: a folder each in runs/, with run.json, predictions joined by id, and the source that made them."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from kgl.config import build, nearest
from kgl.errors import KglError, reason, usage
from kgl.identity import metric_hash
from kgl.paths import Workspace, read_json, replacing, write_json, write_text

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

LIBRARIES = ("numpy", "pandas", "scikit-learn", "lightgbm", "xgboost", "catboost", "torch", "torchvision", "timm")


@dataclass
class Run:
    """What run.json holds. Scores are None until they are known; `fold_scores` has None for a fold not trained.

    lacks: how many rows of its folds it was not scored on, because train had lost them.
    """

    run: str
    experiment: str
    parent: str = ""
    note: str = ""
    kind: str = ""
    status: str = "running"
    config: dict[str, Any] = field(default_factory=dict)
    label_order: list[str] = field(default_factory=list)
    metric: str = ""
    cv_score: float | None = None
    cv_std: float | None = None
    oof_score: float | None = None
    fold_scores: list[float | None] = field(default_factory=list)
    lacks: int = 0
    seeds: list[int] = field(default_factory=list)
    identity: dict[str, str] = field(default_factory=dict)
    git: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    peak_memory_mb: float | None = None
    command: str = ""
    started: str = ""
    ended: str = ""
    blend: dict[str, Any] | None = None

    @property
    def is_complete(self) -> bool:
        """Whether every fold and seed is there, so that it may be ranked, blended and submitted."""
        return self.status == "complete"

    @property
    def scored_by(self) -> tuple[str, str]:
        """The metric, and of one's own the hash of its code: scores of another do not compare."""
        return self.metric, self.identity.get("metric", "")

    @property
    def standard_error(self) -> float | None:
        """Of cv_score, over folds."""
        known = sum(score is not None for score in self.fold_scores)
        return None if self.cv_std is None else float(self.cv_std / known**0.5)

    @property
    def is_rosy(self) -> bool:
        """Whether a fold's own labels chose something for the model that predicts it, such as the best epoch."""
        return self.config.get("choose") == "fold"


def run_folder(workspace: Workspace, name: str) -> Path:
    """Where a run's files lie."""
    return workspace.runs / name


def list_runs(workspace: Workspace) -> list[Run]:
    """Every run, oldest first, from run.json alone."""
    runs = [read_run_file(path) for path in workspace.runs.glob("*/run.json")]
    return sorted(runs, key=lambda run: (run.started, run.run))


def read_run(workspace: Workspace, name: str) -> Run:
    """One run.

    Raises:
        KglError: there is no such run (status 2), with the nearest name.
    """
    path = run_folder(workspace, name) / "run.json"
    if not path.is_file():
        runs = list_runs(workspace)
        names = [run.run for run in runs if run.is_complete] or [run.run for run in runs]
        raise usage(f"no run '{name}' in runs/.{nearest(name, names)}" + ("" if names else " Train one: kgl baseline."))
    return read_run_file(path)


def read_complete(workspace: Workspace, name: str) -> Run:
    """One run with all its folds.

    Raises:
        KglError: as `read_run`, or folds are missing (status 1).
    """
    run = read_run(workspace, name)
    if not run.is_complete:
        raise KglError(f"{name} is {run.status}; only complete runs predict. Run: kgl train {run.experiment}")
    return run


def read_run_file(path: Path) -> Run:
    """The run in a run.json, by the name of its folder; keys that this engine does not know are passed over."""
    known, values = {f.name for f in fields(Run)}, read_json(path)
    with made_again(path, "restore it from git or delete its folder"):
        values = {key: value for key, value in values.items() if key in known} | {"run": path.parent.name}
        return build(Run, values, "run")


def is_finished(workspace: Workspace, run: Run) -> bool:
    """Whether a run is complete and its predictions are on this machine (git keeps run.json alone)."""
    folder = run_folder(workspace, run.run)
    return run.is_complete and all((folder / f"{part}.parquet").is_file() for part in ("oof", "test"))


def saved_models(workspace: Workspace, run: Run) -> list[list[Path]]:
    """The folders of its models, a list a fold and a folder a seed.

    Raises:
        KglError: they are not all on this machine.
    """
    numbers = [path.name for path in run_folder(workspace, run.run).glob("folds/*") if path.name.isdigit()]
    folds = [run_folder(workspace, run.run) / "folds" / number for number in sorted(numbers, key=int)]
    models = [[fold / f"seed-{seed}" for seed in run.seeds] for fold in folds]
    if len(folds) < len(run.fold_scores) or not all(model.is_dir() for seeds in models for model in seeds):
        advice = f"kgl train {run.experiment} --again makes them"
        raise KglError(f"{run.run}: its models are not all on this machine; {advice}.")
    return models


def begin_run(workspace: Workspace, run: Run) -> None:
    """Write what run.json has from the start: where, with what and by which command it is made."""
    run.status, run.git, run.versions = "running", git_state(workspace.root), library_versions()
    run.command = " ".join(["kgl", *sys.argv[1:]])
    save_run(workspace, run)


def end_run(workspace: Workspace, run: Run, status: str) -> None:
    """Write how and when it came to its end."""
    import pandas as pd

    run.status, run.ended = status, now()
    if (oof := run_folder(workspace, run.run) / "oof.parquet").is_file():
        scored, rows = (pd.read_parquet(path, columns=["fold"])["fold"] for path in (oof, workspace.folds))
        run.lacks = int(rows.isin(scored.unique()).sum()) - len(scored)
    save_run(workspace, run)


def save_run(workspace: Workspace, run: Run) -> None:
    """Write run.json."""
    write_json(run_folder(workspace, run.run) / "run.json", {k: v for k, v in asdict(run).items() if v or k != "lacks"})


@contextmanager
def open_run(workspace: Workspace, wanted: Run, *, again: bool = False) -> Iterator[Run]:
    """The run that has the identity of `wanted`, or a new one with the next number, held by this process alone.

    Its status is failed when the block ends with an error.

    Args:
        workspace: where runs/ lies.
        wanted: a run whose name is still open; identity and config say what it is, and so does a metric of one's own.
        again: start anew where the last run of this identity came to its end; one that was stopped goes on.

    Raises:
        KglError: another process is training it; the sentence says which.
    """
    workspace.runs.mkdir(exist_ok=True)
    if formula := metric_hash(workspace, wanted.metric):
        wanted.identity.setdefault("metric", formula)
    with filelock.FileLock(workspace.runs / ".lock"):
        key = wanted.experiment, wanted.identity
        run = next((r for r in reversed(list_runs(workspace)) if (r.experiment, r.identity) == key), None)
        if run is None or (again and run.status in ("complete", "partial")):
            run = wanted
            run.run = _next_name(workspace, wanted.experiment)
            run.started = now()
            save_run(workspace, run)
    with holding(run_folder(workspace, run.run), run.run):
        run = read_run(workspace, run.run)  # another process may have finished it while this one waited
        try:
            yield run
        except Exception:
            with suppress(OSError):  # a full disk is told by the first error, not by this one
                end_run(workspace, run, "failed")
            raise


def _next_name(workspace: Workspace, experiment: str) -> str:
    taken = [p.name for p in workspace.runs.glob(f"{experiment}-*")]
    numbers = [int(tail) for name in taken if (tail := name.removeprefix(f"{experiment}-")).isdigit()]
    return f"{experiment}-{max(numbers, default=0) + 1:03d}"


@contextmanager
def holding(folder: Path, name: str) -> Iterator[None]:
    """Keep other processes away from a run's folder; the lock ends with the process, however it ends.

    Raises:
        KglError: another process holds it.
    """
    lock, owner = filelock.FileLock(folder / ".lock", timeout=0), folder / ".owner"
    try:
        lock.acquire()
    except filelock.Timeout:
        who = owner.read_text(encoding="utf-8").strip() if owner.is_file() else "another process"
        raise KglError(f"{name} is held by {who}; wait for it, or stop it, and run this again.") from None
    try:
        write_text(owner, f"process {os.getpid()} on {socket.gethostname()} since {now()}\n")
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def is_held(workspace: Workspace, run: Run) -> bool:
    """Whether a process is at it: a run that says so may have been stopped."""
    lock = filelock.FileLock(run_folder(workspace, run.run) / ".lock", timeout=0)
    with suppress(filelock.Timeout), lock:
        return False
    return True


def write_predictions(
    path: Path, ids: "pd.Series", values: "NDArray[Any]", columns: tuple[str, ...], **extra: Any
) -> None:
    """Write id, further columns such as fold, and one column of float64 for each of `columns`, whole or not at all."""
    import pandas as pd

    frame = pd.DataFrame(values, columns=list(columns))
    for place, (name, column) in enumerate({"id": ids.to_numpy(), **extra}.items()):
        frame.insert(place, name, column)
    frame["id"] = frame["id"].astype("str")
    with replacing(path) as temporary:
        frame.to_parquet(temporary, index=False)


def read_predictions(workspace: Workspace, run: str, part: str) -> "pd.DataFrame":
    """oof or test predictions of a run, indexed by id.

    Raises:
        KglError: the file is not there (predictions are not kept in git).
    """
    import pandas as pd

    path = run_folder(workspace, run) / f"{part}.parquet"
    if not path.is_file():
        raise KglError(f"runs/{run}/{part}.parquet is missing (git does not keep it); run the command of its run.json.")
    with made_again(path):
        return pd.read_parquet(path).set_index("id")


@contextmanager
def made_again(path: Path, advice: str = "delete it and run the command of its run.json again") -> Iterator[None]:
    """For reading a file or folder of a run, which a disk that filled up or lost power may have left torn.

    Raises:
        KglError: it cannot be read; the sentence says how it comes back.
    """
    try:
        yield
    except Exception as error:  # each library has errors of its own
        raise KglError(f"{path} cannot be read ({reason(error)}); {advice}.") from error


def git_state(root: Path) -> dict[str, Any]:
    """The commit that the workspace stands on and whether files differ from it; empty outside git."""
    try:
        options: dict[str, Any] = {"cwd": root, "capture_output": True, "text": True, "check": True, "timeout": 10}
        commit = subprocess.run(["git", "rev-parse", "HEAD"], **options).stdout.strip()
        dirty = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no"], **options).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"commit": commit, "dirty": bool(dirty)}


def library_versions() -> dict[str, str]:
    """The versions of Python and of the libraries that models are saved with."""
    found = {"python": sys.version.split()[0]}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def peak_memory_mb() -> float | None:
    """The most memory that this process has held, in MB; None where the system does not tell (Windows)."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)


def now() -> str:
    """The time in UTC, as run.json and submissions.jsonl write it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
