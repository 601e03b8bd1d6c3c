"""Training over folds and seeds: partial runs and their completion, trials, and what becomes of failures."""

import json
import shutil
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Tiny

FAILING = """
import numpy as np
from sklearn.linear_model import LogisticRegression

from kgl.tabular import Tabular


class Failing(LogisticRegression):
    def {method}(self, X, *y):
        print("so far so good")
        {failure}


experiment = Tabular(model=Failing())
"""


def read(tiny: Tiny, run: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((tiny.root / "runs" / run / "run.json").read_text())
    return values


def test_some_folds_are_a_partial_run_that_the_full_command_completes(tiny: Tiny) -> None:
    first = tiny.kgl("train", "logistic", "folds=1")
    assert (first.status, first.name) == (0, "logistic-001")
    assert first.out.startswith("logistic-001           CV 0.") and ", 1 of 3 folds" in first.out
    run = read(tiny, "logistic-001")
    assert run["status"] == "partial" and [score is None for score in run["fold_scores"]] == [True, False, True]
    assert run["cv_score"] == run["fold_scores"][1] and run["cv_std"] is None
    oof = pd.read_parquet(tiny.root / "runs/logistic-001/oof.parquet")
    assert set(oof["fold"]) == {1} and not (tiny.root / "runs/logistic-001/test.parquet").exists()
    for command in (
        ["blend"],
        ["blend", "logistic-001"],
        ["predict", "logistic-001"],
        ["submit", "--dry-run", "logistic-001"],
    ):
        assert tiny.kgl(*command).status == 1
    for left in ("folds/2/.seed-0.x/log.txt", ".oof.parquet.x.tmp"):  # as a killed process leaves it
        tiny.write(f"runs/logistic-001/{left}", "half wri")
    second = tiny.kgl("train", "logistic")
    assert not list((tiny.root / "runs/logistic-001").rglob(".*.x*"))
    assert second.name == "logistic-001" and "fold 1 " not in second.err and "fold 2 " in second.err
    completed = read(tiny, "logistic-001")
    assert completed["status"] == "complete" and completed["fold_scores"][1] == run["fold_scores"][1]
    at_once = tiny.kgl("train", "logistic", "--again")
    for part in ("oof", "test"):
        pieces, whole = (
            pd.read_parquet(tiny.root / f"runs/{r}/{part}.parquet") for r in ("logistic-001", at_once.name)
        )
        pd.testing.assert_frame_equal(pieces, whole, check_exact=True)


def test_folds_that_are_not_there_or_not_numbers_are_refused(tiny: Tiny) -> None:
    assert "folds=3: there are folds 0, 1, 2." in (wrong := tiny.kgl("train", "logistic", "folds=3")).err
    assert "folds: expected a whole number, got 'a'" in (text := tiny.kgl("train", "logistic", "folds=a")).err
    assert wrong.status == text.status == 2
    assert tiny.kgl("train", "logistic", "folds=0,0").err.count("fold 0 ") == 1


def test_more_workers_than_cores_are_refused_before_a_run_begins(tiny: Tiny) -> None:
    result = tiny.kgl("train", "logistic", "--workers", "1000")
    assert result.status == 2 and "--workers 1000: expected 1 to " in result.err
    assert not list(tiny.root.glob("runs/*"))


def test_a_trial_is_quick_and_never_ranked(tiny: Tiny) -> None:
    rows = pd.concat([tiny.frame("train.csv")] * 20, ignore_index=True).assign(
        id=lambda r: [f"{i:05d}" for i in r.index]
    )
    tiny.save("train.csv", rows)
    tiny.write("experiments/boosted.py", "from kgl.tabular import Tabular\n\nexperiment = Tabular(seeds=(0, 1))\n")
    result = tiny.kgl("train", "boosted", "--quick")
    assert (result.status, result.name) == (0, "boosted-001") and result.err.count("fold ") == 1
    run = read(tiny, "boosted-001")
    assert run["status"] == "partial" and run["config"]["quick"] is True and run["cv_score"] is None
    assert run["seeds"] == [0] and len(run["fold_scores"]) == 1
    assert len(np.load(tiny.root / "runs/boosted-001/folds/0/seed-0/predictions.npz")["valid"]) == 200
    assert not (tiny.root / "runs/boosted-001/oof.parquet").exists()
    board = tiny.kgl("board")
    assert "boosted-001" in board.out and "1  boosted" not in board.out
    assert tiny.kgl("blend").status == 1
    assert tiny.kgl("train", "boosted", "--quick", "folds=2").err.startswith("fold 2 ")


@pytest.mark.parametrize(
    ("method", "failure", "sentence"),
    [
        ("fit", "raise ValueError('no luck\\ntoday')", "mine: fold 0, seed 0: ValueError: no luck (the whole story: "),
        ("fit", "raise MemoryError", "fold 0, seed 0: MemoryError: MemoryError (the whole story: "),
        (
            "predict_proba",
            "return np.full((len(X), 2), np.nan)",
            "predict_proba of Failing gave (20, 2) from nan to nan",
        ),
        ("predict_proba", "return np.ones((3, 2))", "fold 0, seed 0: predict_proba of Failing gave (3, 2)"),
        ("predict_proba", "return np.ones((len(X), 3))", "fold 0, seed 0: predict_proba of Failing gave (20, 3)"),
    ],
)
def test_a_failing_estimator_is_one_sentence(tiny: Tiny, method: str, failure: str, sentence: str) -> None:
    tiny.write("experiments/mine.py", FAILING.format(method=method, failure=failure))
    result = tiny.kgl("train", "mine")
    assert (result.status, result.out) == (1, "") and sentence in result.err.splitlines()[-1]
    assert "Traceback" not in result.err and read(tiny, "mine-001")["status"] == "failed"
    if "story" in sentence:
        log = (tiny.root / "runs/mine-001/log.txt").read_text()
        assert log.startswith("so far so good\nTraceback") and "raise" in log
    assert tiny.kgl("train", "mine").status == 1  # and it is tried again


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("exit()", "experiments/mine.py raises SystemExit: None. Run with --debug"),
        ("def double(rows): raise SystemExit('enough')", "feature 'double' raises SystemExit: enough."),
        ("class Mine(Mine):\n    def fit(self, X, y): raise SystemExit(3)", "mine: fold 0, seed 0: SystemExit: 3 (the"),
    ],
)
def test_an_exit_in_an_experiment_is_one_sentence(tiny: Tiny, line: str, told: str) -> None:
    double = "def double(rows): return 2 * rows['size'].rename('double')\n"
    base = f"from sklearn.linear_model import LogisticRegression as Mine\nfrom kgl.tabular import Tabular\n{double}"
    tiny.write("experiments/mine.py", f"{base}{line}\nexperiment = Tabular(model=Mine(), features=(double,))\n")
    result = tiny.kgl("train", "mine")
    assert result.status == 1 and told in result.err.splitlines()[-1]


@pytest.mark.parametrize("words", [("params.C", "=", "3"), ("params.C=", "3"), ("params.C", "=3")])
def test_blanks_round_the_sign_are_told(tiny: Tiny, words: tuple[str, ...]) -> None:
    result = tiny.kgl("train", "logistic", *words, "drop=", "seeds=0")
    assert result.status == 2 and "write params.C=3 without blanks" in result.err


def test_seeds_that_change_nothing_are_told(tiny: Tiny) -> None:
    told = "logistic-001: every seed predicts exactly the same: this model has no randomness, one is enough\n"
    assert told in tiny.kgl("train", "logistic", "seeds=4,5").err
    assert "exactly the same" not in tiny.kgl("train", "logistic", "seeds=4").err
    tiny.write("experiments/trees.py", "from kgl.tabular import Tabular\n\nexperiment = Tabular(model='extra_trees')\n")
    assert "exactly the same" not in tiny.kgl("train", "trees", "seeds=4,5", "params.n_estimators=5").err


def test_a_failure_in_a_worker_process_is_the_same_sentence(tiny: Tiny) -> None:
    tiny.write("experiments/mine.py", FAILING.format(method="fit", failure="raise ValueError('no luck')"))
    result = tiny.kgl_process("train", "mine", "--workers", "2")
    assert (result.status, result.out) == (1, "") and "Traceback" not in result.err
    assert ", seed 0: ValueError: no luck (the whole story: runs/mine-001/log.txt)" in result.err.splitlines()[-1]
    assert "Traceback" in (tiny.root / "runs/mine-001/log.txt").read_text()


def test_debug_shows_where_an_error_comes_from(tiny: Tiny) -> None:
    tiny.write("experiments/mine.py", FAILING.format(method="fit", failure="raise ValueError('no luck')"))
    result = tiny.kgl_process("train", "mine", "--debug")
    assert result.status == 1 and "Traceback" in result.err and "no luck" in result.err


def test_what_models_print_and_warn_of_goes_to_the_log(tiny: Tiny) -> None:
    text = "import warnings\nwarnings.warn('look here')\n        return super().fit(X, *y)"
    tiny.write("experiments/mine.py", FAILING.format(method="fit", failure=text.replace("\nwarn", "\n        warn")))
    result = tiny.kgl("train", "mine")
    assert result.status == 0 and "so far" not in result.out + result.err and "look here" not in result.out + result.err
    log = (tiny.root / "runs/mine-001/log.txt").read_text()
    assert log.count("so far so good") == log.count("UserWarning: look here") == 3
    assert log.startswith("fold 0 seed 0: 0.")


def test_a_clone_without_predictions_trains_the_same_run_again(tiny: Tiny) -> None:
    tiny.kgl("train", "logistic")
    before = pd.read_parquet(tiny.root / "runs/logistic-001/oof.parquet")
    for path in (tiny.root / "runs/logistic-001").iterdir():  # what git does not keep
        if path.name != "run.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    missing = tiny.kgl("blend", "logistic-001")
    assert missing.status == 1 and "runs/logistic-001/oof.parquet is missing" in missing.err
    assert tiny.kgl("train", "logistic").name == "logistic-001"
    pd.testing.assert_frame_equal(
        pd.read_parquet(tiny.root / "runs/logistic-001/oof.parquet"), before, check_exact=True
    )


@pytest.mark.parametrize(
    ("stack_on", "status", "sentence"),
    [
        ("logistic-01", 2, "no run 'logistic-01' in runs/. Did you mean 'logistic-001'?"),
        ("constant-001", 1, "stack_on: constant-001 is partial or of other folds"),
    ],
)
def test_a_run_that_cannot_be_stacked_on_is_refused(tiny: Tiny, stack_on: str, status: int, sentence: str) -> None:
    tiny.kgl("train", "logistic")
    tiny.kgl("train", "constant", "folds=0")
    result = tiny.kgl("train", "logistic", f"stack_on={stack_on}")
    assert result.status == status and sentence in result.err


def test_runs_of_other_folds_are_not_stacked_on(tiny: Tiny) -> None:
    tiny.kgl("train", "logistic")
    tiny.replace("competition.toml", "n_splits = 3", "n_splits = 4")
    assert tiny.kgl("folds", "--force").status == 0
    assert tiny.kgl("train", "constant", "stack_on=logistic-001").status == 1


@pytest.mark.parametrize("key", ["drop", "columns"])
def test_a_column_that_is_not_there_is_refused_with_the_nearest(tiny: Tiny, key: str) -> None:
    result = tiny.kgl("train", "logistic", f"{key}=leter")
    assert result.status == 2 and "the rows have no column 'leter'. Did you mean 'letter'?" in result.err


def test_dropped_rows_change_nothing_but_the_rows_dropped(tiny: Tiny) -> None:
    tiny.kgl("train", "constant")
    folds = (tiny.root / "data/folds.parquet").read_bytes()
    tiny.replace("contest.py", "return read_train(), read_test()", "return read_train().iloc[5:], read_test()")
    assert tiny.kgl("train", "constant").name == "constant-002"
    assert (tiny.root / "data/folds.parquet").read_bytes() == folds
    oof = pd.read_parquet(tiny.root / "runs/constant-002/oof.parquet")
    before = pd.read_parquet(tiny.root / "runs/constant-001/oof.parquet")
    pd.testing.assert_frame_equal(oof[["id", "fold"]], before[["id", "fold"]].iloc[5:].reset_index(drop=True))


def test_rows_that_are_no_longer_in_train_are_told(tiny: Tiny) -> None:
    assert tiny.kgl("folds").status == 0
    tiny.save("train.csv", tiny.frame("train.csv").head(45))
    assert "15 of the 60 rows of data/folds.parquet are not in train" in tiny.kgl("train", "logistic").err


def test_a_run_stacked_on_a_rosy_one_is_rosy(tiny: Tiny) -> None:
    tiny.kgl("train", "constant")
    run = read(tiny, "constant-001")
    tiny.write("runs/constant-001/run.json", json.dumps(run | {"config": run["config"] | {"choose": "fold"}}))
    stacked = tiny.kgl("train", "logistic", "stack_on=constant-001")
    assert read(tiny, stacked.name)["config"]["choose"] == "fold"


def test_a_metric_of_another_task_is_refused_before_training(tiny: Tiny) -> None:
    tiny.replace("competition.toml", '"accuracy"', '"rmse"')
    result = tiny.kgl("train", "logistic")
    assert result.status == 2 and "metric rmse takes values, but task binary gives labels" in result.err
    assert not list(tiny.root.glob("runs/*"))


def test_of_several_experiments_the_others_are_trained_where_one_fails(tiny: Tiny) -> None:
    tiny.write("experiments/broken.py", "1 / 0\n")
    result = tiny.kgl("train", "broken", "experiments/logistic.py")
    assert result.status == 1 and "1 of 2 failed: broken" in result.err
    assert read(tiny, "logistic-001")["status"] == "complete"


def test_the_first_run_of_an_experiment_is_told_with_what_was_typed(tiny: Tiny) -> None:
    source = (tiny.root / "experiments" / "logistic.py").read_text(encoding="utf-8")
    tiny.write("experiments/named.py", f'"""A line."""\n{source}')
    tiny.kgl("train", "named", "params.C=0.5")
    assert read(tiny, "named-001")["note"] == "A line, with params.C=0.5"
    assert read(tiny, "named-001")["parent"] == ""
    tiny.kgl("train", "logistic")
    assert read(tiny, "logistic-001")["parent"] == "named-001", "the same model"


PSEUDO = """
import pandas as pd

plain = load


def load():
    train, test = plain()
    return pd.concat([train, test.assign(label=1, external=True, __id__=None)]), test
"""


def test_pseudo_labels_are_told(tiny: Tiny) -> None:
    contest = (tiny.root / "contest.py").read_text(encoding="utf-8")
    tiny.write("contest.py", contest + PSEUDO)
    assert "20 external rows equal rows of test" in tiny.kgl("train", "logistic").err
