"""One model on one fold with one seed: the task that is trained, written whole or not at all, and never done twice."""

import contextlib
import io
import os
import shutil
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kgl.arrays import Array
from kgl.columns import naming_columns
from kgl.cores import plan
from kgl.errors import KglError, reason
from kgl.experiment import Experiment, Part, Setting
from kgl.folds import Folds
from kgl.metrics import get_metric
from kgl.paths import Workspace, read_json, replacing, use_workspace, whole_folder, write_json, write_text
from kgl.runs import made_again, peak_memory_mb, read_predictions
from kgl.scoring import score
from kgl.session import Session
from kgl.table_file import give_back
from kgl.tables import ID
from kgl.target import Target

QUICK_ROWS = 200  # a fold, for --quick
UNFINISHED = "-unfinished"
WORKERS_PAY_ABOVE = 10.0  # seconds of work left: starting processes costs a few of its own


@dataclass(frozen=True)
class Task:
    """A seed on a fold, and the folder that its model, predictions and scores end in."""

    fold: int
    seed: int
    folder: Path

    @property
    def scratch(self) -> Path:
        """What a killed training left to go on from; gone when the task is done."""
        return self.folder.parent / f".{self.folder.name}{UNFINISHED}"

    @property
    def is_done(self) -> bool:
        """Whether its folder is there: folders appear whole."""
        return self.folder.is_dir()


@dataclass(frozen=True)
class Rows:
    """Prepared rows and what a task needs to know of them: all that a worker process is sent."""

    workspace: Workspace
    train: pd.DataFrame
    test: pd.DataFrame
    y: Array
    fold_of: Array
    time_rank: Array | None
    folds: Folds
    setting: Setting

    def few(self) -> "Rows":
        """Some rows of each fold, and of the test, for --quick."""
        order = np.random.default_rng(0).permutation(len(self.train))
        place = pd.Series(self.fold_of[order]).groupby(self.fold_of[order]).cumcount().to_numpy()
        keep = np.sort(order[place < QUICK_ROWS])
        return replace(
            self,
            train=self.train.iloc[keep].reset_index(drop=True),
            test=self.test.iloc[:QUICK_ROWS],
            y=self.y[keep],
            fold_of=self.fold_of[keep],
            time_rank=None if self.time_rank is None else self.time_rank[keep],
            setting=replace(self.setting, quick=True),
        )

    def part(self, fold: int) -> Part:
        """The training rows of a fold."""
        mask = self.folds.training(self.fold_of, fold)
        holdout = self.folds.holdout(self.fold_of, fold, self.time_rank)[mask]
        return Part(self.train, np.flatnonzero(mask), self.y[mask], holdout)


def gather_rows(session: Session, experiment: Experiment) -> Rows:
    """What is computed row by row, once for all folds, and the predictions that the experiment stacks on."""
    data = session.data
    train = add_stacked(session, experiment.prepare_rows(data.train), experiment.stack_on, "oof")
    test = add_stacked(session, experiment.prepare_rows(data.test), experiment.stack_on, "test")
    raw, ids = tuple(map(str, data.train.columns)), (ID, *naming_columns(data.train, session.competition.id))
    loss, metric = session.metric.loss, session.metric.name
    setting = Setting(data.target, loss, metric=metric, raw_columns=raw, id_columns=ids)
    return Rows(session.workspace, train, test, data.y, session.fold_of, session.time_rank, session.folds, setting)


def add_stacked(session: Session, rows: pd.DataFrame, runs: tuple[str, ...], part: str) -> pd.DataFrame:
    """The rows with other runs' predictions as further columns, by id; rows without any (external ones) get missing."""
    for run in runs:
        predictions = read_predictions(session.workspace, run, part).drop(columns="fold", errors="ignore")
        joined = predictions.add_prefix(f"{run}:").reindex(rows[ID])
        rows = pd.concat([rows, joined.set_axis(rows.index, axis=0)], axis=1)
    return rows


def run_tasks(
    name: str, experiment: Experiment, rows: Rows, tasks: list[Task], *, workers: int | None = None, cluster: str = ""
) -> Iterator[Task]:
    """Train tasks, each given back as it is done.

    The first runs here; the others go to worker processes if that was asked for or if enough work is left.

    Args:
        name: of the experiment, whose code the workers of a cluster must have.
        experiment, rows, tasks: what is trained on what.
        workers: processes at once; by default what the experiment, rows and cores suggest.
        cluster: address of a dask scheduler whose workers train all tasks.
    """
    workers = workers or experiment.at_once()
    shared, waiting = plan(len(tasks), len(rows.train), workers=workers), list(tasks)
    if cluster:
        from kgl.cluster import run_on_cluster

        yield from run_on_cluster(cluster, name, experiment, rows, tasks, threads=shared.threads)
        return
    while waiting and (workers is None or shared.workers == 1):
        task, began = waiting.pop(0), time.perf_counter()
        run_task(experiment, rows, task, shared.threads)
        yield task
        if shared.workers > 1 and (time.perf_counter() - began) * len(waiting) > WORKERS_PAY_ABOVE:
            break
    if waiting:
        from joblib import Parallel, delayed

        jobs = (delayed(_run_in_worker)(experiment, rows, task, shared.threads) for task in waiting)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # for workers while they start: they inherit it
        try:
            done = Parallel(n_jobs=shared.workers, return_as="generator_unordered")(jobs)
        finally:
            signal.signal(signal.SIGINT, before)
        yield from done


def _run_in_worker(experiment: Experiment, rows: Rows, task: Task, threads: int) -> Task:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    return run_task(experiment, rows, task, threads)


def run_task(experiment: Experiment, rows: Rows, task: Task, threads: int) -> Task:
    """Fit on the other folds, predict this fold and the test, and leave all of it in the task's folder.

    Raises:
        KglError: the experiment failed; the sentence names the place of the traceback.
    """
    from threadpoolctl import threadpool_limits

    use_workspace(rows.workspace)  # in a worker process nothing has done that yet
    give_back()  # what the fold before needed
    began, log = time.perf_counter(), io.StringIO()
    inside = rows.fold_of == task.fold
    target, metric, truth = rows.setting.target, get_metric(rows.setting.metric), rows.y[inside]

    def validate(predict: Callable[[pd.DataFrame], Array]) -> Array:
        some = rows.train.loc[inside].reset_index(drop=True)
        return predict(some) if len(some) else np.empty((0, len(target.columns)))

    setting = replace(
        rows.setting,
        seed=task.seed,
        threads=threads,
        scratch=task.scratch,
        name=f"fold {task.fold} seed {task.seed}",
        watch=(lambda predict: score(metric, target, truth, validate(predict))) if len(truth) else None,
    )
    try:
        # BLAS sums in another order with more threads, and the last bit of a prediction must not depend on them
        with _logged_to(log), threadpool_limits({"openmp": threads, "blas": 1}):
            np.random.seed(task.seed)  # for transformers and estimators without a random_state of their own
            fitted = experiment.fit(rows.part(task.fold), setting)
            valid = _checked(validate(fitted.predict), len(truth), target)
            test = _checked(fitted.predict(rows.test), len(rows.test), target)
    except KglError as error:
        raise KglError(f"fold {task.fold}, seed {task.seed}: {error.message}", error.status) from None
    except (Exception, SystemExit) as error:  # of exit(), too
        raise _failed(error, task, log) from error
    with whole_folder(task.folder) as folder:
        fitted.save(folder)
        with replacing(folder / "predictions.npz") as temporary, temporary.open("wb") as file:
            np.savez(file, valid=valid, test=test)
        write_text(folder / "log.txt", log.getvalue())
        value = score(metric, target, truth, valid) if len(truth) else np.nan
        seconds = round(time.perf_counter() - began, 3)
        scores = {"score": None if np.isnan(value) else value, "seconds": seconds, "peak_memory_mb": peak_memory_mb()}
        write_json(folder / "scores.json", scores)
    shutil.rmtree(task.scratch, ignore_errors=True)
    return task


def read_scores(task: Task) -> dict[str, Any]:
    """score, seconds and peak_memory_mb of a finished task."""
    with made_again(task.folder):
        return dict(read_json(task.folder / "scores.json"))


def read_arrays(task: Task) -> tuple[Array, Array]:
    """Predictions of the fold and of the test, (n, columns) each, of a finished task."""
    with made_again(task.folder), np.load(task.folder / "predictions.npz") as arrays:
        return arrays["valid"], arrays["test"]


@contextlib.contextmanager
def _logged_to(log: io.StringIO) -> Iterator[None]:
    """What models print, and each warning once, goes to the task's log instead of the terminal."""
    with contextlib.redirect_stdout(log), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for line in dict.fromkeys(f"{w.category.__name__}: {w.message}" for w in caught):
        log.write(line + "\n")


def _checked(predictions: Array, rows: int, target: Target) -> Array:
    predictions = np.asarray(predictions, dtype=np.float64)
    if predictions.shape != (rows, len(target.columns)):
        raise KglError(f"predictions have shape {predictions.shape}, expected {(rows, len(target.columns))}.")
    bad = int((~np.isfinite(predictions)).any(axis=1).sum())
    if bad:
        raise KglError(f"{bad} of {rows} predictions are missing or infinite; look at the model and its features.")
    return predictions


def _failed(error: BaseException, task: Task, log: io.StringIO) -> KglError:
    run_folder = task.folder.parents[2]
    write_text(run_folder / "log.txt", log.getvalue() + traceback.format_exc())
    said, log_file = f"{type(error).__name__}: {reason(error)}", f"runs/{run_folder.name}/log.txt"
    return KglError(f"fold {task.fold}, seed {task.seed}: {said} (the whole story: {log_file})")


def adopt(task: Task, folder: Path) -> None:
    """Let what another run has trained there be this task's; files are shared, nothing ever writes into them."""
    if folder.is_dir() and not task.is_done:
        with whole_folder(task.folder) as own:
            shutil.copytree(folder, own, copy_function=link, dirs_exist_ok=True)
        for shared in folder.parents[1].glob("*.*"):
            if not (copy := task.folder.parents[1] / shared.name).exists():
                link(shared, copy)


def link(source: str | Path, target: str | Path) -> None:
    """A further name for a file that is never written into, or a copy of it."""
    try:
        os.link(source, target)
    except OSError:  # not every disk has links
        shutil.copy2(source, target)


def remove_leftovers(run_folder: Path) -> None:
    """Remove what a killed process had begun to write, but for what its trainings go on from."""
    for folder in run_folder.glob("folds/*/.*"):
        if not folder.name.endswith(UNFINISHED):
            shutil.rmtree(folder, ignore_errors=True)
    for file in run_folder.glob(".*.tmp"):
        file.unlink()
