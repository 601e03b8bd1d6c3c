"""Search the settings of an experiment on the workspace's folds, with Optuna; several processes may share one search.

The best of many trials is partly the luckiest. So the first few are scored again on folds drawn anew with another seed,
beside the experiment as it is, and one becomes a run only where it is better there by more than noise.
"""

import contextlib
import importlib
import math
import shutil
import sys
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import filelock
import optuna
from optuna import Study, Trial

from kgl.crossval import Options, train
from kgl.errors import usage
from kgl.experiment import Experiment, load_experiment
from kgl.metrics import Metric, get_metric
from kgl.runs import Run
from kgl.session import Session
from kgl.tune_storage import open_study, share
from kgl.tune_trials import Changes, Space, Trainer, objective
from kgl.tune_verdict import Tried, judge_again
from kgl.wording import luck, show


@dataclass(frozen=True)
class Outcome:
    """The run, all trials best first, the finalists with their fresh scores, and how much each setting matters."""

    run: Run
    metric: str
    trials: list[Tried]
    finalists: list[Tried]
    importance: dict[str, float]


def tune(
    session: Session, name: str, options: Options, *, trials: int = 30, minutes: float = 0, storage: str = ""
) -> Outcome:
    """Search, score the first few again, and train the experiment with the settings that hold, or as it is.

    Args:
        session: `say` gets a line a trial.
        name: of the experiment.
        options: workers or cluster that its folds are trained on.
        trials: in all, those of earlier calls too.
        minutes: no further trial is begun after them; 0 for no limit.
        storage: a database URL; a file in runs/tune/ if empty.

    Raises:
        KglError: no space, a setting of it that cannot be (2); the experiment as it is fails (1).
    """
    experiment, metric = load_experiment(session.workspace, name), session.metric
    if metric.takes == "labels" and metric.name != "accuracy":  # a rule decides on labels later; trials have none
        metric = get_metric(metric.loss)
    trainer = Trainer(session, name, experiment, metric, experiment.seeds[0], options.workers, options.cluster)
    one_trial = partial(objective, trainer, find_space(session, name, experiment))
    lock = session.workspace.runs / "tune" / f"{name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(action="ignore"):  # heartbeats may change some day
        study = open_study(trainer.folder.name, storage, lock, maximize=metric.greater_is_better)
        try:
            until = time.monotonic() + 60 * minutes if minutes else math.inf
            share(study, one_trial, wanted=trials, until=until, say=session.say)
            shutil.rmtree(trainer.folder, ignore_errors=True)
            tried, importance = _tried(study, metric), _importance(study)
            with filelock.FileLock(lock):  # of several processes one goes on, the others find what it has done
                finalists = judge_again(trainer, tried)
        except KeyboardInterrupt:
            kept = sum(trial.state.name in ("COMPLETE", "PRUNED") for trial in study.trials)
            session.say(f"Stopped: {kept} of {trials} trials are kept; the same command goes on.")
            raise
    with filelock.FileLock(lock):
        run = _train_best(session, name, options, finalists, len(tried))
    return Outcome(run, metric.name, tried, finalists, importance)


def find_space(session: Session, name: str, experiment: Experiment) -> Space:
    """The `space` of the experiment's file, or the one that its model is given in kgl/<kind>/spaces.py.

    Raises:
        KglError: there is neither (status 2).
    """
    spaces = importlib.import_module(f"kgl.{experiment.kind}.spaces")
    own = getattr(importlib.import_module(f"experiments.{name}"), "space", None)
    found = own or spaces.default_space(experiment, session.data.target)
    if not found:
        raise usage(f'experiments/{name}.py: its model has no known space; add space = {{"params.NAME": (low, high)}}.')
    return found if callable(found) else lambda trial: suggest(trial, found)


def suggest(trial: Trial, space: Mapping[str, Any]) -> dict[str, Any]:
    """Settings from a table: (low, high) is a number in between, whole if both are, [a, b] one of these, else itself.

    A range from a positive number to five times as much and more is searched on a log scale.
    """
    values: dict[str, Any] = {}
    for key, choice in space.items():
        if isinstance(choice, tuple):
            low, high = choice
            draw: Any = trial.suggest_int if isinstance(low, int) and isinstance(high, int) else trial.suggest_float
            values[key] = draw(key, low, high, log=low > 0 and high >= 5 * low)
        else:
            values[key] = trial.suggest_categorical(key, choice) if isinstance(choice, list) else choice
    return values


def _tried(study: Study, metric: Metric) -> list[Tried]:
    """All trials that came to an end, best first; equal settings once."""
    found: dict[str, Tried] = {}
    for trial in study.trials:
        changes, state = trial.user_attrs.get("changes"), trial.state.name
        if changes is not None and state in ("COMPLETE", "PRUNED"):
            found.setdefault(repr(changes), Tried(trial.number, changes, trial.value if state == "COMPLETE" else None))
    return sorted(found.values(), key=lambda one: math.inf if one.score is None else metric.gain(0, one.score))


def _importance(study: Study) -> dict[str, float]:
    """The share of each setting in how scores differ (fANOVA); empty where trials are too few."""
    alone = optuna.create_study(direction=study.direction)
    alone.add_trials([t for t in study.trials if t.state.name == "COMPLETE" and t.params])
    with contextlib.suppress(ValueError, RuntimeError):
        evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=32, seed=0)
        return dict(optuna.importance.get_param_importances(alone, evaluator=evaluator))
    return {}


def _train_best(session: Session, name: str, options: Options, finalists: list[Tried], trials: int) -> Run:
    """The run of the finalist that is better by more than noise, its parent the experiment as it is; else that one."""
    as_is = _train(session, name, {}, options)
    best = max((one for one in finalists if one.word == "better"), key=lambda one: one.gain or 0, default=None)
    if best is None:
        return as_is
    known = f"{show(best.score)} on the folds that chose it, {best.gain:+.5f} on fresh ones ({luck(best.p)})"
    note = f"tuned: the best of {trials} trials, {known}"
    return _train(session, name, best.changes, replace(options, note=note, parent=as_is.run))


def _train(session: Session, name: str, changes: Changes, options: Options) -> Run:
    """As `kgl train` does; run.json keeps that command, and not the address of a database."""
    typed, sys.argv[1:] = sys.argv[1:], ["train", name, *(f"{key}={value}" for key, value in changes.items())]
    try:
        return train(session, name, changes, options=options)
    finally:
        sys.argv[1:] = typed
