"""Each metric against arithmetic by hand, against scikit-learn on random data, and which rows it refuses."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import Parallel, delayed

from kgl.metrics import METRICS, Metric, get_metric, qwk
from tests.conftest import refused

ENGINE = Path(__file__).resolve().parents[1]
THIRDS = [[0.5, 0.3, 0.2], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8]]

BY_HAND = [
    ("accuracy", [0, 1, 2, 2], [0, 1, 1, 2], 3 / 4),
    ("balanced_accuracy", [0, 0, 0, 1], [0, 0, 1, 1], (2 / 3 + 1) / 2),
    # of the pairs (0, 1): .2<.6, .2<.4, .5<.6 are right, .5>.4 is wrong; then a tie counts one half
    ("auc", [0, 0, 1, 1], [0.2, 0.5, 0.6, 0.4], 3 / 4),
    ("auc", [0, 1, 1], [0.3, 0.3, 0.9], (0.5 + 1) / 2),
    # class 0: .5 above .2, .1; class 1: .6 above .3, .1; class 2: .8 above .2, .2
    ("auc", [0, 1, 2], THIRDS, (1 + 1 + 1) / 3),
    # class 0 at .1 stands below one of two others, class 1 at .3 above one of two; class 2 is right
    ("auc", [0, 1, 2], [[0.1, 0.4, 0.5], [0.2, 0.3, 0.5], [0.05, 0.05, 0.9]], (1 / 2 + 1 / 2 + 1) / 3),
    ("logloss", [1, 0], [0.8, 0.4], -(math.log(0.8) + math.log(0.6)) / 2),
    ("logloss", [0, 1, 2], THIRDS, -(math.log(0.5) + math.log(0.6) + math.log(0.8)) / 3),
    ("balanced_logloss", [0, 0, 1], [0.5, 0.2, 0.9], -((math.log(0.5) + math.log(0.8)) / 2 + math.log(0.9)) / 2),
    ("balanced_logloss", [0, 0, 2], THIRDS, -((math.log(0.5) + math.log(0.2)) / 2 + math.log(0.8)) / 2),
    ("f1", [1, 1, 1, 0, 0], [1, 1, 0, 1, 0], 2 * (2 / 3) * (2 / 3) / (2 / 3 + 2 / 3)),
    ("f1_macro", [0, 0, 1, 2], [0, 1, 1, 1], (2 * 1 * 0.5 / 1.5 + 2 * (1 / 3) * 1 / (4 / 3) + 0) / 3),
    # squared distances: 0 0 1 4 as seen; of all pairs, by chance, truth 0: 0 1 1 0, truth 1: 1 0 0 1, truth 2: 4 1 1 4
    ("qwk", [0, 1, 2, 2], [0, 1, 1, 0], 1 - (5 / 4) / ((0 + 1 + 1 + 0 + 1 + 0 + 0 + 1 + 2 * (4 + 1 + 1 + 4)) / 16)),
    ("mcc", [1, 1, 1, 0, 0], [1, 1, 0, 1, 0], (2 * 1 - 1 * 1) / math.sqrt(3 * 3 * 2 * 2)),
    ("rmse", [1.0, 2.0, 4.0], [2.0, 2.0, 2.0], math.sqrt((1 + 0 + 4) / 3)),
    ("rmse_log", [100.0, 200.0], [50.0, 400.0], math.log(2)),
    ("mae", [1.0, 2.0, 4.0], [2.0, 2.0, 2.0], (1 + 0 + 2) / 3),
    ("rmsle", [0.0, 3.0], [1.0, 3.0], math.sqrt(math.log(2) ** 2 / 2)),
    ("r2", [1.0, 2.0, 3.0], [1.0, 2.0, 2.0], 1 - 1 / 2),
    ("mape", [10.0, 20.0], [11.0, 15.0], (0.1 + 0.25) / 2),
    ("medae", [1.0, 2.0, 4.0], [2.0, 2.0, 9.0], 1.0),
    ("rmspe", [10.0, 20.0, 0.0], [11.0, 15.0, 5.0], math.sqrt((0.1**2 + 0.25**2) / 2)),
    ("smape", [10.0, 0.0, 4.0], [30.0, 0.0, 4.0], 100 * (20 / 20) / 3),
    ("mean_rmse", [[0.0, 1.0], [0.0, 1.0]], [[3.0, 1.0], [3.0, 3.0]], (3 + math.sqrt(2)) / 2),
    ("mean_r2", [[1.0, 0.0], [2.0, 0.0], [3.0, 3.0]], [[1.0, 0.0], [2.0, 0.0], [2.0, 3.0]], (1 / 2 + 1) / 2),
    ("mean_logloss", [[1, 0]], [[0.8, 0.4]], -(math.log(0.8) + math.log(0.6)) / 2),
    ("mean_auc", [[0, 1], [1, 0], [1, 0]], [[0.5, 0.4], [0.6, 0.3], [0.4, 0.5]], (1 / 2 + 1 / 2) / 2),
    ("mean_f1", [[1, 0], [1, 1]], [[1, 1], [0, 1]], (2 / 3 + 2 / 3) / 2),
    ("mean_accuracy", [[1, 2], [0, 3]], [[1, 2], [1, 2]], (1 / 2 + 1 / 2) / 2),
]

EXPECTED = {  # name: (greater is better, takes, loss)
    "accuracy": (True, "labels", "logloss"),
    "balanced_accuracy": (True, "labels", "balanced_logloss"),
    "auc": (True, "probabilities", "logloss"),
    "logloss": (False, "probabilities", "logloss"),
    "balanced_logloss": (False, "probabilities", "balanced_logloss"),
    "f1": (True, "labels", "logloss"),
    "f1_macro": (True, "labels", "logloss"),
    "qwk": (True, "labels", "rmse"),
    "mcc": (True, "labels", "logloss"),
    "rmse": (False, "values", "rmse"),
    "rmse_log": (False, "values", "rmse_log"),
    "mae": (False, "values", "mae"),
    "rmsle": (False, "values", "rmsle"),
    "r2": (True, "values", "rmse"),
    "mape": (False, "values", "mape"),
    "medae": (False, "values", "mae"),
    "rmspe": (False, "values", "rmsle"),
    "smape": (False, "values", "rmsle"),
}


@pytest.mark.parametrize(("name", "truth", "predicted", "expected"), BY_HAND)
def test_a_metric_gives_the_number_computed_by_hand(
    name: str, truth: list[float], predicted: list[float], expected: float
) -> None:
    score = get_metric(name).score(truth, predicted)
    assert score == pytest.approx(expected, abs=1e-12)
    assert type(score) is float


def test_every_metric_is_computed_by_hand_here() -> None:
    assert {name for name, *_ in BY_HAND if name in METRICS} == set(METRICS) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_direction_takes_and_loss_are_as_listed(name: str) -> None:
    metric = get_metric(name)
    assert (metric.name, metric.greater_is_better, metric.takes, metric.loss) == (name, *EXPECTED[name])


@pytest.mark.parametrize("name", EXPECTED)
def test_the_mean_over_columns_keeps_direction_and_takes_and_means_the_loss(name: str) -> None:
    one, mean = get_metric(name), get_metric(f"mean_{name}")
    assert (mean.name, mean.greater_is_better, mean.takes, mean.loss) == (
        f"mean_{name}",
        one.greater_is_better,
        one.takes,
        f"mean_{one.loss}",
    )


@pytest.mark.parametrize("name", [*EXPECTED, *(f"mean_{name}" for name in EXPECTED)])
def test_every_loss_is_a_smooth_metric_that_is_its_own_loss_and_smaller_is_better(name: str) -> None:
    loss = get_metric(get_metric(name).loss)
    assert loss.loss == loss.name
    assert not loss.greater_is_better
    assert loss.takes != "labels"


@pytest.mark.parametrize("name", EXPECTED)
def test_a_perfect_prediction_beats_a_wrong_one(name: str) -> None:
    metric = METRICS[name]
    truth = np.array([0, 1, 1, 0, 1]) + (metric.takes == "values")
    perfect, wrong = metric.score(truth, truth), metric.score(truth, truth[[1, 0, 0, 3, 4]])
    assert perfect == pytest.approx(1 if metric.greater_is_better else 0, abs=1e-14)
    assert metric.gain(perfect, wrong) > 0 > metric.gain(wrong, perfect)


CODES = st.integers(2, 5).flatmap(
    lambda k: st.lists(st.tuples(st.integers(0, k - 1), st.integers(0, k - 1)), min_size=2, max_size=40)
)
VALUES = st.lists(st.tuples(st.floats(0.01, 1e4), st.floats(0.0, 1e4)), min_size=2, max_size=40)


@pytest.mark.filterwarnings("ignore::UserWarning")  # scikit-learn's, of classes that only one side has
@settings(max_examples=60, deadline=None, database=None)
@given(pairs=CODES)
def test_label_metrics_agree_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    y, p = np.array(pairs).T
    counterparts = {
        "accuracy": sk.accuracy_score(y, p),
        "balanced_accuracy": sk.balanced_accuracy_score(y, p),
        "mcc": sk.matthews_corrcoef(y, p),
        "f1_macro": sk.f1_score(y, p, average="macro", zero_division=0),
    }
    if max(y.max(), p.max()) < 2:
        counterparts["f1"] = sk.f1_score(y, p, labels=[1], average="micro", zero_division=0)
    if len({*y, *p}) > 1:
        counterparts["qwk"] = sk.cohen_kappa_score(y, p, labels=list(range(5)), weights="quadratic")
    for name, expected in counterparts.items():
        assert METRICS[name].score(y, p) == pytest.approx(expected, abs=1e-9), name


@settings(max_examples=60, deadline=None, database=None)
@given(pairs=VALUES)
def test_value_metrics_agree_with_scikit_learn(pairs: list[tuple[float, float]]) -> None:
    y, p = np.array(pairs).T
    counterparts = {
        "rmse": sk.root_mean_squared_error(y, p),
        "mae": sk.mean_absolute_error(y, p),
        "rmsle": sk.root_mean_squared_log_error(y, p),
        "mape": sk.mean_absolute_percentage_error(y, p),
        "rmse_log": sk.root_mean_squared_error(np.log(y), np.log(np.maximum(p, np.finfo(float).tiny))),
    }
    if np.ptp(y) > 1e-3:
        counterparts["r2"] = sk.r2_score(y, p)
    for name, expected in counterparts.items():
        assert METRICS[name].score(y, p) == pytest.approx(expected, rel=1e-6, abs=1e-9), name


@settings(max_examples=40, deadline=None, database=None)
@given(seed=st.integers(0, 2**31), k=st.integers(2, 5))
def test_probability_metrics_agree_with_scikit_learn(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, 30)])
    p = rng.dirichlet(np.ones(k), len(y)).clip(0.001)
    p /= p.sum(axis=1, keepdims=True)
    weight = 1 / np.bincount(y)[y]
    assert METRICS["logloss"].score(y, p) == pytest.approx(sk.log_loss(y, p))
    assert METRICS["balanced_logloss"].score(y, p) == pytest.approx(sk.log_loss(y, p, sample_weight=weight))
    if k == 2:
        assert METRICS["logloss"].score(y, p[:, 1]) == pytest.approx(sk.log_loss(y, p[:, 1]))
        assert METRICS["auc"].score(y, p[:, 1]) == pytest.approx(sk.roc_auc_score(y, p[:, 1]))
    else:
        assert METRICS["auc"].score(y, p) == pytest.approx(sk.roc_auc_score(y, p, multi_class="ovr"))


@pytest.mark.parametrize("name", EXPECTED)
def test_the_mean_over_columns_is_the_mean_of_the_columns_scores(name: str) -> None:
    rng, one = np.random.default_rng(0), METRICS[name]
    y = rng.integers(0, 2, (30, 3)) + (one.takes == "values")
    p = rng.uniform(0.1, 0.9, (30, 3)).round(0 if one.takes == "labels" else 3)
    columns = [one.score(y[:, column], p[:, column]) for column in range(3)]
    assert get_metric(f"mean_{name}").score(y, p) == pytest.approx(sum(columns) / 3)


@pytest.mark.filterwarnings("error")
def test_auc_of_one_class_is_nan_without_a_warning() -> None:
    assert math.isnan(METRICS["auc"].score([1, 1], [0.2, 0.3]))
    assert math.isnan(METRICS["auc"].score([2, 2], THIRDS[:2]))


def test_auc_leaves_out_a_class_that_the_fold_lacks() -> None:
    # class 0: .5 above .2; class 2: .2 level with .2
    assert METRICS["auc"].score([0, 2], THIRDS[:2]) == pytest.approx((1 + 0.5) / 2)


def test_mean_auc_leaves_out_columns_of_one_class_and_is_nan_when_none_remains() -> None:
    predicted = [[0.2, 0.9], [0.1, 0.8]]
    assert get_metric("mean_auc").score([[1, 0], [0, 0]], predicted) == 1.0
    assert math.isnan(get_metric("mean_auc").score([[1, 0], [1, 0]], predicted))


def test_log_loss_knows_all_classes_when_the_fold_lacks_one() -> None:
    assert METRICS["logloss"].score([0, 2], THIRDS[:2]) == pytest.approx(-(math.log(0.5) + math.log(0.2)) / 2)


def test_a_rank_that_the_fold_lacks_keeps_its_distance_in_qwk() -> None:
    # ranks 0, 1 and 3: one row of three is off by 2; a kappa on positions would take it for off by 1
    y, p = np.array([0, 1, 3]), np.array([0, 1, 1])
    by_chance = np.mean([(i - j) ** 2 for i in y for j in p])
    assert qwk(y, p) == pytest.approx(1 - (4 / 3) / by_chance)
    assert qwk(y, p) != pytest.approx(sk.cohen_kappa_score(y, p, weights="quadratic"))


@pytest.mark.parametrize(
    ("name", "truth", "predicted", "expected"),
    [("f1", [0, 0], [0, 0], 0.0), ("mcc", [1, 1], [1, 1], 0.0), ("mcc", [0, 1], [1, 1], 0.0)],
)
def test_a_score_that_scikit_learn_calls_0_is_0(
    name: str, truth: list[int], predicted: list[int], expected: float
) -> None:
    assert METRICS[name].score(truth, predicted) == expected


@pytest.mark.parametrize("name", ["qwk", "r2"])
def test_a_constant_truth_that_is_predicted_has_no_score(name: str) -> None:
    assert math.isnan(METRICS[name].score(np.full(10, 3), np.full(10, 3)))


def test_r2_of_a_constant_truth_is_nan_in_spite_of_rounding() -> None:
    truth = np.full(3, 0.1)
    assert truth.var() > 0
    assert math.isnan(METRICS["r2"].score(truth, [0.0, 0.1, 0.2]))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_sure_and_wrong_probability_costs_what_kaggle_charges(dtype: type) -> None:
    worst = -math.log(1e-15)
    assert METRICS["logloss"].score([0], np.array([1], dtype)) == pytest.approx(worst)
    assert METRICS["logloss"].score([1], np.array([0], dtype)) == pytest.approx(worst)
    assert METRICS["logloss"].score([0], np.array([[0, 1]], dtype)) == pytest.approx(worst)


def test_log_loss_rescales_rows_and_survives_a_row_of_zeros() -> None:
    assert METRICS["logloss"].score([0], [[2.0, 1.0, 1.0]]) == pytest.approx(-math.log(0.5))
    assert METRICS["logloss"].score([0], [[0.0, 0.0, 0.0]]) == pytest.approx(-math.log(1 / 3))


def test_predictions_below_zero_are_clipped_where_logs_are_taken() -> None:
    assert METRICS["rmsle"].score([1.0], [-5.0]) == pytest.approx(math.log(2))
    assert METRICS["rmse_log"].score([1.0], [-5.0]) == pytest.approx(-math.log(sys.float_info.min))


def test_mape_of_a_truth_of_zero_counts_machine_epsilon_as_scikit_learn_does() -> None:
    assert METRICS["mape"].score([0.0], [1.0]) == sk.mean_absolute_percentage_error([0.0], [1.0])


@pytest.mark.parametrize("codes", [[True, False], [1.0, 0.0], np.array([1, 0], np.uint8), np.array([1, 0], np.int8)])
def test_codes_may_be_of_any_numeric_type(codes: list[float]) -> None:
    assert METRICS["f1"].score(codes, [1, 0]) == 1.0
    assert METRICS["qwk"].score(codes, np.array([0, 1], np.uint8)) == pytest.approx(-1)


def test_differences_of_unsigned_values_do_not_wrap() -> None:
    assert METRICS["mae"].score(np.array([1], np.uint8), np.array([3], np.uint8)) == 2.0


@pytest.mark.parametrize("text", [np.array(["0", "1"]), np.array(["0", "1"], dtype=object), ["cat", "dog"]])
@pytest.mark.parametrize("name", ["accuracy", "auc"])
def test_label_text_is_never_taken_for_codes(name: str, text: list[str]) -> None:
    message = refused(1, lambda: METRICS[name].score(text, [0, 1]))
    assert "y_true" in message
    assert f"holds '{text[0]}'" in message
    assert "label_order" in message


def test_predicted_text_is_refused() -> None:
    assert "y_pred holds 'cat'" in refused(1, lambda: METRICS["accuracy"].score([0, 1], ["cat", "dog"]))


@pytest.mark.parametrize("code", [-1, 0.5, math.nan])
def test_a_number_that_is_no_code_is_refused(code: float) -> None:
    assert "y_pred holds" in refused(1, lambda: METRICS["accuracy"].score([0, 1, 1], [0, 1, code]))
    assert "y_true holds" in refused(1, lambda: METRICS["logloss"].score([0, code], [0.1, 0.2]))


def test_rows_that_do_not_match_are_refused_with_both_shapes() -> None:
    message = refused(1, lambda: METRICS["rmse"].score([1, 2, 3], [1, 2]))
    assert "(3,)" in message and "(2,)" in message
    refused(1, lambda: METRICS["accuracy"].score([0, 1], [[0, 1], [1, 0]]))
    refused(1, lambda: get_metric("mean_rmse").score([[1, 2]], [[1, 2, 3]]))
    refused(1, lambda: METRICS["logloss"].score([0, 1], THIRDS))


@pytest.mark.parametrize("name", EXPECTED)
def test_columns_given_to_a_plain_metric_point_to_the_mean_and_back(name: str) -> None:
    columns = [[1, 0], [0, 1]]
    assert f"use mean_{name}" in refused(2, lambda: METRICS[name].score(columns, columns))
    assert refused(2, lambda: get_metric(f"mean_{name}").score([0, 1], [0, 1])).endswith(f"use {name}")


def test_f1_of_many_classes_points_to_the_macro_mean() -> None:
    assert "use f1_macro" in refused(2, lambda: METRICS["f1"].score([0, 2], [0, 1]))
    assert "use f1_macro" in refused(2, lambda: METRICS["f1"].score([0, 1], [0, 2]))


def test_a_target_outside_the_logs_domain_is_refused() -> None:
    assert "1 of 2" in refused(1, lambda: METRICS["rmse_log"].score([0.0, 1.0], [1.0, 1.0]))
    assert "1 of 2" in refused(1, lambda: METRICS["rmsle"].score([-0.5, 0.0], [1.0, 1.0]))


@pytest.mark.parametrize("name", ["accuracy", "mean_accuracy"])
def test_a_metric_travels_to_a_worker_process(name: str) -> None:
    y = [0, 1] if name == "accuracy" else [[0], [1]]
    assert Parallel(n_jobs=2)(delayed(Metric.score)(get_metric(name), y, y) for _ in range(2)) == [1.0, 1.0]


def test_importing_the_catalogue_imports_no_scikit_learn() -> None:
    code = "import sys, kgl.metrics; sys.exit('sklearn' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-B", "-c", code], cwd=ENGINE, check=False).returncode == 0


@settings(max_examples=40, deadline=None, database=None)
@given(seed=st.integers(0, 2**31))
@pytest.mark.parametrize("beta", [1, 2])
def test_f_of_sets_agrees_with_scikit_learn(beta: int, seed: int) -> None:
    y, p = np.random.default_rng(seed).integers(0, 2, (2, 20, 4))
    expected = sk.fbeta_score(y, p, beta=beta, average="samples", zero_division=0)
    assert get_metric(f"f{beta}_samples").score(y, p) == pytest.approx(expected)
    assert refused(2, lambda: get_metric(f"f{beta}_samples").score([0, 1], [0, 1])).endswith("use f1")
