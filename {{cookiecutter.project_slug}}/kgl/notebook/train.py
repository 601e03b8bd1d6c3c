"""kgl notebook train: an experiment trained on Kaggle, over as many sessions as it takes, and its run fetched back."""

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from kgl.changes import find_parent
from kgl.child import run_kgl
from kgl.competition import load_competition
from kgl.config import from_text
from kgl.errors import INTERRUPTED, KglError, usage
from kgl.experiment import load_experiment, override
from kgl.fold_task import Task, adopt
from kgl.folds import read_folds
from kgl.identity import code_hash
from kgl.notebook.build import CELLS, filled, needed_runs, refuse_secrets, write_source
from kgl.notebook.inside import open_workspace
from kgl.notebook.kernel import Build, kaggle_slug, write_dataset, write_kernel
from kgl.notebook.push import BROKEN, fetch_output, find_notebook, follow, state_of, upload
from kgl.online.client import Kaggle
from kgl.paths import Workspace, digest, use_workspace, whole_folder
from kgl.runs import Run, is_finished, list_runs, open_run, read_run_file, run_folder, save_run
from kgl.session import Say, open_session

SPARE = 900.0  # seconds of a session, a tenth at most, for stopping, scoring what is done, and keeping the files
CELL = """\
# Train for a while, and keep runs/ as the notebook's output
from kgl.notebook.train import train_here

earlier = mounted(@earlier) if @earlier else ""
train_here(@words, seconds=@seconds, source=mounted(@source), data=mounted(@competition), earlier=earlier)
"""
FILES = ("oof.parquet", "test.parquet", "submission.csv", "log.txt")


def train(
    workspace: Workspace, name: str, changes: Mapping[str, str], *, gpu: bool, hours: float, say: Say
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
    is_broken = last and state_of(training.kaggle, training.kernel(last))[0] in BROKEN
    if last and not is_broken:
        if not training.follow(last):
            return None
        if training.is_done(last):
            return training.adopt(last)
    session = last if is_broken else last + 1  # one that failed is begun again
    training.begin(session)
    return training.adopt(session) if training.follow(session) else None


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
        numbers = read_folds(workspace.folds, competition.folds).trained
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

    def slug(self, session: int) -> str:
        """The name of a session's notebook: another one for other code, another config or split."""
        return kaggle_slug(self.kaggle.slug, "train", self.name, f"{self.mark}-{session}")

    def kernel(self, session: int) -> str:
        """A session's notebook, `owner/slug`."""
        return f"{self.owner}/{self.slug(session)}"

    def sessions(self) -> int:
        """How many there are at Kaggle."""
        session = 0
        while find_notebook(self.kaggle, self.kernel(session + 1)):
            session += 1
        return session

    def begin(self, session: int) -> None:
        """Bring up engine, experiment and folds, and a notebook that trains."""
        contest, source = self.kaggle.slug, kaggle_slug(self.kaggle.slug, "train", self.name, "source")
        earlier = self.slug(session - 1) if session > 1 else ""
        values = {"source": source, "competition": contest, "seconds": round(self.hours * 3600), "earlier": earlier}
        with whole_folder(self.folder, anew=True) as folder:
            self._write_source(folder / "source")
            write_dataset(folder / "source", source)
            write_kernel(
                folder / "notebook",
                self.slug(session),
                filled([CELLS[0], CELL], **values, words=self.words),
                competition=contest,
                datasets=[source],
                earlier=[earlier] if earlier else [],
                gpu=self.gpu,
                internet=True,  # for pretrained weights
            )
            refuse_secrets(folder)
        self.say(f"session {session} of up to {self.hours:g} h on Kaggle, {'with' if self.gpu else 'without'} GPU")
        upload(self.kaggle, Build(self.folder), hours=self.hours)

    def _write_source(self, folder: Path) -> None:
        runs = needed_runs(self.workspace, self.experiment.stack_on)
        write_source(self.workspace, runs, folder)
        for run in runs:
            shutil.copy(run_folder(self.workspace, run.run) / "test.parquet", folder / "runs" / run.run)

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
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where it is ignored, a child would ignore it as well
    env = {**os.environ, "PYTHONPATH": source, "PYTHONUNBUFFERED": "1"}
    kgl = partial(run_kgl, folder=workspace.root, env=env, say=partial(print, flush=True))
    status, said = kgl(["train", *words], seconds=seconds - min(SPARE, seconds / 10))
    made = [run for run in list_runs(workspace) if not Path(source, "runs", run.run).exists()]
    if status in (INTERRUPTED, -signal.SIGINT) and made:
        run = made[-1]
        folds = [path for path in run_folder(workspace, run.run).glob("folds/*") if path.name.isdigit()]
        done = [path.name for path in folds if all((path / f"seed-{seed}").is_dir() for seed in run.seeds)]
        kept = [word for word in words if not word.startswith("folds=")]
        status, said = kgl(["train", *kept, f"folds={','.join(done)}"]) if done else (0, "")
    if status:
        raise RuntimeError(said or f"kgl train ended with status {status}")
    hidden = shutil.ignore_patterns(".lock", ".owner")
    for run in made:
        shutil.copytree(run_folder(workspace, run.run), Path("runs", run.run), ignore=hidden)
