"""Where the trials of `kgl tune` are kept, and how processes share them: one takes a trial, and none is lost."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import filelock
import optuna
from optuna import Study, Trial
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import URL, event
from sqlalchemy.exc import SQLAlchemyError

from kgl.errors import KglError, reason
from kgl.session import Say

HEARTBEAT, GRACE = 15, 60  # seconds: a trial whose process has not been heard of for so long is begun anew


def open_storage(url: str) -> RDBStorage:
    """A database of trials, in which a trial is given to one that asks."""
    local = url.startswith("sqlite")
    storage = RDBStorage(
        url,
        engine_kwargs={"connect_args": {"timeout": 120}} if local else {},
        heartbeat_interval=HEARTBEAT,
        grace_period=GRACE,
        failed_trial_callback=retry,
    )
    if local:  # SQLite has no SELECT FOR UPDATE, by which a trial is taken: transactions lock the file as they begin
        storage.engine.dispose()
        event.listen(storage.engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
        event.listen(storage.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return storage


def open_study(name: str, url: str, lock: Path, *, maximize: bool) -> Study:
    """The search of that name, so far as it has come; the experiment as it is, without changes, is its first trial.

    Args:
        name: of the study.
        url: of the database; a file beside `lock` if empty.
        lock: a file; what holds it makes tables and the first trial.
        maximize: whether greater is better.

    Raises:
        KglError: the database cannot be opened (1).
    """
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    file = lock.with_suffix(".db").as_posix()
    try:
        with filelock.FileLock(lock):
            study = _create_study(name, url or URL.create("sqlite", database=file).render_as_string(), maximize)
            if not any(t.user_attrs.get("changes") == {} and t.state.name != "FAIL" for t in study.trials):
                study.enqueue_trial({}, user_attrs={"changes": {}})
            return study
    except ImportError as error:
        driver = "add what talks to that database, such as: uv add 'psycopg[binary]' for postgresql://"
        raise KglError(f"the storage of trials: {reason(error.__cause__ or error)}; {driver}.") from error
    except Exception as error:
        where = "the database" if url else file  # an address may hold a password
        raise KglError(f"the storage of trials, {where}: {type(error).__name__}: {reason(error)}.") from error


def _create_study(name: str, url: str, maximize: bool, tries: int = 3) -> Study:
    try:
        return optuna.create_study(
            study_name=name,
            storage=open_storage(url),
            pruner=optuna.pruners.MedianPruner(),
            direction="maximize" if maximize else "minimize",
            load_if_exists=True,
        )
    except SQLAlchemyError:  # another machine makes the tables at this very moment
        if tries == 1:
            raise
        time.sleep(1)
        return _create_study(name, url, maximize, tries - 1)


def share(study: Study, objective: Callable[[Trial], float], *, wanted: int, until: float, say: Say) -> None:
    """Take trials until so many are finished, here or elsewhere, or time is over; wait for those that others are at."""
    told = False
    while True:
        count = Counter(trial.state.name for trial in study.get_trials(deepcopy=False))
        begun = count["COMPLETE"] + count["PRUNED"] + count["RUNNING"]
        if begun < wanted and time.monotonic() < until:
            with contextlib.suppress(UpdateFinishedTrialError):  # this machine slept, and another process took it over
                study.optimize(objective, n_trials=1)
        elif count["RUNNING"]:
            if not told:
                say(f"waiting for {count['RUNNING']} trials of other processes, or to take them over")
            told = True
            time.sleep(1)
            fail_stale_trials(study)
        else:
            return


def retry(study: Study, trial: Trial | FrozenTrial) -> None:
    """Put a trial that was broken off back into the queue; its finished folds are found by its settings."""
    drawn, known = trial.distributions, trial.user_attrs
    study.add_trial(create_trial(state=TrialState.WAITING, params=trial.params, distributions=drawn, user_attrs=known))
