"""Labels are decided by rules that help on rows they never saw, and that no fold learns for itself."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgl.decisions import decide_rows, is_tuned
from kgl.metrics import Metric, get_metric
from kgl.scoring import decide, truth_labels
from kgl.target import Target
from tests.conftest import Tiny, takes_less_than

CASES = [
    ("binary", "f1"),
    ("binary", "mcc"),
    ("binary", "balanced_accuracy"),
    ("multiclass", "f1_macro"),
    ("multiclass", "mcc"),
    ("multilabel", "mean_f1"),
    ("multilabel", "contest:any_right"),
    ("ordinal", "qwk"),
    ("ordinal", "accuracy"),
]
ANY_RIGHT = Metric(lambda y, p: float(np.mean((y & p).any(axis=1))), True, "labels", "logloss", "contest:any_right")


def metric_of(name: str) -> Metric:
    return ANY_RIGHT if name == ANY_RIGHT.name else get_metric(name)


def made_up(task: str, n: int, *, seed: int, rare: float = -2.0, noise: float = 0.3) -> tuple[Target, Any, Any]:
    """Target, truth and predictions that are nearly calibrated, of classes of which some are rare."""
    rng = np.random.default_rng(seed)
    if task == "ordinal":
        y = rng.choice([1.0, 2.0, 5.0], n, p=[0.7, 0.2, 0.1])
        shrunk = 1.3 + 0.3 * y + noise * rng.normal(size=n)
        return Target(task, ("y",), ("1", "2", "5")), y, shrunk[:, None]
    if task == "multiclass":
        scores = rng.normal(size=(n, 3)) + np.array([2.0, 0.5, -0.5])
        p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        y = (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
        return Target(task, ("y",), ("a", "b", "c")), y, p
    p = 1 / (1 + np.exp(-rng.normal(size=(n, 2)) * 1.5 - rare))
    y = (rng.random((n, 2)) < p).astype(int)
    if task == "multilabel":
        return Target(task, ("x", "y")), y, p
    return Target(task, ("y",), ("no", "yes")), y[:, 0], np.column_stack([1 - p[:, 0], p[:, 0]])


def value_of(metric: Metric, target: Target, y: Any, labels: Any) -> float:
    return metric.gain(metric.score(truth_labels(target, y), labels), 0.0)


@pytest.mark.parametrize(("task", "name"), CASES)
@settings(max_examples=8)
@given(st.integers(12, 400), st.integers(0, 100), st.integers(2, 5), st.booleans())
def test_a_rule_is_never_worse_than_the_plain_one_on_its_own_rows(
    task: str, name: str, n: int, seed: int, folds: int, coarse: bool
) -> None:
    metric, (target, y, p) = metric_of(name), made_up(task, n, seed=seed)
    p = np.round(p, 1) if coarse else p  # ties
    decided = decide_rows(metric, target, y, p, np.arange(n) % folds)
    tuned, plain = (value_of(metric, target, y, decide(target, p, rule)) for rule in (decided.rule, None))
    assert tuned >= plain or np.isnan(plain)
    assert decided.labels.shape == decide(target, p).shape and decided.labels.dtype.kind == "i"


@pytest.mark.parametrize(("task", "name"), CASES)
@settings(max_examples=8)
@given(st.integers(12, 300), st.integers(0, 100), st.booleans())
def test_the_order_of_rows_does_not_matter(task: str, name: str, n: int, seed: int, coarse: bool) -> None:
    metric, (target, y, p) = metric_of(name), made_up(task, n, seed=seed)
    p, fold_of = np.round(p, 1) if coarse else p, np.arange(n) % 4
    order = np.random.default_rng(seed).permutation(n)
    one, other = (
        decide_rows(metric, target, y, p, fold_of),
        decide_rows(metric, target, y[order], p[order], fold_of[order]),
    )
    np.testing.assert_array_equal(one.labels[order], other.labels)
    assert (one.rule is None) == (other.rule is None)
    if one.rule is not None and other.rule is not None:
        np.testing.assert_array_equal(one.rule, other.rule)


@pytest.mark.parametrize(("task", "name"), CASES)
@pytest.mark.parametrize("fold", range(4))
def test_labels_of_a_fold_do_not_reach_the_rule_that_decides_it(task: str, name: str, fold: int) -> None:
    metric, (target, y, p) = metric_of(name), made_up(task, 200, seed=fold)
    inside, changed = np.arange(200) % 4 == fold, y.copy()
    changed[inside] = np.random.default_rng(1).permutation(y)[inside]
    before, after = (decide_rows(metric, target, truth, p, np.arange(200) % 4).labels for truth in (y, changed))
    np.testing.assert_array_equal(before[inside], after[inside])


@pytest.mark.parametrize(("task", "name"), [case for case in CASES if case[1] != "mcc"])
def test_a_rule_helps_rows_that_it_never_saw(task: str, name: str) -> None:
    metric, gains = metric_of(name), []
    for seed in range(3):
        target, y, p = made_up(task, 1500, seed=seed)
        decided = decide_rows(metric, target, y, p, np.arange(1500) % 5)
        _, fresh, q = made_up(task, 20000, seed=100 + seed)
        value = value_of(metric, target, fresh, decide(target, q, decided.rule))
        gains.append(value - value_of(metric, target, fresh, decide(target, q)))
        assert value_of(metric, target, y, decided.labels) == pytest.approx(value, abs=0.08)  # and tells how well
    assert np.mean(gains) > 0.015


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_accuracy_keeps_the_likeliest_label(task: str) -> None:
    metric, (target, y, p) = (
        get_metric("mean_accuracy" if task == "multilabel" else "accuracy"),
        made_up(task, 90, seed=0),
    )
    decided = decide_rows(metric, target, y, p, np.arange(90) % 3)
    assert decided.rule is None and not is_tuned(metric, target)
    np.testing.assert_array_equal(decided.labels, decide(target, p))


@pytest.mark.parametrize("seed", range(5))
def test_what_gains_nothing_on_other_folds_is_left_plain(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.random(60)
    target, y = Target("binary", ("y",), ("0", "1")), rng.integers(0, 2, 60)
    kept = [decide_rows(get_metric("mcc"), target, np.roll(y, i), np.column_stack([1 - p, p]), np.arange(60) % 5).rule
            for i in range(20)]  # fmt: skip
    assert sum(rule is None for rule in kept) >= 5  # noise looks like a gain in about half of all cases, not always


@pytest.mark.parametrize("folds", [1, 2])
def test_too_few_folds_to_judge_by_decide_plainly(folds: int) -> None:
    target, y, p = made_up("binary", 200, seed=0)
    decided = decide_rows(get_metric("f1"), target, y, p, np.arange(200) % folds)
    np.testing.assert_array_equal(decided.labels, decide(target, p))
    assert (decided.rule is None) == (folds == 1)


def test_a_class_that_a_fold_or_all_rows_lack_does_no_harm() -> None:
    target, y, p = made_up("ordinal", 60, seed=0)
    assert decide_rows(get_metric("qwk"), target, np.where(y == 5, 1, y), p, np.arange(60) % 3).labels.max() <= 2
    target, y, p = made_up("multiclass", 60, seed=0)
    decide_rows(get_metric("f1_macro"), target, np.zeros(60, dtype=int), p, np.arange(60) % 3)
    decide_rows(get_metric("f1_macro"), target, y, np.full((60, 3), 1 / 3), np.arange(60) % 3)
    target, y, p = made_up("binary", 60, seed=0)
    decide_rows(get_metric("f1"), target, np.zeros(60, dtype=int), p, np.arange(60) % 3)


def test_a_hundred_thousand_rows_of_six_labels_take_a_second() -> None:
    rng = np.random.default_rng(0)
    p = 1 / (1 + np.exp(2 - 1.5 * rng.normal(size=(100_000, 6))))
    y, target = (rng.random(p.shape) < p).astype(int), Target("multilabel", tuple("abcdef"))
    metric, folds = get_metric("mean_f1"), np.arange(len(y)) % 5
    assert takes_less_than(1, lambda: decide_rows(metric, target, y, p, folds))


def test_a_run_is_scored_submitted_and_predicted_by_its_rule(tiny: Tiny) -> None:
    rng = np.random.default_rng(0)
    rare = rng.random(600) < 0.12
    rows = pd.DataFrame({"id": [f"{i:04d}" for i in range(600)], "size": rng.normal(size=600) + 1.3 * rare})
    tiny.save("train.csv", rows.assign(label=rare.astype(int)))
    tiny.replace("competition.toml", '"accuracy"', '"f1"')
    trained = tiny.kgl("train", "logistic")
    assert trained.status == 0 and "logistic-001: label 1 above 0." in trained.err, trained.err
    plain = tiny.kgl("train", "logistic", "folds=0", "--again")
    run, alone = (pd.read_json(tiny.root / f"runs/{r}/run.json", typ="series") for r in (trained.name, plain.name))
    assert run["fold_scores"][0] > alone["fold_scores"][0] + 0.05  # a fold alone has no others to learn from
    file = tiny.root / "runs/logistic-001/submission.csv"
    threshold = float(trained.err.partition("label 1 above ")[2].split(",")[0])
    p_1 = pd.read_parquet(tiny.root / "runs/logistic-001/test.parquet")["p_1"].to_numpy()
    written = file.read_bytes()
    assert pd.read_csv(file)["label"].tolist() == (p_1 > threshold).astype(int).tolist()
    assert tiny.kgl("predict", "logistic-001").status == 0 and file.read_bytes() == written
    assert "blend-001: label" in tiny.kgl("blend").err
    assert (tiny.root / "runs/blend-001/submission.csv").read_bytes() == written


def test_on_real_rare_cases_f1_is_far_above_that_at_one_half() -> None:
    """Is it an eight? One digit in ten is, and the model sees a few pixels alone."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    digits = load_digits()
    y, pixels = (digits.target == 8).astype(int), digits.data[:, 10:54:8]
    fold_of = np.empty(len(y), dtype=int)
    for k, (_, inside) in enumerate(StratifiedKFold(5, shuffle=True, random_state=0).split(pixels, y)):
        fold_of[inside] = k
    splits = [(np.flatnonzero(fold_of != k), np.flatnonzero(fold_of == k)) for k in range(5)]
    model = LogisticRegression(max_iter=1000)
    p = cross_val_predict(model, pixels, y, cv=splits, method="predict_proba")
    metric, target = get_metric("f1"), Target("binary", ("y",), ("0", "1"))
    nested = metric.score(y, decide_rows(metric, target, y, p, fold_of).labels)
    assert metric.score(y, decide(target, p)) < 0.1 and nested > 0.3
