"""Metrics are found by name, those of contest.py too, and what is none is refused with what to write."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kgl.arrays import Array
from kgl.metrics import METRICS, Metric, get_metric
from tests.conftest import refused


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("accurcy", "accuracy"), ("log_loss", "logloss"), ("AUC", "auc"), ("roc_auc", "auc"), ("mean_rsme", "mean_rmse")],
)
def test_an_unknown_name_is_refused_with_the_nearest_and_all_names(wrong: str, right: str) -> None:
    message = refused(2, lambda: get_metric(wrong))
    assert f'"{wrong}"' in message
    assert f"Did you mean '{right}'?" in message
    assert all(name in message for name in METRICS)


@pytest.mark.parametrize("name", ["", "mean_", "mean_mean_rmse", "zzzzzz"])
def test_what_is_no_name_is_refused(name: str) -> None:
    assert f'metric "{name}" is unknown' in refused(2, lambda: get_metric(name))


OWN_CONTEST = """
from kgl.metrics import Metric

def cost(y_true, y_pred):
    return (5 * ((y_true == 1) & (y_pred == 0)) + ((y_true == 0) & (y_pred == 1))).mean()

my_metric = Metric(cost, False, "labels", "logloss")
total = Metric(lambda y, p: abs(y.sum() - p.sum()), False, "values", "contest:total")
columns = Metric(lambda y, p: abs(y - p).max(), False, "values", "mean_rmse")
unsmooth = Metric(cost, False, "labels", "accuracy")
"""


@pytest.fixture
def contest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Writes contest.py in a workspace that is importable for the length of the test."""

    def write(text: str) -> None:
        (tmp_path / "contest.py").write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)

    monkeypatch.delitem(sys.modules, "contest", raising=False)
    yield write
    sys.modules.pop("contest", None)


def test_a_metric_of_your_own_is_found_in_contest_py(contest: Callable[[str], None]) -> None:
    contest(OWN_CONTEST)
    metric = get_metric("contest:my_metric")
    assert (metric.name, metric.takes, metric.loss) == ("contest:my_metric", "labels", "logloss")
    assert metric.score([1, 1, 0, 0], [1, 0, 1, 0]) == (5 + 1) / 4
    assert metric.gain(1.0, 3.0) == 2.0


def test_a_metric_of_your_own_may_be_its_own_loss_and_may_see_all_columns(contest: Callable[[str], None]) -> None:
    contest(OWN_CONTEST)
    assert get_metric(get_metric("contest:total").loss).score([1.0, 2.0], [2.0, 4.0]) == 3.0
    assert get_metric("contest:columns").score([[1.0, 2.0]], [[1.5, 4.0]]) == 2.0


def test_a_metric_of_your_own_is_checked_like_the_others(contest: Callable[[str], None]) -> None:
    contest(OWN_CONTEST)
    assert "contest:my_metric: y_true" in refused(1, lambda: get_metric("contest:my_metric").score(["a"], [0]))


def test_what_is_missing_in_contest_py_or_no_metric_is_refused_with_what_to_write(
    contest: Callable[[str], None],
) -> None:
    contest(OWN_CONTEST)
    missing = refused(2, lambda: get_metric("contest:nothing"))
    assert "nothing is missing in contest.py" in missing
    assert "write there: nothing = Metric(function, " in missing
    assert "cost is of type function, not a Metric" in refused(2, lambda: get_metric("contest:cost"))
    assert 'loss "accuracy"' in refused(2, lambda: get_metric("contest:unsmooth"))


def test_a_contest_py_that_cannot_be_imported_is_refused_with_the_reason(contest: Callable[[str], None]) -> None:
    contest("import a_package_that_nobody_has")
    assert "a_package_that_nobody_has" in refused(2, lambda: get_metric("contest:my_metric"))


def zero(_true: Array, _pred: Array) -> float:
    return 0.0


@pytest.mark.parametrize(
    "arguments",
    [
        ("logloss", True, "labels", "logloss"),
        (zero, "yes", "labels", "logloss"),
        (zero, True, "label", "logloss"),
        (zero, True, "labels", None),
    ],
)
def test_a_metric_made_with_a_wrong_argument_is_refused_with_what_was_got(arguments: tuple[object, ...]) -> None:
    assert str(arguments) in refused(2, lambda: Metric(*arguments))  # type: ignore[arg-type]
