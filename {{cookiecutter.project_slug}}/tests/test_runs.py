"""Runs: numbered, held by one process, told in run.json; their predictions are whole or not there."""

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kgl.changes import find_parent
from kgl.errors import KglError
from kgl.paths import Workspace
from kgl.runs import Run, list_runs, open_run, read_predictions, read_run, save_run, write_predictions
from tests.conftest import Tiny

KEYS = """
run experiment parent note kind status config label_order metric cv_score cv_std oof_score fold_scores seeds identity
git versions seconds peak_memory_mb command started ended blend
"""


def wanted(experiment: str = "a", code: str = "1", **config: Any) -> Run:
    return Run(run="", experiment=experiment, kind="tabular", config=config, identity={"code": code})


def finish(workspace: Workspace, run: Run, **values: Any) -> str:
    """Make a run with its own number."""
    with open_run(workspace, run, again=True) as opened:
        for key, value in values.items():
            setattr(opened, key, value)
        save_run(workspace, opened)
    return opened.run


def test_run_json_has_the_keys_of_the_contract(tiny: Tiny) -> None:
    tiny.kgl("train", "logistic", "-m", "a note")
    run = json.loads((tiny.root / "runs/logistic-001/run.json").read_text())
    assert list(run) == KEYS.split()
    assert run["experiment"] == "logistic" and run["note"] == "a note" and run["kind"] == "tabular"
    assert run["label_order"] == ["0", "1"] and run["metric"] == "accuracy" and len(run["fold_scores"]) == 3
    assert sorted(run["identity"]) == ["code", "config", "data", "folds"]
    assert {"python", "numpy", "pandas", "scikit-learn", "lightgbm"} <= set(run["versions"])
    assert run["seconds"] > 0 and run["started"] <= run["ended"] and run["command"].startswith("kgl")
    files = {path.name for path in (tiny.root / "runs/logistic-001").iterdir()}
    assert files >= {"run.json", "oof.parquet", "test.parquet", "submission.csv", "folds", "source", "log.txt"}


def test_predictions_have_the_columns_of_the_contract(tiny: Tiny) -> None:
    tiny.kgl("train", "logistic")
    oof, test = (pd.read_parquet(tiny.root / f"runs/logistic-001/{part}.parquet") for part in ("oof", "test"))
    assert list(oof.columns) == ["id", "fold", "p_0", "p_1"] and list(test.columns) == ["id", "p_0", "p_1"]
    assert oof["id"].tolist()[:2] == ["0000", "0001"] and set(oof["fold"]) == {0, 1, 2}
    assert oof["p_0"].dtype == np.float64
    np.testing.assert_allclose(oof["p_0"] + oof["p_1"], 1)


def test_each_experiment_numbers_its_runs(tiny: Tiny) -> None:
    names = [finish(tiny.workspace, wanted(name), status="complete") for name in ("a", "a-b", "a", "a-b", "a")]
    assert names == ["a-001", "a-b-001", "a-002", "a-b-002", "a-003"]


def test_the_last_run_of_an_identity_goes_on_until_it_is_complete(tiny: Tiny) -> None:
    def opened(again: bool = False, code: str = "1") -> str:
        with open_run(tiny.workspace, wanted(code=code), again=again) as run:
            return run.run

    assert opened() == "a-001"
    assert opened(again=True) == "a-001"  # it was stopped: there is nothing to train anew
    assert opened(code="2") == "a-002"
    run = read_run(tiny.workspace, "a-001")
    run.status = "complete"
    save_run(tiny.workspace, run)
    assert opened() == "a-001"
    assert opened(again=True) == "a-003"
    assert opened() == "a-003"


def test_a_run_that_ends_with_an_error_is_failed_and_goes_on_next_time(tiny: Tiny) -> None:
    with pytest.raises(ZeroDivisionError), open_run(tiny.workspace, wanted()) as run:
        assert read_run(tiny.workspace, run.run).status == "running"
        raise ZeroDivisionError
    failed = read_run(tiny.workspace, "a-001")
    assert failed.status == "failed" and failed.ended
    with open_run(tiny.workspace, wanted()) as run:
        assert run.run == "a-001"


def test_a_run_is_held_by_one_process(tiny: Tiny) -> None:
    with open_run(tiny.workspace, wanted()):
        held = rf"a-001 is held by process {os.getpid()} on .* since 20"
        with pytest.raises(KglError, match=held), open_run(tiny.workspace, wanted()):
            pass
        with open_run(tiny.workspace, wanted("b")) as other:
            assert other.run == "b-001"
    with open_run(tiny.workspace, wanted()) as run:
        assert run.run == "a-001"
    assert not (tiny.root / "runs/a-001/.owner").exists()


def test_an_unknown_run_is_refused_with_the_nearest(tiny: Tiny) -> None:
    with pytest.raises(KglError, match=r"no run 'a-001' in runs/\. Train one: kgl baseline") as refused:
        read_run(tiny.workspace, "a-001")
    assert refused.value.status == 2
    finish(tiny.workspace, wanted("lightgbm"))
    with pytest.raises(KglError, match="Did you mean 'lightgbm-001'"):
        read_run(tiny.workspace, "lightgbm-01")


def test_run_json_of_another_engine_is_read_and_a_broken_one_named(tiny: Tiny) -> None:
    path = tiny.write("runs/a-001/run.json", json.dumps({"run": "a-001", "experiment": "a", "new_key": 1}))
    assert list_runs(tiny.workspace) == [Run(run="a-001", experiment="a")]
    for text in ("{", "[]", '{"run": "a-001"}'):
        path.write_text(text)
        with pytest.raises(KglError, match=r"runs/a-001/run\.json (is not valid|cannot be read)"):
            list_runs(tiny.workspace)


@pytest.mark.parametrize(
    ("key", "value"), [("cv_score", "high"), ("fold_scores", [0.5, "x"]), ("identity", "x"), ("seeds", 0), ("run", 1)]
)
def test_a_value_of_the_wrong_type_in_run_json_is_one_sentence(tiny: Tiny, key: str, value: object) -> None:
    tiny.write("runs/a-001/run.json", json.dumps({"experiment": "a", key: value}))
    told = tiny.kgl("board")
    if key == "run":  # the folder's name counts
        assert told.status == 0
    else:
        assert (told.status, told.out) == (1, "")
        assert f"a-001/run.json cannot be read (run: {key}: expected a " in told.err and "delete" in told.err


def test_the_parent_is_the_run_of_the_experiment_that_differs_least_or_the_one_most_alike(tiny: Tiny) -> None:
    scored = {"cv_score": 0.5, "status": "complete"}
    source = "experiment = Tabular(model='lightgbm', params={'learning_rate': 0.1})\n"
    for name, text in (("near", source.replace("0.1", "0.2")), ("far", "x = 1\n")):
        run = finish(tiny.workspace, wanted(name), **scored)
        tiny.write(f"runs/{run}/source/experiments/{name}.py", text)
    assert find_parent(tiny.workspace, wanted("new"), source) == "near-001"
    assert find_parent(tiny.workspace, wanted("new"), "nothing alike in the least: 1234567890") == ""
    finish(tiny.workspace, wanted("new"), **scored)
    finish(tiny.workspace, wanted("new"), status="failed")
    finish(tiny.workspace, wanted("new", code="quick"), status="partial")
    assert find_parent(tiny.workspace, wanted("new"), source) == "new-001"
    idea = finish(tiny.workspace, wanted("new", "2", C=2), **scored)  # it did not help: the next one starts afresh
    assert find_parent(tiny.workspace, wanted("new", D=1), source) == "new-001"
    assert find_parent(tiny.workspace, wanted("new", "2", C=2, D=1), source) == idea


def test_missing_predictions_are_named(tiny: Tiny) -> None:
    with pytest.raises(KglError, match=r"runs/a-001/oof\.parquet is missing"):
        read_predictions(tiny.workspace, "a-001", "oof")


def test_torn_predictions_are_named_and_come_back_where_they_are_deleted(tiny: Tiny) -> None:
    tiny.kgl("train", "constant")
    for part in ("oof.parquet", "test.parquet"):
        path = tiny.root / "runs/constant-001" / part
        whole = path.read_bytes()
        path.write_bytes(whole[:100])
        with pytest.raises(KglError, match=rf"{part} cannot be read .*delete it and run the command of its run\.json"):
            read_predictions(tiny.workspace, "constant-001", path.stem)
        path.unlink()
        assert tiny.kgl("train", "constant").name == "constant-001"
        assert path.read_bytes() == whole


def test_a_torn_fold_is_named_and_trained_again_where_it_is_deleted(tiny: Tiny) -> None:
    tiny.kgl("train", "constant", "folds=0,1")
    fold = tiny.root / "runs/constant-001/folds/1/seed-0"
    for file in ("predictions.npz", "scores.json"):
        (fold / file).write_bytes(b"")
        torn = tiny.kgl("train", "constant")
        assert (torn.status, f"{fold} cannot be read" in torn.err, "--debug" in torn.err) == (1, True, False), torn.err
    shutil.rmtree(fold)
    assert tiny.kgl("train", "constant").name == "constant-001"


def test_a_run_is_called_as_its_folder_is(tiny: Tiny) -> None:
    tiny.kgl("train", "constant")
    (tiny.root / "runs/constant-001").rename(tiny.root / "runs/mine-001")
    assert [run.run for run in list_runs(tiny.workspace)] == ["mine-001"]
    assert tiny.kgl("train", "constant").name == "mine-001"


def test_a_file_that_cannot_be_written_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "oof.parquet"
    with pytest.raises(ValueError):
        write_predictions(path, pd.Series(["a", "b"]), np.zeros((3, 1)), ("x",))
    assert not list(tmp_path.iterdir())


def test_run_json_is_never_not_a_number(tiny: Tiny) -> None:
    with pytest.raises(ValueError), open_run(tiny.workspace, wanted()) as run:
        run.cv_score = float("nan")
        save_run(tiny.workspace, run)
    assert asdict(read_run(tiny.workspace, "a-001"))["cv_score"] is None
