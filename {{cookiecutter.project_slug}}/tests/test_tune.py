"""kgl tune: shared, resumed, and not taken in by luck."""

import importlib.util
import json
import math
import os
import signal
import threading
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from numpy.typing import NDArray

from kgl import tune, tune_storage
from kgl.config import literal
from kgl.crossval import Options
from kgl.runs import list_runs, read_run
from kgl.session import open_session
from kgl.tabular import Tabular
from kgl.tabular.catalogue import CATALOGUE, check_model
from kgl.tabular.spaces import SPACES, default_space
from kgl.tune import suggest
from kgl.tune_storage import open_study
from kgl.tune_trials import as_typed
from kgl.tune_verdict import Tried, luck
from kgl.verdicts import RISK
from tests.conftest import Tiny

LOGGED = '''
import os
import time
from pathlib import Path

from sklearn.linear_model import LogisticRegression

from kgl.errors import KglError
from kgl.tabular import Tabular


class Logged(LogisticRegression):
    """Writes down what it learnt and where; can be told to be wrong, slow, or to fail."""

    def __init__(self, C=1.0, wrong=False):
        super().__init__(C=C)
        self.wrong = wrong

    def fit(self, X, y):
        time.sleep(float(os.environ.get("SLOW", "0")))
        if self.C > 1000:
            raise ValueError("C is too large")
        with Path("fits.txt").open("a") as file:
            file.write(f"{self.C} {(X[:, 0] ** 3).sum():.6f} {os.getpid()}\\n")
        return super().fit(X, 1 - y if self.wrong else y)


experiment = Tabular(model=Logged(wrong=WRONG), columns=("size", "gaps"))


def space(trial):
    return SPACE
'''
ANY_C = '{"params.C": trial.suggest_float("C", 0.01, 100, log=True)}'


def write(tiny: Tiny, space: str, *, wrong: bool = False) -> None:
    tiny.write("experiments/logged.py", LOGGED.replace("SPACE", space).replace("WRONG", str(wrong)))


def fits(tiny: Tiny) -> list[list[str]]:
    """(C, training rows, process) of each model that was trained."""
    file = tiny.root / "fits.txt"
    return [line.split() for line in file.read_text().splitlines()] if file.is_file() else []


def repeated(tiny: Tiny) -> list[tuple[str, str]]:
    """What was trained twice, but for the experiment as it is, which becomes a run."""
    count = Counter((c, rows) for c, rows, _ in fits(tiny) if c != "1.0")
    return [what for what, times in count.items() if times > 1]


def study_of(tiny: Tiny, name: str = "logged") -> optuna.Study:
    storage = f"sqlite:///{(tiny.root / f'runs/tune/{name}.db').as_posix()}"
    return optuna.load_study(study_name=None, storage=storage)  # there is one


def test_a_setting_that_is_better_becomes_a_run_with_the_experiment_as_it_is_for_its_parent(tiny: Tiny) -> None:
    write(tiny, '{"params.wrong": trial.suggest_categorical("wrong", [True, False])}', wrong=True)
    result = tiny.kgl("tune", "logged", "--trials", "5")
    assert (result.status, result.name) == (0, "logged-002"), result.err
    run = read_run(tiny.workspace, "logged-002")
    assert (run.parent, run.config["params"]) == ("logged-001", {"wrong": False})
    assert run.command == "kgl train logged params.wrong=False"
    assert run.note.startswith("tuned: the best of 3 trials, 0.8"), "those with equal settings count once"
    assert " on the folds that chose it, +0." in run.note
    assert tiny.kgl("train", "logged", "params.wrong=False").name == "logged-002", "the training is an ordinary one"
    assert len(fits(tiny)) == (3 + 3 + 2) * 3, "three on the folds, the same on fresh folds, and two runs"


def test_luck_is_not_taken_for_a_gain_and_leaves_nothing_behind(tiny: Tiny) -> None:
    write(tiny, ANY_C)
    result = tiny.kgl("tune", "logged", "--trials", "4")
    assert (result.status, result.name) == (0, "logged-001"), result.err
    assert "No trial is better by more than noise" in result.out
    assert [run.run for run in list_runs(tiny.workspace)] == ["logged-001"]
    assert sorted(p.name for p in (tiny.root / "runs").iterdir() if p.is_dir()) == ["logged-001", "tune"]
    kept = [path.suffix for path in (tiny.root / "data/cache/tune").rglob("*") if path.is_file()]
    assert kept == [".npy"] * 12, "predictions of four settings on three fresh folds, but no models"


def test_the_same_again_trains_nothing_and_more_trials_are_added(tiny: Tiny) -> None:
    write(tiny, ANY_C)
    first = tiny.kgl("tune", "logged", "--trials", "2", "--json")
    before = fits(tiny)
    assert json.loads(tiny.kgl("tune", "logged", "--trials", "2", "--json").out) == json.loads(first.out)
    assert fits(tiny) == before
    tiny.kgl("tune", "logged", "--trials", "3")
    assert [trial.number for trial in study_of(tiny).trials] == [0, 1, 2]
    assert not repeated(tiny)


def test_trials_are_scored_as_runs_are(tiny: Tiny) -> None:
    answer = json.loads(tiny.kgl("tune", "logistic", "--trials", "4", "--json").out)
    [as_it_is] = [tried for tried in answer["trials"] if not tried["changes"]]
    assert as_it_is["number"] == 0
    assert as_it_is["score"] == pytest.approx(read_run(tiny.workspace, "logistic-001").cv_score)
    tried = max((t for t in answer["trials"] if t["changes"]), key=lambda t: t["score"] or 0)
    run = tiny.kgl("train", "logistic", *(f"{key}={value}" for key, value in tried["changes"].items())).name
    assert read_run(tiny.workspace, run).cv_score == pytest.approx(tried["score"])


def test_a_trial_that_fails_is_told_and_not_the_end(tiny: Tiny) -> None:
    write(tiny, '{"params.C": [1e4, 2.0][trial.number % 2]}')
    result = tiny.kgl("tune", "logged", "--trials", "3")
    assert result.status == 0, result.err
    assert "trial 2  failed: fold 0, seed 0: ValueError: C is too large" in result.err


def test_a_space_with_a_wrong_key_is_refused(tiny: Tiny) -> None:
    write(tiny, '{"params.c": 1.0}')
    result = tiny.kgl("tune", "logged")
    assert result.status == 2
    assert "logged, trial 1: params of Logged: unknown key 'c'. Did you mean 'C'?" in result.err


def test_a_model_without_a_space_asks_for_one(tiny: Tiny) -> None:
    result = tiny.kgl("tune", "constant")
    assert result.status == 2
    assert "experiments/constant.py: its model has no known space; add space = {" in result.err


def test_ctrl_c_keeps_finished_folds_and_says_how_to_go_on(tiny: Tiny) -> None:
    write(tiny, ANY_C)
    tiny.replace("experiments/logged.py", "        with Path", "        interrupt()\n        with Path")
    stop = "def interrupt():\n    if Path('fits.txt').is_file() and not Path('go').exists()"
    stop += (
        " and len(Path('fits.txt').read_text().splitlines()) == 5:\n        raise KeyboardInterrupt\n\n\nclass Logged"
    )
    tiny.replace("experiments/logged.py", "class Logged", stop)
    result = tiny.kgl("tune", "logged", "--trials", "3")
    assert result.status == 130
    assert "Stopped: 1 of 3 trials are kept; the same command goes on." in result.err
    tiny.write("go", "")
    assert tiny.kgl("tune", "logged", "--trials", "3").status == 0
    assert not repeated(tiny)


def wait_for(condition: Any, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_killed_and_started_again_no_finished_fold_is_trained_again(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tiny, ANY_C)
    monkeypatch.setenv("SLOW", "0.2")
    process = tiny.start("tune", "logged", "--trials", "3")

    def is_inside_a_trial() -> bool:
        if len(fits(tiny)) < 4:
            return False
        running = [t for t in study_of(tiny).trials if t.state.name == "RUNNING" and t.number]
        return any(len(t.user_attrs.get("folds", ())) == 2 for t in running)

    wait_for(is_inside_a_trial)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    monkeypatch.setenv("SLOW", "0")
    for patience in ("HEARTBEAT", "GRACE"):
        monkeypatch.setattr(tune_storage, patience, 1)
    result = tiny.kgl("tune", "logged", "--trials", "3")
    assert result.status == 0, result.err
    states = Counter(trial.state.name for trial in study_of(tiny).trials)
    assert (states["FAIL"], states["COMPLETE"]) == (1, 3), states
    assert len(repeated(tiny)) <= 1, "none of the two that were finished; perhaps the third, in that moment"


def test_two_processes_on_one_storage_share_the_trials_and_end_with_the_same_run(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tiny, ANY_C)
    monkeypatch.setenv("SLOW", "0.15")
    processes = [tiny.start("tune", "logged", "--trials", "6") for _ in range(2)]
    ends = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    assert {out.splitlines()[-1] for out, _ in ends} == {"logged-001"}, ends
    assert len({process for _, _, process in fits(tiny)}) == 2, "both have trained"
    assert not repeated(tiny)
    finished = [t for t in study_of(tiny).trials if t.state.name in ("COMPLETE", "PRUNED")]
    assert 6 <= len(finished) <= 7  # both may begin the last one


def test_a_trial_is_given_to_one_that_asks(tmp_path: Path) -> None:
    """Optuna alone gives one of four to two at once on SQLite."""
    url, given = f"sqlite:///{(tmp_path / 'trials.db').as_posix()}", []
    with warnings.catch_warnings(action="ignore"):
        first = optuna.create_study(study_name="a", storage=tune_storage.open_storage(url))
        for _ in range(20):
            first.enqueue_trial({}, user_attrs={"queued": True})

        def ask() -> None:
            study = optuna.load_study(study_name="a", storage=tune_storage.open_storage(url))
            while "queued" in (trial := study.ask()).user_attrs:
                given.append(trial.number)

        askers = [threading.Thread(target=ask) for _ in range(3)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
    assert sorted(given) == list(range(20))


def test_a_search_repeats_itself(tiny: Tiny) -> None:
    answers = []
    for storage in ("a", "b"):
        url = f"sqlite:///{(tiny.root / storage).as_posix()}.db"
        answers.append(tiny.kgl("tune", "logistic", "--trials", "3", "--storage", url, "--json").out)
    assert answers[0] == answers[1]
    assert "sqlite" not in (tiny.root / "runs/logistic-001/run.json").read_text(encoding="utf-8")


def test_a_storage_that_is_not_there_is_told_without_its_password(tiny: Tiny) -> None:
    result = tiny.kgl("tune", "logistic", "--storage", "nothing://me:secret@here/db")
    assert result.status == 1
    assert "the storage of trials" in result.err
    assert "secret" not in result.err


def test_the_best_of_thirty_useless_columns_is_hardly_ever_called_better() -> None:
    """Chance likeness of a column to the labels is the same on fresh folds: the rows are. So p counts the finalists."""
    rng, called = np.random.default_rng(0), 0
    for _ in range(60):
        X, useless, folds = rng.normal(size=(300, 3)), rng.normal(size=(300, 30)), np.arange(300) % 5
        y = (X @ [0.8, 0.5, 0.3] + rng.logistic(size=300) > 0).astype(float)
        tables = [np.column_stack([np.ones(300), X, *column]) for column in [(), *([c] for c in useless.T)]]
        chosen, fresh = (
            np.array([[accuracy(table, y, split != k) for k in range(5)] for table in tables])
            for split in (rng.permutation(folds), rng.permutation(folds))
        )
        first = np.argsort(-chosen[1:].mean(axis=1))[:3] + 1
        gains = [(fresh[i] - fresh[0]).tolist() for i in first]
        called += any(np.mean(gain) > 0 and luck(gain, of=3) <= RISK for gain in gains)
    assert called <= 3  # 5 %


@pytest.mark.parametrize(
    ("changes", "gain", "p", "word"),
    [
        ({}, 0.0, 1.0, "as it is"),
        ({"a": "1"}, 0.1, 0.013, "better"),
        ({"a": "1"}, -0.0387, 0.013, "worse"),
        ({"a": "1"}, -0.1, 0.2, "noise"),
        ({"a": "1"}, None, None, "noise"),
    ],
)
def test_a_clear_loss_is_called_worse(changes: dict[str, str], gain: float | None, p: float | None, word: str) -> None:
    assert Tried(1, changes, 0.5, 0.5, gain, p).word == word


def test_of_a_single_fold_with_a_score_nothing_is_known() -> None:
    assert luck([0.1], of=3) == luck([], of=1) == 1.0


def accuracy(table: NDArray[Any], y: NDArray[Any], train: NDArray[Any]) -> float:
    """Of least squares on some rows, on the others."""
    weights = np.linalg.lstsq(table[train], y[train], rcond=None)[0]
    return float(((table[~train] @ weights > 0.5) == y[~train]).mean())


def test_ranges_are_drawn_as_their_ends_say() -> None:
    trial = optuna.create_study().ask()
    values = suggest(trial, {"whole": (1, 4), "wide": (0.1, 10.0), "narrow": (0.5, 1.0), "one": ["a", "b"], "as": 3})
    assert isinstance(values["whole"], int)
    assert (trial.distributions["wide"].log, trial.distributions["narrow"].log) == (True, False)  # type: ignore[attr-defined]
    assert values["one"] in ("a", "b")
    assert values["as"] == 3
    assert as_typed({"a": 0.123456, "b": "text", "c": None, "d": (64,)}) == {
        "a": "0.1235", "b": "text", "c": "None", "d": "(64,)"
    }  # fmt: skip


@pytest.mark.parametrize("model", [name for name in SPACES if CATALOGUE[name.split()[0]].is_installed])
def test_every_setting_of_a_default_space_is_one_of_its_model(tiny: Tiny, model: str) -> None:
    name, _, of_values = model.partition(" of ")
    labels = not of_values and bool(CATALOGUE[name].classifier)
    if not labels:
        tiny.replace("competition.toml", 'task = "binary"\nmetric = "accuracy"', 'task = "regression"\nmetric = "rmse"')
    target = open_session(tiny.workspace, say=lambda line: None).data.target
    space = default_space(Tabular(model=name), target)
    typed = as_typed(suggest(optuna.create_study().ask(), space))
    assert typed
    params = {key.removeprefix("params."): literal(value) for key, value in typed.items()}
    check_model(name, params, classification=labels)


def test_minutes_end_the_search_but_not_what_follows(tiny: Tiny) -> None:
    session = open_session(tiny.workspace, say=lambda line: None)
    outcome = tune.tune(session, "logistic", Options(), trials=500, minutes=0.02)
    assert 0 < len(outcome.trials) < 500
    assert math.isfinite(outcome.run.cv_score or math.nan)


@pytest.mark.skipif(bool(importlib.util.find_spec("oracledb")), reason="its driver is installed")
def test_a_database_whose_driver_is_absent_is_named_with_what_to_add(tiny: Tiny) -> None:
    result = tiny.kgl("tune", "logistic", "--storage", "oracle+oracledb://someone:s3cret@nowhere/trials")
    assert result.status == 1 and "No module named 'oracledb'; add what talks to that database" in result.err
    assert "s3cret" not in result.err


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_folder_may_have_signs_of_an_address_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "per%20cent #?&"
    folder.mkdir()
    open_study("s", "", folder / "s.lock", maximize=True)
    assert (folder / "s.db").is_file()
