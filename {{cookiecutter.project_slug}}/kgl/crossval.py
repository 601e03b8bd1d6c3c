"""Train an experiment over folds and seeds, whatever the learner; a run that was killed goes on where it stopped."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kgl.arrays import Array
from kgl.changes import find_parent
from kgl.clock import OutOfTime
from kgl.cores import plan
from kgl.decisions import decide_rows
from kgl.errors import KglError, usage
from kgl.experiment import Experiment, config_of, load_experiment, override
from kgl.fold_task import Task, adopt, gather_rows, read_arrays, read_scores, remove_leftovers, run_tasks
from kgl.identity import headline, identity, save_source
from kgl.paths import write_text
from kgl.runs import Run, begin_run, end_run, is_finished, list_runs, open_run, read_run, run_folder, write_predictions
from kgl.scoring import check_metric, score, truth_labels
from kgl.session import Say, Session
from kgl.submission import write_submission
from kgl.tables import ID
from kgl.wording import show


@dataclass(frozen=True)
class Options:
    """How a run is trained; none of it is part of what the run is, but `quick`.

    folds: only these; the run stays partial until the others are trained too.
    quick: one fold, one seed, few rows: does it run at all? Never ranked.
    again: train anew what is complete.
    note, parent: kept in run.json; the parent is found where it is not given.
    workers: processes at once; by default what rows and cores suggest.
    cluster: address of a dask scheduler whose workers train the folds instead of this machine.
    """

    folds: tuple[int, ...] | None = None
    quick: bool = False
    again: bool = False
    note: str = ""
    parent: str = ""
    workers: int | None = None
    cluster: str = ""


def train(
    session: Session,
    name: str,
    changes: Mapping[str, str] | None = None,
    *,
    options: Options | None = None,
    progress: Say | None = None,
) -> Run:
    """Train experiment `name`, or report the run that did it already.

    Args:
        session: see `open_session`.
        name: the file's name in experiments/.
        changes: settings changed on the command line, such as `{"params.learning_rate": "0.05"}`.
        options: how to train.
        progress: takes one line a finished fold; by default what takes the notices.

    Raises:
        KglError: a wrong setting (2), a failing experiment or another process at it (1).
    """
    options = options or Options()
    experiment = override(load_experiment(session.workspace, name), changes or {})
    _check(session, experiment, options)
    with open_run(session.workspace, _describe(session, name, experiment, options), again=options.again) as run:
        if is_finished(session.workspace, run):
            session.say(f"{run.run} is this very experiment, complete since {run.ended}; --again trains it anew")
            return run
        try:
            _begin(session, run, options, changes or {})
            _train_folds(session, experiment, run, options, progress or session.say)
            return _finish(session, run, options)
        except OutOfTime:  # a baseline says itself what it leaves out
            raise
        except KeyboardInterrupt:
            tasks = _tasks(session, run, None)
            done = sum(task.is_done for task in tasks)
            session.say(f"Stopped: {done} of {len(tasks)} models of {run.run} are kept; the same command continues.")
            raise
        except KglError as error:
            if not (log := run_folder(session.workspace, run.run) / "log.txt").is_file():
                write_text(log, f"{error.message}\n")
            raise KglError(f"{name}: {error.message}", error.status) from error


def _check(session: Session, experiment: Experiment, options: Options) -> None:
    if unknown := [k for k in options.folds or () if k not in session.folds.trained]:
        raise usage(f"folds={unknown[0]}: there are folds {', '.join(map(str, session.folds.trained))}.")
    plan(1, 1, workers=options.workers)  # refuses a wrong number
    if options.parent:
        read_run(session.workspace, options.parent)
    check_metric(session.metric, session.data.target)
    experiment.check(session.data.target, session.metric.loss)
    for name in experiment.stack_on:
        if session.folds.scheme == "time":
            raise usage("stack_on: the first rows of scheme time have no predictions to learn from; kgl blend --stack.")
        below = read_run(session.workspace, name)
        if not below.is_complete or below.identity.get("folds") != session.folds.hash():
            raise KglError(f"stack_on: {name} is {below.status} or of other folds; stack on complete runs of these.")


def _describe(session: Session, name: str, experiment: Experiment, options: Options) -> Run:
    config = config_of(experiment) | ({"quick": True} if options.quick else {})
    if experiment.peeks or any(read_run(session.workspace, below).is_rosy for below in experiment.stack_on):
        config["choose"] = "fold"  # rosy: see Run.is_rosy
    made_of = {**config, "metric": session.competition.metric}  # what models train on: another is another run
    return Run(
        run="",
        experiment=name,
        kind=experiment.kind,
        config=config,
        label_order=list(session.data.target.labels),
        metric=session.competition.metric,
        seeds=list(experiment.seeds[:1] if options.quick else experiment.seeds),
        identity=identity(session.workspace, name, made_of, data=session.data_hash, folds=session.folds.hash()),
    )


def _begin(session: Session, run: Run, options: Options, changes: Mapping[str, str]) -> None:
    """What run.json and source/ keep from the start, so that a killed run explains itself."""
    folder = run_folder(session.workspace, run.run)
    remove_leftovers(folder)
    save_source(session.workspace, run.experiment, folder / "source")
    source = (session.workspace.experiments / f"{run.experiment}.py").read_text(encoding="utf-8")
    run.parent = options.parent or run.parent or find_parent(session.workspace, run, source)
    first = run.parent.rpartition("-")[0] != run.experiment
    typed = ", ".join(f"{key}={value}" for key, value in changes.items())
    what = headline(source) + (f", with {typed}" if typed else "")
    run.note = options.note or run.note or (what if first else "")
    begin_run(session.workspace, run)
    if not options.again:
        _adopt_seeds(session, run)


def _adopt_seeds(session: Session, run: Run) -> None:
    """Take over the models of runs that differ in their seeds alone: they would come out the same."""
    for other in list_runs(session.workspace):
        if other.seeds != run.seeds and _but_seeds(other) == _but_seeds(run):
            ours, theirs = (run_folder(session.workspace, one.run) for one in (run, other))
            for task in _tasks(session, run, None):
                adopt(task, theirs / task.folder.relative_to(ours))


def _but_seeds(run: Run) -> tuple[Any, ...]:
    made_of = [{k: v for k, v in each.items() if k not in ("config", "seeds")} for each in (run.config, run.identity)]
    return run.experiment, made_of


def _tasks(session: Session, run: Run, folds: tuple[int, ...] | None) -> list[Task]:
    base = run_folder(session.workspace, run.run) / "folds"
    numbers = [k for k in session.folds.trained if not folds or k in folds]
    return [Task(k, s, base / str(k) / f"seed-{s}") for k in numbers for s in run.seeds]


def _train_folds(session: Session, experiment: Experiment, run: Run, options: Options, progress: Say) -> None:
    folds = options.folds or session.folds.trained
    pending = [t for t in _tasks(session, run, folds[:1] if options.quick else folds) if not t.is_done]
    if not pending:
        return
    rows = gather_rows(session, experiment)
    experiment.save_shared(rows.train, run_folder(session.workspace, run.run) / "folds")
    rows = rows.few() if options.quick else rows
    for task in run_tasks(run.experiment, experiment, rows, pending, workers=options.workers, cluster=options.cluster):
        scores = read_scores(task)
        seed = f" seed {task.seed}" if len(run.seeds) > 1 else ""
        what = f"fold {task.fold}" if task.fold in session.folds.numbers else "all rows, for test"
        progress(f"{what}{seed}  {show(scores['score'])}  {scores['seconds']:.1f} s")


def _finish(session: Session, run: Run, options: Options) -> Run:
    """Average over seeds, score each fold, and write what the finished folds allow."""
    by_fold = {k: _tasks(session, run, (k,)) for k in session.folds.trained}
    done = {k: tasks for k, tasks in by_fold.items() if all(task.is_done for task in tasks)}
    scores = [read_scores(task) for tasks in done.values() for task in tasks]
    run.seconds = round(sum(each["seconds"] for each in scores), 3)
    run.peak_memory_mb = max((each["peak_memory_mb"] or 0 for each in scores), default=0) or None
    _write_log(session, run, done)
    complete = len(done) == len(session.folds.trained) and not options.quick
    if options.quick:
        run.fold_scores = [each["score"] for each in scores]
    else:
        _write_predictions(session, run, done, complete)
    end_run(session.workspace, run, "complete" if complete else "partial")
    return run


def _write_predictions(session: Session, run: Run, done: dict[int, list[Task]], complete: bool) -> None:
    arrays = {k: [read_arrays(task) for task in tasks] for k, tasks in done.items()}
    oof = np.full((len(session.data.y), len(session.data.target.columns)), np.nan)
    for k, parts in arrays.items():
        oof[session.fold_of == k] = np.mean([valid for valid, _ in parts], axis=0)
    score_run(session, run, oof)
    write_oof(session, run, oof)
    if complete:
        write_test(session, run, average_test([[test for _, test in arrays[k]] for k in session.folds.predicting]))
    same = all(np.array_equal(valid, parts[0][0]) for parts in arrays.values() for valid, _ in parts)
    if same and arrays and len(run.seeds) > 1:
        session.say(f"{run.run}: every seed predicts exactly the same: this model has no randomness, one is enough")


def average_test(by_fold: list[list[Array]]) -> Array:
    """Test predictions, (rows, columns), averaged over the seeds of each fold and then over folds."""
    return np.asarray(np.mean([np.mean(seeds, axis=0) for seeds in by_fold], axis=0))


def score_run(session: Session, run: Run, oof: Array) -> Run:
    """The run with the scores of out-of-fold predictions, (rows of train, columns), missing where not validated.

    Where the metric takes labels and all folds are there, each fold's labels are decided by a rule of the others.
    """
    metric, target, y, fold_of = session.metric, session.data.target, session.data.y, session.fold_of
    known = np.asarray(~np.isnan(oof).any(axis=1))
    labels = np.zeros(y.shape, dtype=np.int64)
    nested = metric.takes == "labels" and set(fold_of[known]) == set(session.folds.numbers)
    if nested:
        labels[known] = decide_rows(metric, target, y[known], oof[known], fold_of[known]).labels

    def measure(rows: Array) -> float | None:
        if not rows.any():
            return None
        if nested:
            value = metric.score(truth_labels(target, y[rows]), labels[rows])
        else:
            value = score(metric, target, y[rows], oof[rows])
        return None if np.isnan(value) else float(value)

    run.fold_scores = [measure(known & (fold_of == k)) for k in session.folds.numbers]
    scores = [s for s in run.fold_scores if s is not None]
    if scores:
        run.cv_score, run.cv_std = float(np.mean(scores)), float(np.std(scores, ddof=1)) if len(scores) > 1 else None
        run.oof_score = measure(known)
    return run


def write_oof(session: Session, run: Run, oof: Array) -> None:
    """Write oof.parquet: the validated rows alone."""
    known = np.asarray(~np.isnan(oof).any(axis=1))
    path = run_folder(session.workspace, run.run) / "oof.parquet"
    columns = session.data.target.columns
    write_predictions(path, session.data.ids[known], oof[known], columns, fold=session.fold_of[known])


def write_test(session: Session, run: Run, test: Array) -> None:
    """Write test.parquet, and submission.csv from it."""
    path = run_folder(session.workspace, run.run) / "test.parquet"
    write_predictions(path, session.data.test[ID], test, session.data.target.columns)
    for notice in write_submission(session.workspace, session.data, run.run):
        session.say(notice)


def _write_log(session: Session, run: Run, done: dict[int, list[Task]]) -> None:
    """log.txt of the run: what each of its models said."""
    parts = []
    for task in [task for tasks in done.values() for task in tasks]:
        scores = read_scores(task)
        said = (task.folder / "log.txt").read_text(encoding="utf-8")
        parts.append(f"fold {task.fold} seed {task.seed}: {show(scores['score'])} in {scores['seconds']} s\n{said}")
    write_text(run_folder(session.workspace, run.run) / "log.txt", "".join(parts))
