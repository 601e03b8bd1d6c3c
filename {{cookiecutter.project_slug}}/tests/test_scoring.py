"""One way from predictions to what a metric takes, for every task."""

from dataclasses import replace

import numpy as np
import pytest

from kgl.errors import KglError
from kgl.metrics import Metric, get_metric
from kgl.scoring import check_metric, decide, label_values, loss, score, truth_labels
from kgl.target import Target

BINARY = Target("binary", ("y",), ("no", "yes"))
THREE = Target("multiclass", ("y",), ("a", "b", "c"))
TWO_LABELS = Target("multilabel", ("x", "y"))
GRADES = Target("ordinal", ("y",), ("3", "4", "10"))
P_BINARY = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]])
P_THREE = np.array([[0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.3, 0.4, 0.3]])


def test_labels_are_the_likeliest_class() -> None:
    assert list(decide(BINARY, P_BINARY)) == [0, 1, 1, 0]
    assert list(decide(THREE, P_THREE)) == [0, 2, 1]
    assert score(get_metric("accuracy"), BINARY, np.array([0, 1, 0, 0]), P_BINARY) == 0.75
    assert score(get_metric("accuracy"), THREE, np.array([0, 2, 0]), P_THREE) == pytest.approx(2 / 3)


def test_probabilities_of_two_classes_are_those_of_the_second() -> None:
    assert score(get_metric("auc"), BINARY, np.array([0, 1, 1, 0]), P_BINARY) == 1.0
    assert score(get_metric("auc"), BINARY, np.array([1, 0, 0, 1]), P_BINARY) == 0.0
    expected = -np.mean(np.log([0.9, 0.6, 0.8, 0.7]))
    assert score(get_metric("logloss"), BINARY, np.array([0, 1, 1, 0]), P_BINARY) == pytest.approx(expected)


def test_probabilities_of_several_classes_stay_columns() -> None:
    expected = -np.mean(np.log([0.6, 0.8, 0.3]))
    assert score(get_metric("logloss"), THREE, np.array([0, 2, 0]), P_THREE) == pytest.approx(expected)
    assert loss(get_metric("accuracy"), THREE, np.array([0, 2, 0]), P_THREE) == pytest.approx(expected)


def test_several_labels_are_decided_at_one_half_and_averaged_over_columns() -> None:
    y, predictions = np.array([[1, 0], [0, 1]]), np.array([[0.6, 0.5], [0.7, 0.51]])
    assert decide(TWO_LABELS, predictions).tolist() == [[1, 0], [1, 1]]
    assert score(get_metric("mean_accuracy"), TWO_LABELS, y, predictions) == 0.75
    assert score(get_metric("mean_auc"), TWO_LABELS, y, predictions) == 0.5
    one = Target("multilabel", ("x",))
    assert score(get_metric("mean_accuracy"), one, y[:, :1], predictions[:, :1]) == 0.5


def test_values_of_an_ordinal_are_the_nearest_label() -> None:
    assert list(label_values(GRADES)) == [3, 4, 10]
    assert list(decide(GRADES, np.array([[-1.0], [3.6], [6.9], [7.1], [99]]))) == [0, 1, 1, 2, 2]
    assert list(truth_labels(GRADES, np.array([3.0, 10.0, 4.0]))) == [0, 2, 1]
    y, predictions = np.array([3.0, 10.0, 4.0]), np.array([[3.1], [9.0], [4.2]])
    assert score(get_metric("qwk"), GRADES, y, predictions) == 1.0
    assert loss(get_metric("qwk"), GRADES, y, predictions) == pytest.approx(np.sqrt((0.01 + 1 + 0.04) / 3))


def test_values_of_classes_are_expected_ranks() -> None:
    ranks = P_THREE @ [0, 1, 2]
    expected = np.sqrt(np.mean((ranks - [0, 2, 0]) ** 2))
    assert loss(get_metric("qwk"), THREE, np.array([0, 2, 0]), P_THREE) == pytest.approx(expected)
    assert score(get_metric("mae"), BINARY, np.array([0, 1, 1, 0]), P_BINARY) == pytest.approx(0.25)


def test_numbers_are_scored_as_they_are() -> None:
    one, two = Target("regression", ("y",)), Target("regression", ("x", "y"))
    assert score(get_metric("mae"), one, np.array([1.0, 2.0]), np.array([[2.0], [4.0]])) == 1.5
    y, predictions = np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([[2.0, 1.0], [4.0, 1.0]])
    assert score(get_metric("mean_mae"), two, y, predictions) == 1.25


@pytest.mark.parametrize(
    ("metric", "target", "advice"),
    [
        ("rmse", BINARY, "takes values, but task binary gives labels or probabilities: kgl init task=regression"),
        ("mean_mae", TWO_LABELS, "kgl init task=regression"),
        ("auc", Target("regression", ("y",)), "takes probabilities, but task regression gives values"),
        ("logloss", GRADES, "task ordinal gives labels or values"),
        ("f1", TWO_LABELS, "does not score several columns: kgl init metric=mean_f1"),
        ("mean_rmse", Target("regression", ("y",)), "kgl init metric=rmse"),
    ],
)
def test_a_metric_that_cannot_score_the_task_is_refused(metric: str, target: Target, advice: str) -> None:
    with pytest.raises(KglError, match=advice):
        check_metric(get_metric(metric), target)
    check_metric(get_metric("f1"), BINARY)
    check_metric(get_metric("mean_f1"), TWO_LABELS)
    check_metric(get_metric("rmse"), GRADES)


@pytest.mark.parametrize(("loss", "other", "targets"), [("mae", "mean_mae", "xyz"), ("mean_mae", "mae", "x")])
def test_a_loss_of_ones_own_metric_that_does_not_fit_the_columns_is_refused(
    loss: str, other: str, targets: str
) -> None:
    target = Target("regression", tuple(targets))
    mine = Metric(lambda y, p: float(abs(y - p).mean()), False, "values", loss, "contest:mine")
    with pytest.raises(
        KglError, match=f'loss "{loss}" of contest:mine does not score .*: write "{other}" in its place'
    ):
        check_metric(mine, target)
    check_metric(replace(mine, loss=other), target)
