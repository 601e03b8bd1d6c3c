"""Runs a built notebook here as Kaggle will: no network, inputs that cannot be changed, and another test set."""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from kgl.competition import data_root, load_competition
from kgl.errors import KglError
from kgl.notebook import runner
from kgl.notebook.hidden import Hidden, write_hidden
from kgl.notebook.inside import link
from kgl.notebook.kernel import KERNEL, Build, read_cells, read_slug, size_of
from kgl.notebook.wheels import foreign_modules, modules_of
from kgl.online.progress import size_text
from kgl.paths import Workspace, read_json, use_workspace, write_json
from kgl.runs import read_predictions, read_run
from kgl.session import Say
from kgl.submission import find_fault, find_form
from kgl.table_file import read_table
from kgl.target import Target

SAME = 1e-6  # how far predictions of the same row may differ; a graphics card sums in another order each time
SAME_ON_GPU = 1e-2


def check(workspace: Workspace, build: Build, *, hours: float, memory_gb: float, rows: int | None, say: Say) -> str:
    """Run a notebook twice, with fewer and with more test rows than there are, and judge what it writes.

    Args:
        workspace, build: what is checked.
        hours, memory_gb: what Kaggle allows.
        rows: how many the test set is expected to have there.
        say: takes a line at a time.

    Returns:
        What was found, in a line.

    Raises:
        KglError: what broke, in which cell (status 1).
    """
    use_workspace(workspace)
    known = read_predictions(workspace, build.run, "test")
    runs: list[tuple[int, float]] = []
    for more in (False, True):
        with tempfile.TemporaryDirectory(prefix="kgl-check-", ignore_cleanup_errors=True) as name:
            stage = Stage(workspace, build, Path(name).resolve(), hours, memory_gb)
            hidden = stage.mount(known, say, more=more)
            before = stage.inputs()
            report = stage.run()
            if changed := sorted(set(before.items()) ^ set(stage.inputs().items())):
                raise KglError(f"the notebook wrote {changed[0][0]}, outside its working folder.")
            _check_file(stage, hidden, known)
        runs.append((hidden.rows, report["seconds"]))
        heard = "".join(f"; {what}, and went on without" for what in dict.fromkeys(report["tried"]))
        say(f"{hidden.rows:,} test rows: {report['seconds']:.1f} s, network cut off by {report['fence']}{heard}")
    rows = rows or len(known)
    seconds = forecast(runs, rows)
    told = f"{seconds:.0f} s for {rows:,} rows (limit {hours:g} h)"
    if seconds > hours * 3600:
        raise KglError(f"too slow: {told}; blend fewer models, or build with --gpu.")
    weights = size_text(size_of(build.folder / "weights"))
    return f"4 checks passed; {told}; no network touched; {weights} of weights"


def forecast(runs: list[tuple[int, float]], rows: int) -> float:
    """Seconds for that many rows, by two numbers of rows and their seconds: what is not the rows' does not grow."""
    (few, short), (many, long) = runs
    each = max(0.0, (long - short) / (many - few)) if many != few else 0.0
    return max(long, long + each * (rows - many))


@dataclass(frozen=True)
class Stage:
    """A folder with Kaggle's in it: input/, working/ and tmp/."""

    workspace: Workspace
    build: Build
    root: Path
    hours: float
    memory_gb: float

    def mount(self, known: pd.DataFrame, say: Say, *, more: bool) -> Hidden:
        """Data sets and contest: in the older places with fewer rows, in the newer ones with more."""
        competition, folder = load_competition(self.workspace), self.root / "input"
        places = ("datasets/somebody", "competitions") if more else ("", "")
        for name in ("working", "tmp"):
            (self.root / name).mkdir()
        for data in self.build.datasets:
            link(data, folder / places[0] / read_slug(data))
        try:
            return write_hidden(self.workspace, competition, folder / places[1] / competition.slug, more=more)
        except KglError as error:
            say(f"the test rows are left as they are: {error.message}")
            shutil.rmtree(folder / places[1] / competition.slug, ignore_errors=True)
            link(data_root(self.workspace, competition), folder / places[1] / competition.slug)
            return Hidden(len(known), {id: id for id in known.index})

    def inputs(self) -> dict[str, tuple[int, int]]:
        """Size and time of every file that must stay as it is."""
        paths = [path for folder in (self.root, *self.build.datasets) for path in folder.rglob("*")]
        own = (self.root / "working", self.root / "tmp")
        kept = [path for path in paths if not path.is_symlink() and not any(path.is_relative_to(f) for f in own)]
        return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in kept if path.is_file()}

    def run(self) -> dict[str, Any]:
        """Run the cells in a process of its own; its output goes to check.log.

        Raises:
            KglError: a cell failed, or time or memory ran out.
        """
        folder, log = self.root / "tmp", self.build.folder / "check.log"
        cells, foreign = read_cells(self.build.kernel), foreign_modules()
        write_json(folder / "report.json", {"cell": 0, "tried": [], "done": False})
        task = {
            "cells": cells,
            "workspace": str(self.workspace.root),
            "report": str(folder / "report.json"),
            "may_write": [str(self.root / "working"), str(folder)],
            "lacks": sorted(set(foreign) - modules_of(self.build.folder.glob("wheels/*.whl"))),
            "memory_gb": self.memory_gb,
        }
        write_json(folder / "task.json", task)
        fence = ["unshare", "-rn"] if _can_unshare() else []
        with log.open("wb") as output:
            status = self._start([*fence, sys.executable, "-P", runner.__file__, str(folder / "task.json")], output)
        report: dict[str, Any] = read_json(folder / "report.json")
        if not report["done"]:
            raise KglError(f"{self._broken(report, status, cells, foreign)}. Its output: {log}")
        return report | {"fence": "unshare" if fence else "a hook in Python"}

    def _start(self, command: list[str], output: IO[bytes]) -> int | None:
        """The exit status; None where time ran out."""
        private = {"HOME": self.root / "tmp", "USERPROFILE": self.root / "tmp", "KGL_INPUT": self.root / "input"}
        private |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), self.root / "tmp")
        public = {k: v for k, v in os.environ.items() if not k.startswith(("KAGGLE_", "PYTHONPATH", "HF_", "XDG_"))}
        env = {**public, **{name: str(place) for name, place in private.items()}, "PYTHONUNBUFFERED": "1"}
        if not read_json(self.build.kernel / KERNEL)["enable_gpu"]:
            env["CUDA_VISIBLE_DEVICES"] = ""
        where: Any = {"cwd": self.root / "working", "env": env, "stdout": output, "stderr": output}
        try:
            return subprocess.run(command, **where, timeout=self.hours * 3600).returncode
        except subprocess.TimeoutExpired:
            return None

    def _broken(self, report: dict[str, Any], status: int | None, cells: list[str], foreign: dict[str, str]) -> str:
        number = max(1, report["cell"])
        first = next((line for line in cells[number - 1].splitlines() if line.strip()), "")
        where = f"cell {number} ({first})"
        if status is None:
            return f"too slow: {where} was not done after {self.hours:g} h"
        if "error" not in report:
            return f"{where} ended the process with status {status}; memory (limit {self.memory_gb:g} GB)?"
        said = f"{where}, line {report['line']}: {report['error'].rstrip('.')}"
        if (module := str(report["module"]).partition(".")[0]) in foreign:
            advice = f"no wheel is packed: build with --package {foreign[module]}"
            return f"{said}; Kaggle's image is not known to have it, and {advice}"
        return said


def _can_unshare() -> bool:
    """Whether this system lets a user run a process without any network (Linux, mostly)."""
    if not shutil.which("unshare"):
        return False
    return subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode == 0


def _check_file(stage: Stage, hidden: Hidden, known: pd.DataFrame) -> None:
    """submission.csv against the changed sample submission, and test.parquet against the run's.

    Raises:
        KglError: the first fault found.
    """
    competition, run = load_competition(stage.workspace), read_run(stage.workspace, stage.build.run)
    file = stage.root / "working" / "submission.csv"
    if not file.is_file():
        raise KglError(f"the notebook ended well but wrote no {file.name} into its working folder.")
    left = next(stage.root.glob(f"tmp/kgl-*/runs/{run.run}/test.parquet"), None)
    test = pd.read_parquet(left).set_index("id") if left else pd.DataFrame(index=pd.Index(hidden.kept))
    name = competition.files.sample_submission
    contest = next(stage.root.glob(f"input/**/{competition.slug}"))
    sample = read_table(contest / name, text="all") if name else None
    target = Target(competition.task, competition.target, tuple(run.label_order))
    form = find_form(competition, target, sample, pd.Series(test.index))
    if fault := find_fault(read_table(file, text="all"), form, "the sample submission of other test rows"):
        raise KglError(f"submission.csv with {hidden.rows:,} test rows: {fault}.")
    if not left:
        return
    columns = list(target.columns)
    new = test.reindex(list(hidden.kept))[columns].to_numpy(dtype=float)
    old = known.reindex(list(hidden.kept.values()))[columns].to_numpy(dtype=float)
    near = SAME_ON_GPU if competition.kind == "image" and shutil.which("nvidia-smi") else SAME
    wrong = ~np.isclose(new, old, rtol=near, atol=near).all(axis=1)
    if wrong.any():
        worst = np.nanmax(np.abs(new - old), initial=0)
        which = f"{wrong.sum():,} of {len(wrong):,} rows are predicted otherwise than in runs/{run.run}/test.parquet"
        raise KglError(f"{which} (by up to {worst:.2g}): does load() or a feature look at other test rows?")
