"""`kgl baseline`: what suits the data, in a good order, in time; seeds while time is left; and always a file."""

import json
import shutil
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kgl.experiment import load_experiment
from kgl.runs import list_runs
from kgl.session import open_session
from kgl.tabular.catalogue import place_in_baseline
from tests.conftest import EXPERIMENT, Tiny

SLOW = """
import time

from sklearn.dummy import DummyClassifier

from kgl.tabular import Tabular


class Slow(DummyClassifier):
    def fit(self, X, y, sample_weight=None):
        time.sleep({seconds})
        return super().fit(X, y)


experiment = Tabular(model=Slow())
"""
RANDOM = "from kgl.tabular import Tabular\n\nexperiment = Tabular(model='extra_trees', params={'n_estimators': 5})\n"


@pytest.fixture
def all_suited(tiny: Tiny) -> Tiny:
    """No experiments are named: those that suit the data are trained."""
    text = (tiny.root / "competition.toml").read_text(encoding="utf-8").split("[baseline]")[0]
    tiny.write("competition.toml", text)
    return tiny


def runs(tiny: Tiny) -> dict[str, Any]:
    return {run.run: run for run in list_runs(tiny.workspace)}


def test_experiments_are_ordered_by_what_they_bring_a_minute_and_unsuited_ones_are_named(all_suited: Tiny) -> None:
    for model in ("ridge", "svr", "one_column", "realmlp"):
        all_suited.write(f"experiments/{model}.py", EXPERIMENT.format(model=model))
    all_suited.write("experiments/extra_trees.py", RANDOM)
    result = all_suited.kgl("baseline")
    assert result.status == 0, result.err
    assert "not for these data: " in result.err and "ridge" in result.err and "svr" in result.err
    trained = [line.split()[0] for line in result.out.splitlines() if " CV " in line]
    assert trained[:4] == ["constant-001", "one_column-001", "logistic-001", "extra_trees-001"]


def test_experiments_that_are_named_are_trained_in_that_order(all_suited: Tiny) -> None:
    with (all_suited.root / "competition.toml").open("a", encoding="utf-8") as file:
        file.write('\n[baseline]\nexperiments = ["logistic", "constant"]\n')
    lines = all_suited.kgl("baseline").out.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["logistic-001", "constant-001"]


def test_a_model_whose_first_fold_shows_that_it_is_too_slow_is_left_out(all_suited: Tiny) -> None:
    all_suited.write("experiments/slow.py", SLOW.format(seconds=5))
    began = time.monotonic()
    result = all_suited.kgl("baseline", "--minutes", "0.14")
    assert result.status == 0, result.err
    assert time.monotonic() - began < 14 and "slow: left out, " in result.err
    assert not runs(all_suited)["slow-001"].is_complete and "slow" not in result.out
    assert (all_suited.root / "runs" / result.name / "submission.csv").is_file()


def test_a_first_fold_that_takes_all_the_time_is_stopped(all_suited: Tiny) -> None:
    all_suited.write("experiments/slow.py", SLOW.format(seconds=60))
    began = time.monotonic()
    result = all_suited.kgl("baseline", "--minutes", "0.08")
    assert (
        result.status == 0
        and "slow: left out, its first fold takes so long that there is no time for 3; kgl train slow" in result.err
    )
    assert time.monotonic() - began < 12
    assert runs(all_suited)[result.name].status == "complete"


SLOW_BOOSTING = """
import time

from kgl.tabular import Tabular


def weight(rows):
    time.sleep(30)
    return [1.0] * len(rows)


experiment = Tabular(params={"learning_rate": 0.01}, weight=weight)
"""


def test_boosting_that_is_too_slow_learns_in_larger_steps_and_then_in_few(all_suited: Tiny) -> None:
    all_suited.write("experiments/slow.py", SLOW_BOOSTING)
    result = all_suited.kgl("baseline", "--minutes", "0.3")
    assert "there is no time for 3; tried faster, with params.learning_rate=0.05" in result.err, result.err
    assert runs(all_suited)["slow-002"].config["params"] == {"learning_rate": 0.05}
    few = "params.learning_rate=0.2 params.n_estimators=100"  # the weights are as slow as before
    assert f"tried faster, with {few}" in result.err and f"kgl train slow {few} completes it" in result.err


def test_boosters_come_after_the_others_where_classes_are_many(all_suited: Tiny) -> None:
    data = open_session(all_suited.workspace).data
    many = replace(data, target=replace(data.target, task="multiclass", labels=tuple("abcdefghijkl")))
    places = {name: [place_in_baseline(name, each) for each in (data, many)] for name in ("lightgbm", "extra_trees")}
    assert places["lightgbm"][0] < places["extra_trees"][0] == places["extra_trees"][1] < places["lightgbm"][1]


def test_what_was_left_out_is_completed_by_the_next_baseline(all_suited: Tiny) -> None:
    all_suited.write("experiments/slow.py", SLOW.format(seconds=3))
    assert "slow: left out" in all_suited.kgl("baseline", "--minutes", "0.12").err
    assert not runs(all_suited)["slow-001"].is_complete
    assert all_suited.kgl("baseline").status == 0
    assert runs(all_suited)["slow-001"].is_complete and "slow-002" not in runs(all_suited)


def test_seeds_are_averaged_while_time_is_left(all_suited: Tiny) -> None:
    all_suited.write("experiments/trees.py", RANDOM)
    result = all_suited.kgl("baseline", "--minutes", "0.5")
    assert result.status == 0, result.err
    found = runs(all_suited)
    assert found["trees-001"].seeds == [0] and found["trees-002"].seeds == [0, 1, 2, 3, 4]
    assert "logistic-002" not in found and "constant-002" not in found  # another seed changes nothing


def test_a_run_takes_over_the_models_of_a_run_that_differs_in_its_seeds_alone(tiny: Tiny) -> None:
    tiny.write("experiments/trees.py", RANDOM)
    assert tiny.kgl("train", "trees").status == 0
    model = tiny.root / "runs/trees-001/folds/0/seed-0/predictions.npz"
    with np.load(model) as arrays:
        marked = {name: values * 0 + 0.25 for name, values in arrays.items()}
    np.savez(model, **marked)
    assert tiny.kgl("train", "trees", "seeds=0,1").status == 0
    with np.load(tiny.root / "runs/trees-002/folds/0/seed-0/predictions.npz") as arrays:
        assert (arrays["valid"] == 0.25).all()
    shutil.rmtree(tiny.root / "runs/trees-001")
    run = json.loads((tiny.root / "runs/trees-002/run.json").read_text())
    assert run["status"] == "complete" and run["seeds"] == [0, 1]
    # nothing is taken over from other settings, nor where it is asked to train anew
    assert tiny.kgl("train", "trees", "seeds=0,2", "params.n_estimators=6").status == 0
    assert tiny.kgl("train", "trees", "seeds=0,1", "--again").status == 0
    for name in ("trees-003", "trees-004"):
        with np.load(tiny.root / f"runs/{name}/folds/0/seed-0/predictions.npz") as arrays:
            assert not (arrays["valid"] == 0.25).all()


def test_the_first_experiment_is_trained_whatever_it_takes(all_suited: Tiny) -> None:
    result = all_suited.kgl("baseline", "--minutes", "0.0001")
    assert result.status == 0 and "logistic: left out, the time is over" in result.err
    assert "logistic" not in result.out
    assert (all_suited.root / "runs" / result.name / "submission.csv").is_file()


def test_nothing_to_train_is_told(all_suited: Tiny) -> None:
    for model in ("constant", "logistic"):
        (all_suited.root / f"experiments/{model}.py").unlink()
    result = all_suited.kgl("baseline")
    assert result.status == 2 and "experiments/ has none for the data" in result.err


def test_levels_decide_whether_they_are_encoded(all_suited: Tiny) -> None:
    all_suited.write("experiments/lightgbm_encoded.py", EXPERIMENT.format(model="lightgbm_encoded"))
    experiment = load_experiment(all_suited.workspace, "lightgbm_encoded")
    assert experiment.place_in_baseline(open_session(all_suited.workspace).data) < 100
    for name in ("train.csv", "test.csv"):
        all_suited.save(name, all_suited.frame(name).drop(columns=["letter", "family"]))
    assert experiment.place_in_baseline(open_session(all_suited.workspace).data) == np.inf
