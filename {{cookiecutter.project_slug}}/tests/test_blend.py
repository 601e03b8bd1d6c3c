"""Blends: weights that help on rows that they never saw, or the best member alone."""

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kgl.blend_stack import Scale
from kgl.blend_weights import climb, equal_of_helpers, find_blend, mix
from tests.conftest import Tiny

FOLD_OF = np.arange(300) % 5
values = st.floats(-3, 3, allow_nan=False, width=32)
libraries = st.integers(1, 5).flatmap(lambda m: arrays(np.float64, (m, 20, 1), elements=values))
truths = arrays(np.float64, (20, 1), elements=values)


def rmse(truth: Any) -> Any:
    return lambda predictions, rows=slice(None): float(np.sqrt(np.mean((predictions - truth[rows]) ** 2)))


def library(*errors: float, shared: float = 0.0, seed: int = 0) -> tuple[Any, Any]:
    """Members that miss the truth by that much each, `shared` of it in common; the best first."""
    rng = np.random.default_rng(seed)
    truth, common = rng.normal(size=(300, 1)), rng.normal(size=(300, 1))
    members = [truth + error * (shared * common + rng.normal(size=(300, 1))) for error in errors]
    return np.stack(members), truth


def blend_of(members: Any, truth: Any) -> Any:
    return find_blend(members, FOLD_OF, rmse(truth))


@given(libraries, truths)
def test_climbing_never_ends_worse_than_the_best_member(members: Any, truth: Any) -> None:
    measure = rmse(truth)
    weights = climb(members, measure)
    assert weights.min() >= 0 and weights.sum() == pytest.approx(1)
    assert measure(mix(weights, members)) <= min(measure(member) for member in members) + 1e-9


@given(libraries, truths)
def test_climbing_ends_at_its_best_step(members: Any, truth: Any) -> None:
    measure = rmse(truth)
    by_length = [measure(mix(climb(members, measure, steps), members)) for steps in range(1, 15)]
    assert all(longer <= shorter + 1e-9 for shorter, longer in pairwise(by_length))


@given(libraries, truths)
def test_equal_weights_are_those_of_members_that_help_the_best(members: Any, truth: Any) -> None:
    measure = rmse(truth)
    weights = equal_of_helpers(members, measure)
    assert weights.sum() == pytest.approx(1) and len(set(weights[weights > 0])) == 1
    assert weights[np.argmin([measure(member) for member in members])] > 0


def test_climbing_counts_a_member_as_often_as_it_helps() -> None:
    truth = np.zeros((40, 1))
    sign = np.where(np.arange(40) % 2, 1.0, -1.0)[:, None]
    members = np.stack([truth + sign, truth - 3 * sign])  # three of the first and one of the second cancel
    np.testing.assert_allclose(climb(members, rmse(truth)), [0.75, 0.25])


@pytest.mark.parametrize("seed", range(8))
def test_the_weights_for_a_fold_never_saw_its_labels(seed: int) -> None:
    members, truth = library(0.8, 0.9, 1.0, 1.1, 1.2, shared=0.5, seed=seed)
    inside, other = seed % 5 == FOLD_OF, truth.copy()
    other[inside] = np.random.default_rng(1).permutation(other[inside]) * 5
    before, after = blend_of(members, truth), blend_of(members, other)
    np.testing.assert_array_equal(before.nested[inside], after.nested[inside])
    assert not np.array_equal(before.nested[~inside], after.nested[~inside])  # while those of the others did


@pytest.mark.parametrize("seed", range(5))
def test_a_truly_better_blend_is_taken(seed: int) -> None:
    blend = blend_of(*library(1.0, 1.02, 1.04, seed=seed))
    assert blend.gain.is_gain and blend.gain.mean > 0.2
    assert (blend.weights > 0.2).all() and blend.weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("seed", range(5))
def test_noise_beside_a_good_member_gets_no_weight_to_speak_of(seed: int) -> None:
    blend = blend_of(*library(0.3, 6.0, 7.0, 8.0, seed=seed))
    assert blend.weights[0] > 0.95
    assert not blend.gain.is_gain or blend.gain.mean < 0.01


@pytest.mark.parametrize("copies", [1, 2, 4])
def test_copies_of_one_member_gain_nothing(copies: int) -> None:
    members, truth = library(0.5)
    blend = blend_of(np.concatenate([members] * copies), truth)
    assert not blend.gain.is_gain and blend.gain.mean == pytest.approx(0)


def test_two_folds_are_enough_and_one_is_never_taken() -> None:
    members, truth = library(1.0, 1.01, 1.02)
    for folds in (2, 1):
        fold_of = np.arange(300) % folds
        blend = find_blend(members, fold_of, rmse(truth))
        assert np.isfinite(blend.nested).all() and blend.weights.sum() == pytest.approx(1)
        assert blend.gain.is_gain == (folds == 2)


def read(tiny: Tiny, run: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tiny.root / "runs" / run / "run.json").read_text())
    return found


def write_run(tiny: Tiny, like: str, name: str, p_1: Any, *, test: float = 0.5) -> None:
    """A run like another one, with these probabilities in the order of the training rows."""
    train, folds = tiny.frame("train.csv"), pd.read_parquet(tiny.root / "data/folds.parquet").set_index("id")["fold"]
    label = train["label"].astype(int).to_numpy()
    oof = pd.DataFrame({"id": train["id"], "fold": train["id"].map(folds), "p_0": 1 - p_1, "p_1": p_1})
    run = read(tiny, like) | {"run": name, "experiment": name.rpartition("-")[0], "note": ""}
    right = (oof["p_1"] > 0.5) == label
    run["fold_scores"] = [float(right[oof["fold"] == k].mean()) for k in range(3)]
    run["cv_score"] = float(np.mean(run["fold_scores"]))
    tiny.write(f"runs/{name}/run.json", json.dumps(run))
    oof.to_parquet(tiny.root / f"runs/{name}/oof.parquet", index=False)
    ids = tiny.frame("test.csv")["id"]
    tests = pd.DataFrame({"id": ids, "p_0": 1 - test, "p_1": test})
    tests.to_parquet(tiny.root / f"runs/{name}/test.parquet", index=False)


@pytest.fixture
def three(tiny: Tiny) -> Tiny:
    """Three runs that are wrong about different rows of each fold, and one of noise."""
    tiny.kgl("train", "constant")
    label = tiny.frame("train.csv")["label"].astype(int).to_numpy()
    for i, name in enumerate(("a", "b", "c")):
        wrong = np.arange(60) // 3 % 4 == i
        write_run(
            tiny, "constant-001", f"{name}-001", np.where(wrong, 0.85 - 0.7 * label, 0.1 + 0.8 * label), test=0.2 * i
        )
    write_run(tiny, "constant-001", "noise-001", np.random.default_rng(0).random(60))
    return tiny


def test_a_better_blend_is_a_run_like_any_other(three: Tiny) -> None:
    result = three.kgl("blend")
    assert (result.status, result.name) == (0, "blend-001")
    run = read(three, "blend-001")
    weights = dict(zip(run["blend"]["members"], run["blend"]["weights"], strict=True))
    assert sorted(weights) == ["a-001", "b-001", "c-001", "constant-001", "noise-001"]
    assert sum(weights.values()) == pytest.approx(1) and min(weights.values()) >= 0
    assert weights["a-001"] > 0.2 and weights["noise-001"] < 0.1
    assert run["status"] == "complete" and run["kind"] == "blend" and run["parent"] in ("a-001", "b-001", "c-001")
    assert run["cv_score"] == run["blend"]["nested_score"] > read(three, "a-001")["cv_score"]
    assert run["blend"]["rosy_score"] >= run["cv_score"] and run["blend"]["taken"]
    for part in ("oof", "test"):
        assert len(pd.read_parquet(three.root / f"runs/blend-001/{part}.parquet")) == (60 if part == "oof" else 20)
    tests = {m: pd.read_parquet(three.root / f"runs/{m}/test.parquet")["p_1"].clip(1e-5, 1 - 1e-5) for m in weights}
    odds = sum(w * np.log(tests[m] / (1 - tests[m])) for m, w in weights.items())
    np.testing.assert_allclose(
        pd.read_parquet(three.root / "runs/blend-001/test.parquet")["p_1"], 1 / (1 + np.exp(-odds))
    )
    assert (three.root / "runs/blend-001/submission.csv").is_file()
    assert three.kgl("board").out.splitlines()[1].startswith("1  blend-001")
    assert three.kgl("submit", "--dry-run").status == 0


def test_a_refused_gate_leaves_the_best_member_at_weight_1(tiny: Tiny) -> None:
    tiny.kgl("train", "constant", "logistic")
    result = tiny.kgl("blend")
    assert result.name == "blend-001" and "logistic-001 1.00; no blend is better by more than luck" in result.out
    run, best = read(tiny, "blend-001"), read(tiny, "logistic-001")
    assert run["blend"]["weights"] == [1.0, 0.0] and run["blend"]["members"][0] == "logistic-001"
    assert run["cv_score"] == best["cv_score"] and run["fold_scores"] == best["fold_scores"]
    for part in ("oof", "test"):
        own, alone = (pd.read_parquet(tiny.root / f"runs/{r}/{part}.parquet") for r in ("blend-001", "logistic-001"))
        pd.testing.assert_frame_equal(own, alone, check_exact=True)
    assert tiny.kgl("board").out.splitlines()[1].startswith("1  logistic-001")  # equal: the simpler


def test_the_same_blend_is_reported_and_named_runs_are_blended(three: Tiny) -> None:
    first = three.kgl("blend", "a-001", "b-001")
    again = three.kgl("blend", "b-001", "a-001", "a-001")
    assert first.name == again.name == "blend-001" and again.err.startswith(
        "blend-001 is this very blend, complete since"
    )
    assert read(three, "blend-001")["blend"]["members"] == ["a-001", "b-001"]


def test_by_default_the_best_run_of_each_experiment_and_no_blend_is_a_member(three: Tiny) -> None:
    three.kgl("blend", "a-001", "b-001")
    write_run(three, "constant-001", "a-002", np.full(60, 0.5))
    assert three.kgl("blend").name == "blend-002"
    members = read(three, "blend-002")["blend"]["members"]
    assert "a-001" in members and "a-002" not in members and "blend-001" not in members


def test_a_blend_of_blends_behaves(three: Tiny) -> None:
    three.kgl("blend", "a-001", "b-001")
    result = three.kgl("blend", "blend-001", "c-001")
    assert (result.status, result.name) == (0, "blend-002")
    run = read(three, "blend-002")
    assert run["cv_score"] >= read(three, "blend-001")["cv_score"]
    assert sum(run["blend"]["weights"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"identity": {"folds": "x"}}, "b-001 cannot be blended: it was trained on other folds"),
        ({"metric": "auc"}, "its metric is auc"),
        ({"label_order": ["no", "yes"]}, "its labels are no, yes"),
        ({"status": "partial"}, "it is partial"),
        ({"cv_score": None}, "it has no score"),
    ],
)
def test_members_that_do_not_fit_are_refused_and_left_out(three: Tiny, change: dict[str, Any], sentence: str) -> None:
    three.write("runs/b-001/run.json", json.dumps(read(three, "b-001") | change))
    refused = three.kgl("blend", "a-001", "b-001")
    assert refused.status == 1 and sentence in refused.err and "kgl train b" in refused.err
    assert three.kgl("blend").status == 0
    assert "b-001" not in read(three, "blend-001")["blend"]["members"]


def test_an_unknown_run_and_an_empty_workspace_are_told(tiny: Tiny) -> None:
    assert tiny.kgl("blend", "a-001").status == 2
    result = tiny.kgl("blend")
    assert result.status == 1 and "no complete run on these folds to blend; train some: kgl baseline" in result.err


def test_test_predictions_that_lack_rows_are_refused(three: Tiny) -> None:
    path = three.root / "runs/a-001/test.parquet"
    pd.read_parquet(path).iloc[1:].to_parquet(path, index=False)
    result = three.kgl("blend", "a-001", "b-001", "c-001")
    assert (
        result.status == 1
        and "runs/a-001/test.parquet lacks rows that test has now; run kgl predict a-001" in result.err
    )
    assert read(three, "blend-001")["status"] == "failed"


def rosy(tiny: Tiny, name: str) -> None:
    """Let a run say that its own folds chose its epochs."""
    run = read(tiny, name)
    tiny.write(f"runs/{name}/run.json", json.dumps(run | {"config": run["config"] | {"choose": "fold"}}))


def test_rosy_runs_are_blended_by_name_alone_and_pass_their_mark_on(three: Tiny) -> None:
    rosy(three, "a-001")
    result = three.kgl("blend")
    assert "left out: a-001; their own folds chose their epochs" in result.err
    assert "a-001" not in read(three, "blend-001")["blend"]["members"]
    named = three.kgl("blend", "a-001", "b-001", "c-001")
    assert named.status == 0 and read(three, named.name)["config"]["choose"] == "fold"
    lines = three.kgl("board").out.splitlines()
    assert read(three, named.name)["cv_score"] > read(three, "b-001")["cv_score"]
    assert lines[1].startswith("1  blend-001") and [line.split()[1] for line in lines if "rosy" in line.split()] == [
        named.name,
        "a-001",
    ]


def test_a_blend_below_a_rule_of_one_column_is_an_alarm(three: Tiny) -> None:
    assert "ALARM" not in three.kgl("blend", "a-001", "b-001").err
    alarmed = three.kgl("blend", "noise-001")
    assert alarmed.status == 0 and "ALARM: blend-002 (CV 0." in alarmed.err
    assert "is worse than a rule of one column, size (CV 0." in alarmed.err


@pytest.mark.parametrize("heavy", [False, True])
def test_a_blend_that_is_no_better_seldom_passes(heavy: bool) -> None:
    rng, passed = np.random.default_rng(0), 0
    for _ in range(60):
        best, noise = rng.normal(size=(300, 1)), rng.standard_t(2.5, 300) if heavy else rng.normal(size=300)
        truth = np.sort(best[:, 0] + noise)[:, None]
        best = best[np.argsort(best[:, 0] + noise)]
        members = np.stack([best, *(best + error * rng.normal(size=(300, 1)) for error in (0.3, 1.0, 2.0))])
        passed += find_blend(members, FOLD_OF, rmse(truth)).gain.is_gain
    assert passed <= 3  # one in twenty


def test_two_outliers_do_not_decide_for_all_the_others() -> None:
    members, truth = library(1.0, 1.0, seed=3)
    members[1, [7, 150]] += 12  # as a linear model has them
    order = np.argsort(truth[:, 0])
    blend = blend_of(members[:, order], truth[order])
    assert blend.gain.is_gain and blend.weights[1] > 0.2


def test_each_members_worth_is_what_the_blend_scores_less_without_it(three: Tiny) -> None:
    out = three.kgl("blend", "a-001", "b-001", "c-001").out
    blend = read(three, "blend-001")["blend"]
    assert sorted(blend["worth"]) == ["a-001", "b-001", "c-001"] and max(blend["worth"].values()) > 0.05
    assert np.shape(blend["correlation"]) == (3, 3) and np.allclose(np.diag(blend["correlation"]), 1)
    first = blend["members"][0]
    assert f"  {first:<22} {blend['weights'][0]:5.2f}  brings +{blend['worth'][first]:.5f}" in out
    assert "correlation 0." in out and "worth" in three.kgl("board", "blend-001").out
    refused = read(three, three.kgl("blend", "noise-001", "constant-001").name)["blend"]
    assert refused["worth"] == {} and abs(refused["correlation"][0][1]) < 0.5


def test_a_blend_of_one_is_called_so(three: Tiny) -> None:
    three.kgl("blend", "noise-001")
    assert "noise-001 alone" in three.kgl("board").out and "1 members" not in three.kgl("board").out


def test_a_stack_is_a_run_like_any_other_and_its_test_is_predicted_from_its_members(three: Tiny) -> None:
    result = three.kgl("blend", "--stack", "a-001", "b-001", "noise-001")
    run = read(three, "blend-001")
    assert result.status == 0 and run["blend"]["taken"] and run["blend"]["scale"]["task"] == "binary"
    assert run["cv_score"] == run["blend"]["nested_score"] > read(three, "a-001")["cv_score"]
    assert "stack of 3 members" in three.kgl("board").out
    path = three.root / "runs/blend-001/test.parquet"
    test = pd.read_parquet(path)
    sums = sum(
        weight * np.log(p / (1 - p))
        for weight, p in zip(
            run["blend"]["weights"],
            [
                pd.read_parquet(three.root / f"runs/{m}/test.parquet")["p_1"].clip(1e-5, 1 - 1e-5)
                for m in run["blend"]["members"]
            ],
            strict=True,
        )
    )
    np.testing.assert_allclose(test["p_1"], 1 / (1 + np.exp(-sums - run["blend"]["constants"][0])))
    names = ("a-001", "b-001", "noise-001")
    assert three.kgl("blend", *names).name == "blend-002"  # the weighted one is another
    assert three.kgl("blend", "--stack", *names).name == "blend-001"


def test_a_stack_never_saw_the_labels_of_the_fold_that_it_predicts() -> None:
    members, truth = library(0.8, 0.9, 1.0)
    other = truth.copy()
    other[FOLD_OF == 2] = -7 * other[FOLD_OF == 2]

    def nested(y: Any) -> Any:
        def learn(seen: Any, rows: Any) -> Any:
            return np.array([Scale("regression").fit_stack(seen, y[rows, 0], penalty) for penalty in (0.01, 1.0)])

        return find_blend(members, FOLD_OF, rmse(y), learn=learn).nested

    before, after = nested(truth), nested(other)
    np.testing.assert_array_equal(before[FOLD_OF == 2], after[FOLD_OF == 2])
    assert not np.array_equal(before, after)
