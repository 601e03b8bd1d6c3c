"""kgl notebook train: an experiment trained on Kaggle, over as many sessions as it takes, and its run fetched back."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

from kgl.competition import load_competition
from kgl.config import from_text
from kgl.errors import INTERRUPTED, KglError, usage
from kgl.experiment import load_experiment, override
from kgl.fold_task import Task, adopt
from kgl.folds import read_folds
from kgl.identity import code_hash
from kgl.notebook.build import CELLS, needed_runs, refuse_secrets, replacing_folder, write_source
from kgl.notebook.inside import open_workspace
from kgl.notebook.kernel import OWNER, kaggle_slug, load_build, write_dataset, write_kernel
from kgl.notebook.push import fetch_output, follow
from kgl.notebook.upload import BROKEN, find_notebook, state_of, upload
from kgl.online.client import Kaggle
from kgl.online.fetch import digest
from kgl.paths import Workspace, use_workspace
from kgl.runs import Run, find_parent, is_finished, list_runs, open_run, read_run, read_run_file, run_folder, save_run
from kgl.session import Say, open_session

SPARE = 900.0  # seconds of a session, a tenth at most, for stopping, scoring what is done, and keeping the files
GRACE = 600.0  # seconds from Ctrl-C to the end of the process
CELL = """\
# Train for a while, and keep runs/ as the notebook's output
from kgl.notebook.train import train_here

train_here(@words, seconds=@seconds, source=mounted("@source"), data=mounted("@competition"), earlier=@earlier)
"""
FILES = ("oof.parquet", "test.parquet", "submission.csv", "log.txt")


def train(
    workspace: Workspace, name: str, changes: Mapping[str, str], *, gpu: bool = False, hours: float = 9.0, say: Say
) -> Run | None:
    """Train an experiment on Kaggle and fetch its run; the same command follows it, and begins the next session.

    Args:
        workspace: where experiments/, runs/ and build/ lie.
        name: the experiment.
        changes: as typed, such as `{"folds": "0,1", "params.learning_rate": "0.05"}`.
        gpu: ask for a graphics card.
        hours: of a session; training stops before its end, and what is finished is kept.
        say: takes a line at a time.

    Returns:
        The run as it is in runs/ now: complete, or partial, where another session goes on. None: it still runs there.

    Raises:
        KglError: a wrong setting (2), refused by Kaggle (3), or training failed (1).
    """
    training = Training(workspace, name, changes, gpu=gpu, hours=hours, say=say)
    last = training.sessions()
    if not last or training.is_broken(last):
        last = max(last, 1)
        training.begin(last)
    elif not training.follow(last):
        return None
    elif training.is_done(last):
        return training.adopt(last)
    else:
        last += 1
        training.begin(last)
    return training.adopt(last) if training.follow(last) else None


class Training:
    """The sessions of an experiment on Kaggle: a notebook each, which goes on from the output of the one before."""

    def __init__(
        self, workspace: Workspace, name: str, changes: Mapping[str, str], *, gpu: bool, hours: float, say: Say
    ) -> None:
        self.workspace, self.name, self.gpu, self.hours, self.say = workspace, name, gpu, hours, say
        settings = {key: text for key, text in changes.items() if key != "folds"}
        self.experiment = override(load_experiment(workspace, name), settings)
        if not workspace.folds.is_file():
            open_session(workspace, say)
        competition = load_competition(workspace)
        competition.require("slug", "metric", "target")
        numbers = read_folds(workspace.folds, competition.folds).numbers
        typed = changes.get("folds")
        self.folds = numbers if typed is None else from_text(tuple[int, ...], typed, "folds")
        if unknown := set(self.folds) - set(numbers):
            raise usage(f"folds={min(unknown)}: there are folds {', '.join(map(str, numbers))}.")
        self.numbers, self.words = numbers, [name, *(f"{key}={text}" for key, text in changes.items())]
        facts = workspace.competition_toml.read_text(encoding="utf-8")
        made_of = [code_hash(workspace, name), settings, digest(workspace.folds), facts]
        self.mark = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:8]
        self.kaggle, self.folder = Kaggle(competition.slug, say=say), workspace.root / "build" / "training" / name
        self.owner = self.kaggle.owner()

    def kernel(self, session: int) -> str:
        """A session's notebook, `owner/slug`: another one for other code, another config or split."""
        return f"{self.owner}/" + kaggle_slug(self.kaggle.slug, "train", self.name, f"{self.mark}-{session}")

    def sessions(self) -> int:
        """How many there are at Kaggle."""
        session = 0
        while find_notebook(self.kaggle, self.kernel(session + 1)):
            session += 1
        return session

    def is_broken(self, session: int) -> bool:
        """Whether a session failed, so that it is begun again."""
        return state_of(self.kaggle, self.kernel(session))[0] in BROKEN

    def begin(self, session: int) -> None:
        """Bring up engine, experiment and folds, and a notebook that trains."""
        source, slug = kaggle_slug(self.kaggle.slug, "train", self.name, "source"), self.kernel(session).split("/")[1]
        earlier = [self.kernel(session - 1)] if session > 1 else []
        texts = {"@source": source, "@competition": self.kaggle.slug, "@seconds": f"{self.hours * 3600:.0f}"}
        texts |= {"@words": repr(self.words), "@earlier": f'mounted("{earlier[0].split("/")[1]}")' if earlier else '""'}
        cells = [CELLS[0], CELL]
        for key, text in texts.items():
            cells = [cell.replace(key, text) for cell in cells]
        with replacing_folder(self.folder) as folder:
            self._write_source(folder / "source")
            write_dataset(folder / "source", source)
            write_kernel(
                folder / "notebook",
                slug=slug,
                title=slug.replace("-", " "),
                code_cells=cells,
                dataset_sources=[f"{OWNER}/{source}"],
                kernel_sources=earlier,
                competition=self.kaggle.slug,
                gpu=self.gpu,
                internet=True,  # for pretrained weights
            )
            refuse_secrets(folder)
        self.say(f"session {session} of up to {self.hours:g} h on Kaggle, {'with' if self.gpu else 'without'} GPU")
        upload(self.kaggle, load_build(self.folder), hours=self.hours)

    def _write_source(self, folder: Path) -> None:
        below = (needed_runs(self.workspace, read_run(self.workspace, name)) for name in self.experiment.stack_on)
        runs = {run.run: run for run in chain.from_iterable(below)}
        write_source(self.workspace, list(runs.values()), folder)
        for run in runs:
            shutil.copy(run_folder(self.workspace, run) / "test.parquet", folder / "runs" / run)

    def follow(self, session: int) -> bool:
        """Wait for the end of a session; False where it still runs."""
        return follow(self.kaggle, self.kernel(session), self.folder)

    def is_done(self, session: int) -> bool:
        """Whether the run in a session's output has all folds that are wanted."""
        run = self._fetched(session, "run.json")
        done = {k for k, score in zip(self.numbers, run.fold_scores, strict=False) if score is not None}
        return done >= set(self.folds)

    def adopt(self, session: int) -> Run:
        """Fetch the run and give it its place in runs/: that of the same identity, else the next number."""
        theirs = self._fetched(session, "")
        folder = self.folder / "output" / "runs" / theirs.run
        use_workspace(self.workspace)
        with open_run(self.workspace, replace(theirs, run="")) as run:
            if is_finished(self.workspace, run):
                return run
            own = run_folder(self.workspace, run.run)
            for path in sorted(folder.glob("folds/*/seed-*")):
                fold, seed = path.parent.name, path.name.removeprefix("seed-")
                adopt(Task(int(fold), int(seed), own / path.relative_to(folder)), path)
            for file in FILES:
                with suppress(FileNotFoundError):  # a run that is not complete has no test.parquet
                    shutil.copy(folder / file, own / file)
            shutil.copytree(folder / "source", own / "source", dirs_exist_ok=True)
            source = (own / "source" / "experiments" / f"{self.name}.py").read_text(encoding="utf-8")
            made = replace(theirs, run=run.run)
            made.parent = run.parent or find_parent(self.workspace, made, source)
            save_run(self.workspace, made)
        return made

    def _fetched(self, session: int, ending: str) -> Run:
        """The run in a session's output, once those of its files that end so are here."""
        output = self.folder / "output"
        shutil.rmtree(output, ignore_errors=True)
        kernel = self.kernel(session)
        fetch_output(self.kaggle, kernel, output, lambda name: name.startswith("runs/") and name.endswith(ending))
        found = sorted(output.glob("runs/*/run.json"))
        if not found:
            raise KglError(f"{kernel} ran on Kaggle but left no run; its log: {self.folder / 'kaggle.log'}")
        return read_run_file(found[0])


def train_here(words: list[str], *, seconds: float, source: str, data: str, earlier: str = "") -> None:
    """On Kaggle: train until the time is nearly up, then leave runs/ with what is finished in the current folder.

    Args:
        words: of `kgl train`.
        seconds: the session's length.
        source, data: the mounted data set and contest.
        earlier: the mounted output of the session before, which this one goes on from.

    Raises:
        RuntimeError: training failed; the last line that it said.
    """
    workspace = open_workspace(source, data)
    if earlier:
        shutil.copytree(Path(earlier, "runs"), workspace.runs, dirs_exist_ok=True)
    status, said = _kgl(workspace, source, words, seconds - min(SPARE, seconds / 10))
    made = [run for run in list_runs(workspace) if not Path(source, "runs", run.run).exists()]
    if status in (INTERRUPTED, -signal.SIGINT) and made:
        run = made[-1]
        folds = [path for path in run_folder(workspace, run.run).glob("folds/*") if path.name.isdigit()]
        done = [path.name for path in folds if all((path / f"seed-{seed}").is_dir() for seed in run.seeds)]
        kept = [word for word in words if not word.startswith("folds=")]
        status, said = _kgl(workspace, source, [*kept, f"folds={','.join(done)}"]) if done else (0, "")
    if status:
        raise RuntimeError(said or f"kgl train ended with status {status}")
    hidden = shutil.ignore_patterns(".lock", ".owner")
    for run in made:
        shutil.copytree(run_folder(workspace, run.run), Path("runs", run.run), ignore=hidden)


def _kgl(workspace: Workspace, source: str, words: list[str], seconds: float | None = None) -> tuple[int, str]:
    """`kgl train` in a process of its own, stopped as by Ctrl-C after some seconds: exit status and last line."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where it is ignored, a child would ignore it as well
    process = subprocess.Popen(
        [sys.executable, "-m", "kgl", "train", *words],
        cwd=workspace.root,
        env={**os.environ, "PYTHONPATH": source, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    timers = [threading.Timer(seconds, process.send_signal, [signal.SIGINT])] if seconds else []
    timers += [threading.Timer(seconds + GRACE, process.kill)] if seconds else []
    for timer in timers:
        timer.start()
    line = ""
    for line in process.stdout or ():
        print(line, end="", flush=True)
    status = process.wait()
    for timer in timers:
        timer.cancel()
    return status, line.strip()
