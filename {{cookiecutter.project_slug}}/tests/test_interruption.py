"""Killed, stopped, out of disk or run twice at once: what was finished is kept, and the same command ends alike."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kgl.experiment import load_experiment
from kgl.fold_task import Task, gather_rows, read_arrays, run_task
from kgl.session import open_session
from kgl.tabular.catalogue import CATALOGUE
from tests.conftest import ENGINE, Tiny

SLOW = '''
import time

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.preprocessing import TargetEncoder
from sklearn.ensemble import ExtraTreesClassifier

from kgl.tabular import Tabular


class Slow(ExtraTreesClassifier):
    """Takes its time, and chances of its own."""

    def fit(self, X, y):
        time.sleep(0.2)
        return super().fit(X + np.random.normal(size=X.shape), y)


experiment = Tabular(
    model=Slow(n_estimators=20), columns=("size", "gaps", "letter"), features=(TargetEncoder(),), seeds=(0, 1)
)
'''
LARGE_AT_LAST = '''
import os

import numpy as np
from sklearn.linear_model import LogisticRegression

from kgl.tabular import Tabular


class LargeAtLast(LogisticRegression):
    """The second model that a process trains is large."""

    trained = 0

    def fit(self, X, y):
        type(self).trained += 1
        if type(self).trained > 1:
            self.ballast_ = np.frombuffer(np.random.default_rng(0).bytes(2_000_000), dtype=np.uint8)
        return super().fit(X, y)


experiment = Tabular(model=LargeAtLast())
'''
posix = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX systems")


def start(tiny: Tiny, *arguments: str) -> subprocess.Popen[str]:
    """A command in a process group of its own, as a shell starts it."""
    env = {**os.environ, "PYTHONPATH": str(ENGINE), "PYTHONDONTWRITEBYTECODE": "1"}
    command, pipe = [sys.executable, "-m", "kgl", *arguments], subprocess.PIPE
    return subprocess.Popen(
        command, cwd=tiny.root, env=env, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )


def assert_same_predictions(tiny: Tiny, one: str, other: str) -> None:
    """Two runs predict alike, to the bit."""
    for part in ("oof", "test"):
        mine, theirs = (pd.read_parquet(tiny.root / f"runs/{run}/{part}.parquet") for run in (one, other))
        pd.testing.assert_frame_equal(mine, theirs, check_exact=True)


def assert_nothing_is_half_written(run: Path) -> None:
    """Everything under a name that is ever read is whole."""
    if (run / "run.json").exists():
        assert json.loads((run / "run.json").read_text())["run"] == run.name
    for folder in run.glob("folds/*/seed-*"):
        names = {path.name for path in folder.iterdir()}
        assert {"scores.json", "predictions.npz", "log.txt", "columns.joblib"} <= names
        with np.load(folder / "predictions.npz") as arrays:
            assert np.isfinite(arrays["valid"]).all()
    for path in run.glob("*.parquet"):
        pd.read_parquet(path)


def finished(run: Path) -> int:
    """How many models of a run are kept."""
    return len(list(run.glob("folds/*/seed-*")))


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 60) -> None:
    """Wait until a condition holds while a process is at work."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.02)


@posix
@pytest.mark.parametrize(
    ("workers", "signals"),
    [("1", [signal.SIGKILL, signal.SIGKILL]), ("2", [signal.SIGKILL, signal.SIGINT])],
)
def test_stopped_at_random_moments_it_ends_in_the_same_predictions(
    tiny: Tiny, workers: str, signals: list[signal.Signals]
) -> None:
    tiny.write("experiments/slow.py", SLOW)
    chance, run = random.Random(int(workers)), tiny.root / "runs/slow-001"
    for how in signals:
        done = finished(run)
        with start(tiny, "train", "slow", "--workers", workers) as process:
            wait_for(lambda: finished(run) > done, process)  # noqa: B023 - called at once
            time.sleep(chance.random() * 0.2)
            os.killpg(process.pid, how)
            out, err = process.communicate(timeout=60)
        assert process.returncode == (130 if how == signal.SIGINT else -how), err
        assert out == "" and "Traceback" not in err
        assert_nothing_is_half_written(run)
    resumed = tiny.kgl("train", "slow")
    assert (resumed.status, resumed.name) == (0, "slow-001")
    assert not list(run.glob("folds/*/.*")) and not list(run.glob(".*.tmp"))  # what the killed ones had begun
    assert_same_predictions(tiny, "slow-001", tiny.kgl("train", "slow", "--again").name)


@posix
def test_ctrl_c_says_what_is_kept_and_the_same_command_goes_on(tiny: Tiny) -> None:
    tiny.write("experiments/slow.py", SLOW)
    with start(tiny, "train", "slow") as process:
        wait_for(lambda: finished(tiny.root / "runs/slow-001") > 0, process)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    kept = finished(tiny.root / "runs/slow-001")
    assert (process.returncode, out) == (130, "")
    assert f"\nStopped: {kept} of 6 models of slow-001 are kept; the same command continues.\n" in err
    resumed = tiny.kgl("train", "slow")
    assert (resumed.status, resumed.name, resumed.err.count("fold ")) == (0, "slow-001", 6 - kept)


@posix
def test_ctrl_c_while_workers_start_is_no_traceback(tiny: Tiny) -> None:
    tiny.write("experiments/slow.py", SLOW)
    with start(tiny, "train", "slow", "--workers", "2") as process:
        wait_for((tiny.root / "runs/slow-001/run.json").exists, process)
        time.sleep(0.8)  # they import what they need
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, "Traceback" in err) == (130, "", False), err
    assert "Stopped: 0 of 6 models" in err or "Stopped: 1 of 6 models" in err


@posix
def test_a_second_process_says_who_trains_the_same_experiment(tiny: Tiny) -> None:
    tiny.write("experiments/slow.py", SLOW)
    with start(tiny, "train", "slow") as first:
        wait_for((tiny.root / "runs/slow-001/.owner").exists, first)
        second = tiny.kgl("train", "slow")
        other = tiny.kgl("train", "constant")
        assert first.communicate(timeout=60)[0].endswith("slow-001\n")
    assert second.status == 1 and second.out == ""
    assert second.err.startswith(f"kgl train: slow-001 is held by process {first.pid} on ")
    assert other.status == 0  # another experiment may be trained meanwhile
    assert tiny.kgl("train", "slow").err.startswith("slow-001 is this very experiment, complete since ")


CATALOGUE_TEXT = """
from kgl.tabular import Tabular

experiment = Tabular(model="{model}", params={params}, drop=("family",))
"""
FEW_TREES = {
    "random_forest": {"n_estimators": 30},
    "extra_trees": {"n_estimators": 30},
    "hist_gradient_boosting": {"max_iter": 3},
    "lightgbm": {"early_stopping_rounds": 3},
    "lightgbm_encoded": {"n_estimators": 3},
    "xgboost": {"n_estimators": 3},
    "catboost": {"early_stopping_rounds": 3},
    "mlp": {"estimator__max_iter": 3},
}
CLASSIFIERS = [name for name, recipe in CATALOGUE.items() if recipe.classifier and recipe.is_installed]


def test_worker_processes_give_the_same_bits(tiny: Tiny) -> None:
    names = [f"{model}_" for model in CLASSIFIERS]
    for model in CLASSIFIERS:
        text = CATALOGUE_TEXT.format(model=model, params=FEW_TREES.get(model, {}))
        tiny.write(f"experiments/{model}_.py", text)
    assert tiny.kgl("train", *names).status == 0
    beside = tiny.kgl_process("train", *names, "--workers", "2", "--again")
    assert beside.status == 0, beside.err
    for name in names:
        assert_same_predictions(tiny, f"{name}-001", f"{name}-002")


@pytest.mark.parametrize("model", CLASSIFIERS)
def test_threads_inside_a_model_give_the_same_bits(tiny: Tiny, model: str) -> None:
    text = CATALOGUE_TEXT.format(model=model, params=FEW_TREES.get(model, {}))
    tiny.write("experiments/mine.py", text)
    session = open_session(tiny.workspace, say=lambda line: None)
    experiment = load_experiment(tiny.workspace, "mine")
    rows = gather_rows(session, experiment)
    tasks = [Task(0, 0, tiny.root / f"runs/mine-{threads}/folds/0/seed-0") for threads in (1, 2)]
    for threads, task in enumerate(tasks, 1):
        run_task(experiment, rows, task, threads)
    (one, one_test), (two, two_test) = map(read_arrays, tasks)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one_test, two_test)


@posix
def test_a_full_disk_is_one_sentence_and_finished_folds_are_kept(tiny: Tiny) -> None:
    tiny.write("experiments/large.py", LARGE_AT_LAST)
    code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)); import kgl.__main__"
    code = code.replace("import kgl.__main__", "from kgl.cli.main import main; main(['train', 'large'])")
    env = {**os.environ, "PYTHONPATH": str(ENGINE), "PYTHONDONTWRITEBYTECODE": "1"}
    full = subprocess.run([sys.executable, "-c", code], cwd=tiny.root, env=env, capture_output=True, text=True)
    assert_disk_was_full(tiny, full)
    assert "File too large" in full.stderr


@posix
def test_a_small_disk_that_is_full_is_one_sentence_too(tiny: Tiny) -> None:
    tiny.write("experiments/large.py", LARGE_AT_LAST)
    runs = tiny.root / "runs"
    runs.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(runs)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        env = {**os.environ, "PYTHONPATH": str(ENGINE), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "kgl", "train", "large"]
        full = subprocess.run(command, cwd=tiny.root, env=env, capture_output=True, text=True)
        assert "No space left on device" in full.stderr
        subprocess.run(["mount", "-o", "remount,size=50m", str(runs)], check=True)
        assert_disk_was_full(tiny, full)
    finally:
        subprocess.run(["umount", str(runs)], check=True)


def assert_disk_was_full(tiny: Tiny, full: subprocess.CompletedProcess[str]) -> None:
    """And with space again the same command goes on."""
    assert full.returncode == 1 and full.stdout == ""
    assert full.stderr.splitlines()[-1].endswith("What was finished is kept; the same command goes on.")
    assert "Traceback" not in full.stderr
    folds = sorted(path.parent.name for path in tiny.root.glob("runs/large-001/folds/*/seed-*"))
    assert folds == ["0"]
    result = tiny.kgl("train", "large")
    assert (result.status, result.name) == (0, "large-001")
    assert "fold 0 " not in result.err and "fold 2 " in result.err
    assert json.loads((tiny.root / "runs/large-001/run.json").read_text())["status"] == "complete"
