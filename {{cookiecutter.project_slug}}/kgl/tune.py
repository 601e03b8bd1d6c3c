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
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import numpy as np

from kgl.cores import plan
from kgl.crossval import Options, train
from kgl.errors import USAGE, KglError, reason, usage
from kgl.experiment import Experiment, config_of, load_experiment, override
from kgl.fold_task import Rows, Task, gather_rows, read_arrays, run_tasks
from kgl.folds import find_groups, make_folds
from kgl.identity import identity, short_hash
from kgl.metrics import Metric, get_metric
from kgl.runs import Run
from kgl.scoring import score
from kgl.session import Session
from kgl.target import Target
from kgl.verdicts import RISK, draw_scores, judge, rows_of
from kgl.wording import show

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

Changes = dict[str, str]  # as on the command line
Space = Callable[["Trial"], Mapping[str, Any]]
FINALISTS = 3
HEARTBEAT, GRACE = 15, 60  # seconds: a trial whose process has not been heard of for so long is begun anew


@dataclass(frozen=True)
class Tried:
    """A trial: settings, score on the folds (None: ended early), and on fresh folds score and gain over the first."""

    number: int
    changes: Changes
    score: float | None
    fresh_score: float | None = None
    gain: float | None = None
    p: float | None = None

    @property
    def is_better(self) -> bool:
        """Whether it beats the experiment as it is by more than noise, on folds that did not choose it."""
        return self.gain is not None and self.p is not None and self.gain > 0 and self.p <= RISK


@dataclass(frozen=True)
class Outcome:
    """The run, all trials best first, the finalists with their fresh scores, and how much each setting matters."""

    run: Run
    metric: str
    trials: list[Tried]
    finalists: list[Tried]
    importance: dict[str, float]


def tune(
    session: Session, name: str, *, trials: int = 30, minutes: float = 0, storage: str = "", workers: int | None = None
) -> Outcome:
    """Search, score the first few again, and train the experiment with the settings that hold, or as it is.

    Args:
        session: `say` gets a line a trial.
        name: of the experiment.
        trials: in all, those of earlier calls too.
        minutes: no further trial is begun after them; 0 for no limit.
        storage: a database URL; a file in runs/tune/ if empty.
        workers: folds at once.

    Raises:
        KglError: no space, a setting of it that cannot be (2); the experiment as it is fails (1).
    """
    experiment, metric = load_experiment(session.workspace, name), session.metric
    if metric.takes == "labels" and metric.name != "accuracy":  # a rule decides on labels later; trials have none
        metric = get_metric(metric.loss)
    search = _Trials(session, name, experiment, find_space(session, name, experiment), metric, workers)
    again = replace(search, session=_fresh(session, experiment), seed=max(experiment.seeds) + 1)
    with _quiet():
        study = _open_study(search, storage, [{}])
        search.run(study, trials, time.monotonic() + 60 * minutes if minutes else math.inf)
        tried, importance = _tried(study, metric), _importance(study)
        finalists = [one for one in tried if one.score is not None and one.changes][:FINALISTS]
        if finalists:
            session.say(f"the first {len(finalists)} again, beside the experiment as it is: fresh folds, another seed")
            fresh = _open_study(again, storage, [{}, *(one.changes for one in finalists)])
            again.run(fresh, sum(t.state.name != "FAIL" for t in fresh.trials), math.inf)
            beside = [one for one in tried if one in finalists or not one.changes]
            finalists = [_judged(one, again, fresh, of=len(finalists)) for one in beside]
    with filelock.FileLock(search.lock):  # of several processes one trains, the others report it
        run = _train_best(session, name, finalists, len(tried), workers)
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
        example = 'return {"params.C": trial.suggest_float("C", 0.01, 10, log=True)}'
        raise usage(f"experiments/{name}.py: no space is known for its model; write def space(trial): {example}.")
    return found if callable(found) else lambda trial: suggest(trial, found)


def suggest(trial: "Trial", space: Mapping[str, Any]) -> dict[str, Any]:
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


def as_typed(values: Mapping[str, Any]) -> Changes:
    """Settings as they would be typed behind `kgl train NAME`; numbers with four figures."""
    rounded = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in values.items()}
    return {key: value if isinstance(value, str) else repr(value) for key, value in rounded.items()}


def in_words(changes: Mapping[str, str]) -> str:
    """Settings on one line."""
    return ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in changes.items()) or "as it is"


def _fresh(session: Session, experiment: Experiment) -> Session:
    """The same rows with folds drawn anew; the same folds where they follow time or other runs' predictions."""
    if not experiment.stack_on and session.folds.scheme != "time":
        settings, scheme = session.competition.folds, session.folds.scheme
        settings = replace(settings, scheme=scheme, n_splits=len(session.folds.numbers), seed=settings.seed + 1)
        with contextlib.suppress(KglError):  # folds of one's own making
            return replace(session, folds=make_folds(session.data, settings))
    return session


@dataclass
class _Trials:
    """What a trial is: the experiment with changed settings on each fold with one seed. Called by Optuna.

    seed: that of the trials on fresh folds; None searches, with the experiment's first.
    """

    session: Session
    name: str
    experiment: Experiment
    space: Space
    metric: Metric
    workers: int | None
    seed: int | None = None
    rows: dict[str, Rows] = field(default_factory=dict, init=False)
    running: int = field(default=-1, init=False)

    @property
    def lock(self) -> Path:
        """Beside the file of trials."""
        folder = self.session.workspace.runs / "tune"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{self.name}.lock"

    def run(self, study: "Study", wanted: int, until: float) -> None:
        """Take trials until so many are finished, here or elsewhere; wait for those that others are at."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.storages import fail_stale_trials

        told = False
        while True:
            count = Counter(trial.state.name for trial in study.get_trials(deepcopy=False))
            finished = count["COMPLETE"] + count["PRUNED"]
            try:
                if finished + count["RUNNING"] < wanted and time.monotonic() < until:
                    study.optimize(self, n_trials=1)
                elif count["RUNNING"]:
                    if not told:
                        self.session.say(
                            f"waiting for {count['RUNNING']} trials of other processes, or to take them over"
                        )
                    told = True
                    time.sleep(1)
                    fail_stale_trials(study)
                else:
                    return shutil.rmtree(self._folder(study), ignore_errors=True)
            except UpdateFinishedTrialError:  # this machine slept, and another process took the trial over
                continue
            except KeyboardInterrupt:
                if self.running >= 0 and (trial := study.trials[self.running]).state.name == "FAIL":
                    _retry(study, trial)
                self.session.say(f"Stopped: {finished} of {wanted} trials are kept; the same command goes on.")
                raise

    def __call__(self, trial: "Trial") -> float:
        """The mean score over folds; raises TrialPruned where the first ones are behind, and where they fail."""
        from optuna import TrialPruned
        from optuna.samplers import TPESampler

        self.running, began = trial.number, time.perf_counter()
        # a seed a trial: a search repeats itself, and processes that share one do not draw alike
        trial.study.sampler = TPESampler(seed=trial.number, multivariate=False, constant_liar=True)
        stored = trial.user_attrs.get("changes")
        if stored is None and self.seed is not None:
            raise TrialPruned  # two processes asked for the last one
        changes: Changes = as_typed(self.space(trial)) if stored is None else stored
        trial.set_user_attr("changes", changes)
        told = f"trial {trial.number}  {{}}  {in_words(changes)}"
        try:
            value = self._train(trial, changes)
        except TrialPruned:
            self.session.say(told.format("ended early"))
            raise
        except KglError as error:
            sentence, _, _ = error.message.partition(" (the whole story")  # its log goes with the trial
            if error.status == USAGE or not changes:
                raise KglError(f"{self.name}, trial {trial.number}: {sentence}", error.status) from error
            self.session.say(told.format(f"failed: {sentence}"))
            raise TrialPruned from error
        self.session.say(told.format(f"{show(value)}  {time.perf_counter() - began:.1f} s"))
        return value

    def _train(self, trial: "Trial", changes: Changes) -> float:
        from optuna import TrialPruned

        twins = [t for t in trial.study.get_trials(deepcopy=False) if t.user_attrs.get("changes") == changes]
        if any(t.number < trial.number and t.state.name == "RUNNING" for t in twins):
            raise TrialPruned  # another process is at the same settings
        # what a trial that was broken off has finished
        known = {k: value for twin in twins for k, value in twin.user_attrs.get("folds", {}).items()}
        experiment = override(self.experiment, changes)
        experiment.check(self.session.data.target, self.session.metric.loss)
        folds, told = [str(k) for k in self.session.folds.numbers], 0
        for _ in self._folds(trial, experiment, known):
            done = list(takewhile(known.__contains__, folds))
            for step in range(told, len(done)):
                if not math.isnan(mean := float(np.nanmean([known[k] for k in done[: step + 1]]))):
                    trial.report(mean, step)
            told = len(done)
            if changes and told < len(folds) and trial.should_prune():
                raise TrialPruned
        if math.isnan(value := float(np.nanmean([known[k] for k in folds]))):
            raise KglError("no fold can be scored.")
        return value

    def _folds(self, trial: "Trial", experiment: Experiment, known: dict[str, float]) -> Iterator[None]:
        """Train the folds that are not known, and keep each score in the storage as it comes."""
        base = self._folder(trial.study) / short_hash(repr(trial.user_attrs["changes"]))
        seed = experiment.seeds[0] if self.seed is None else self.seed
        unknown = [k for k in self.session.folds.numbers if str(k) not in known]
        tasks = [Task(k, seed, base / "folds" / str(k) / f"seed-{seed}") for k in unknown]
        yield  # what is known may be enough
        if tasks:
            rows = self._rows(experiment)
            workers = self.workers or experiment.at_once()
            shared = plan(len(tasks), len(rows.train), workers=workers)
            for task in run_tasks(experiment, rows, tasks, shared, forced=workers is not None):
                inside = rows.fold_of == task.fold
                predictions, _ = read_arrays(task)
                if self.seed is not None:
                    np.save(self.kept(trial.study, trial.user_attrs["changes"], task.fold), predictions)
                known[str(task.fold)] = score(self.metric, rows.target, rows.y[inside], predictions)
                trial.set_user_attr("folds", known)
                yield
        shutil.rmtree(base, ignore_errors=True)

    def _rows(self, experiment: Experiment) -> Rows:
        """Prepared rows, kept for trials that change the model alone; of the test only one is predicted."""
        free = {"params": None} if experiment.kind == "tabular" else {}
        key = repr({**config_of(experiment), **free})
        if key not in self.rows:
            with contextlib.redirect_stdout(sys.stderr):  # the answer stands alone on standard output
                rows = gather_rows(self.session, experiment)
            self.rows = {key: replace(rows, test=rows.test.iloc[:1])}
        return self.rows[key]

    def kept(self, study: "Study", changes: Changes, fold: int) -> Path:
        """The predictions of a fresh fold, for the verdict."""
        folder = self.session.workspace.cache / "tune" / "fresh" / study.study_name
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{short_hash(repr(changes))}-{fold}.npy"

    def _folder(self, study: "Study") -> Path:
        """What is being trained, models included; it goes with the trial."""
        return self.session.workspace.cache / "tune" / study.study_name


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's own lines, and its notes that heartbeats may change some day."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    with warnings.catch_warnings():
        for category in (optuna.exceptions.ExperimentalWarning, FutureWarning, UserWarning):
            warnings.simplefilter("ignore", category)
        yield


def open_storage(url: str) -> "RDBStorage":
    """Where trials are kept, and taken by one process each."""
    import optuna
    from sqlalchemy import event

    local = url.startswith("sqlite")
    storage = optuna.storages.RDBStorage(
        url,
        engine_kwargs={"connect_args": {"timeout": 120}} if local else {},
        heartbeat_interval=HEARTBEAT,
        grace_period=GRACE,
        failed_trial_callback=_retry,
    )
    if local:  # SQLite has no SELECT FOR UPDATE, by which a trial is taken: transactions lock the file as they begin
        storage.engine.dispose()
        event.listen(storage.engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
        event.listen(storage.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return storage


def _open_study(trials: _Trials, url: str, queue: Sequence[Changes]) -> "Study":
    """The search over this experiment on these data and folds, so far as it has come; `queue` is tried first."""
    import optuna

    session, name = trials.session, trials.name
    config = {**config_of(trials.experiment), "metric": trials.metric.name, "seed": trials.seed}
    made_of = identity(session.workspace, name, config, data=session.data_hash, folds=session.folds.hash())
    try:
        with filelock.FileLock(trials.lock):  # tables are made once, and the queue too
            study = optuna.create_study(
                study_name=f"{name}-{short_hash(repr(made_of))}",
                storage=open_storage(url or f"sqlite:///{trials.lock.with_suffix('.db').as_posix()}"),
                pruner=optuna.pruners.MedianPruner() if trials.seed is None else optuna.pruners.NopPruner(),
                direction="maximize" if trials.metric.greater_is_better else "minimize",
                load_if_exists=True,
            )
            there = [t.user_attrs.get("changes") for t in study.trials if t.state.name != "FAIL"]
            for changes in queue:
                if changes not in there:
                    study.enqueue_trial({}, user_attrs={"changes": changes})
            return study
    except Exception as error:
        raise KglError(f"the storage of trials: {type(error).__name__}: {reason(error)}.") from error


def _retry(study: "Study", trial: "FrozenTrial") -> None:
    """Put a trial that was broken off back into the queue; its finished folds are found by its settings."""
    from optuna.trial import TrialState, create_trial

    kept: dict[str, Any] = {"params": trial.params, "distributions": trial.distributions}
    study.add_trial(create_trial(state=TrialState.WAITING, user_attrs=trial.user_attrs, **kept))


def _tried(study: "Study", metric: Metric) -> list[Tried]:
    """All trials that came to an end, best first; equal settings once."""
    found: dict[str, Tried] = {}
    for trial in study.trials:
        changes, state = trial.user_attrs.get("changes"), trial.state.name
        if changes is not None and state in ("COMPLETE", "PRUNED"):
            found.setdefault(repr(changes), Tried(trial.number, changes, trial.value if state == "COMPLETE" else None))
    return sorted(found.values(), key=lambda one: math.inf if one.score is None else metric.gain(0, one.score))


def _judged(one: Tried, again: _Trials, study: "Study", *, of: int) -> Tried:
    """The trial with its score on fresh folds, and how it stands there to the experiment as it is."""
    folds = {repr(t.user_attrs.get("changes")): t.user_attrs.get("folds", {}) for t in study.trials}
    mine, first = folds[repr(one.changes)], folds["{}"]
    if mine.keys() != first.keys():  # it failed there
        return one
    gains = [gain for k, value in mine.items() if not math.isnan(gain := again.metric.gain(value, first[k]))]
    p = luck(gains, of, _row_error(again, study, one.changes))
    return replace(one, fresh_score=float(np.nanmean(list(mine.values()))), gain=float(np.mean(gains)), p=p)


def luck(gains: Sequence[float], of: int, rows: float | None = None) -> float:
    """The chance that the luckiest of so many gains like this over folds; see `kgl.verdicts.judge`."""
    return min(1.0, of * judge(gains, rows=rows)[1])


def _row_error(again: _Trials, study: "Study", changes: Changes) -> float | None:
    """What the rows say of the gain, see `kgl.verdicts.rows_of`; None where another machine has predicted some."""
    session, draws = again.session, []
    data, fold_of, scheme = session.data, session.fold_of, session.folds.scheme
    groups = find_groups(data, data.competition.folds, scheme) if scheme != "time" else None
    groups, inside = np.arange(len(fold_of)) if groups is None else groups, fold_of >= 0
    for one in (changes, {}):
        oof = np.full((len(data.y), len(data.target.columns)), np.nan)
        for k in session.folds.numbers:
            if not (file := again.kept(study, one, k)).is_file():
                return None
            oof[fold_of == k] = np.load(file)
        y, known = data.y[inside], oof[inside]
        scorer = partial(_score_rows, again.metric, data.target, y, known)
        draws.append(draw_scores(scorer, fold_of[inside], groups[inside]))
    found = rows_of(*draws)
    return found.error if found else None


def _score_rows(metric: Metric, target: Target, y: Any, predictions: Any, rows: Any) -> float:
    return score(metric, target, y[rows], predictions[rows])


def _importance(study: "Study") -> dict[str, float]:
    """The share of each setting in how scores differ (fANOVA); empty where trials are too few."""
    import optuna

    alone = optuna.create_study(direction=study.direction)
    alone.add_trials([t for t in study.trials if t.state.name == "COMPLETE" and t.params])
    with contextlib.suppress(ValueError, RuntimeError):
        evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=32, seed=0)
        return dict(optuna.importance.get_param_importances(alone, evaluator=evaluator))
    return {}


def _train_best(session: Session, name: str, finalists: list[Tried], trials: int, workers: int | None) -> Run:
    """The run of the finalist that is better by more than noise, its parent the experiment as it is; else that one."""
    as_is = _train(session, name, {}, Options(workers=workers))
    best = max((one for one in finalists if one.is_better), key=lambda one: one.gain or 0, default=None)
    if best is None:
        return as_is
    known = f"{show(best.score)} on the folds that chose it, {best.gain:+.5f} on fresh ones (p {best.p:.3f})"
    note = f"tuned: the best of {trials} trials, {known}"
    return _train(session, name, best.changes, Options(note=note, parent=as_is.run, workers=workers))


def _train(session: Session, name: str, changes: Changes, options: Options) -> Run:
    """As `kgl train` does; run.json keeps that command, and not the address of a database."""
    typed, sys.argv[1:] = sys.argv[1:], ["train", name, *(f"{key}={value}" for key, value in changes.items())]
    try:
        return train(session, name, changes, options=options)
    finally:
        sys.argv[1:] = typed
