"""A trial of `kgl tune`: an experiment with changed settings, trained fold by fold; scores are kept, models are not."""

import contextlib
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from optuna import Trial, TrialPruned
from optuna.samplers import TPESampler

from kgl.arrays import Array
from kgl.errors import USAGE, KglError
from kgl.experiment import Experiment, config_of, override
from kgl.fold_task import Rows, Task, gather_rows, read_arrays, run_tasks
from kgl.identity import identity, short_hash
from kgl.metrics import Metric
from kgl.scoring import score
from kgl.session import Session
from kgl.tune_storage import retry
from kgl.wording import show

Changes = dict[str, str]  # as on the command line
Space = Callable[[Trial], Mapping[str, Any]]


@dataclass
class Trainer:
    """An experiment on the folds of a session, with one seed; see `predict`."""

    session: Session
    name: str
    experiment: Experiment
    metric: Metric
    seed: int
    workers: int | None = None
    cluster: str = ""
    rows: dict[str, Rows] = field(default_factory=dict, init=False)

    @cached_property
    def folder(self) -> Path:
        """Of what is being trained; its name is all that makes it: experiment, code, data, folds, metric and seed."""
        config = {**config_of(self.experiment), "metric": self.metric.name, "seed": self.seed}
        data, folds, workspace = self.session.data_hash, self.session.folds.hash(), self.session.workspace
        made_of = identity(workspace, self.name, config, data=data, folds=folds)
        return workspace.cache / "tune" / f"{self.name}-{short_hash(repr(made_of))}"

    def predict(self, changes: Changes, folds: Sequence[int]) -> Iterator[tuple[int, Array]]:
        """Train with changed settings; each fold and its predictions as it is done.

        Raises:
            KglError: a wrong setting (2), or the experiment fails (1).
        """
        experiment = override(self.experiment, changes)
        experiment.check(self.session.data.target, self.session.metric.loss)
        if not folds:
            return
        base = self.folder / short_hash(repr(changes))
        tasks = [Task(k, self.seed, base / "folds" / str(k) / f"seed-{self.seed}") for k in folds]
        try:
            for task in run_tasks(
                self.name, experiment, self._rows(experiment), tasks, workers=self.workers, cluster=self.cluster
            ):
                yield task.fold, read_arrays(task)[0]
        except KglError as error:  # without the place of its log, which goes with the trial
            raise KglError(error.message.partition(" (the whole story")[0], error.status) from error
        shutil.rmtree(base, ignore_errors=True)

    def score(self, rows: Array, predictions: Array) -> float:
        """The metric on some rows, by number or as a mask, and their predictions."""
        return score(self.metric, self.session.data.target, self.session.data.y[rows], predictions)

    def _rows(self, experiment: Experiment) -> Rows:
        """Prepared rows, kept for trials that change the model alone; of the test only one is predicted."""
        free = {"params": None} if experiment.kind == "tabular" else {}
        key = repr({**config_of(experiment), **free})
        if key not in self.rows:
            with contextlib.redirect_stdout(sys.stderr):  # the answer stands alone on standard output
                rows = gather_rows(self.session, experiment)
            self.rows = {key: replace(rows, test=rows.test.iloc[:1])}
        return self.rows[key]


def objective(trainer: Trainer, space: Space, trial: Trial) -> float:
    """The mean score over folds; raises TrialPruned where the first ones are behind, and where they fail."""
    began, say = time.perf_counter(), trainer.session.say
    # a seed a trial: a search repeats itself, and processes that share one do not draw alike
    trial.study.sampler = TPESampler(seed=trial.number, constant_liar=True)
    stored = trial.user_attrs.get("changes")
    changes: Changes = as_typed(space(trial)) if stored is None else stored
    trial.set_user_attr("changes", changes)
    try:
        value = _train(trainer, trial, changes)
    except KeyboardInterrupt:
        retry(trial.study, trial)
        raise
    except TrialPruned:
        say(in_a_line(trial.number, "ended early", changes))
        raise
    except KglError as error:
        if error.status == USAGE or not changes:
            raise KglError(f"{trainer.name}, trial {trial.number}: {error.message}", error.status) from error
        say(in_a_line(trial.number, f"failed: {error.message}", changes))
        raise TrialPruned from error
    say(in_a_line(trial.number, f"{show(value)}  {time.perf_counter() - began:.1f} s", changes))
    return value


def _train(trainer: Trainer, trial: Trial, changes: Changes) -> float:
    twins = [t.user_attrs for t in trial.study.get_trials(deepcopy=False)]
    # what a trial that was broken off has finished
    known = {int(k): v for t in twins if t.get("changes") == changes for k, v in t.get("folds", {}).items()}
    folds = trainer.session.folds.numbers
    _end_if_behind(trial, known, folds)
    for fold, predictions in trainer.predict(changes, [k for k in folds if k not in known]):
        known[fold] = trainer.score(trainer.session.fold_of == fold, predictions)
        trial.set_user_attr("folds", known)
        _end_if_behind(trial, known, folds)
    if math.isnan(value := float(np.nanmean([known[k] for k in folds]))):
        raise KglError("no fold can be scored.")
    return value


def _end_if_behind(trial: Trial, known: Mapping[int, float], folds: Sequence[int]) -> None:
    """Report the mean after each of the first folds; what is reported twice, Optuna leaves out."""
    done = [known[k] for k in takewhile(known.__contains__, folds)]
    for step in range(len(done)):
        if not math.isnan(mean := float(np.nanmean(done[: step + 1]))):
            trial.report(mean, step)
    if len(done) < len(folds) and trial.user_attrs["changes"] and trial.should_prune():
        raise TrialPruned


def as_typed(values: Mapping[str, Any]) -> Changes:
    """Settings as they would be typed behind `kgl train NAME`; numbers with four figures."""
    rounded = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in values.items()}
    return {key: value if isinstance(value, str) else repr(value) for key, value in rounded.items()}


def in_a_line(number: int, end: str, changes: Mapping[str, str]) -> str:
    """A trial as it is told."""
    return f"trial {number}  {end}  {in_words(changes)}"


def in_words(changes: Mapping[str, str]) -> str:
    """Settings on one line."""
    return ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in changes.items()) or "as it is"
