"""Kaggle's names of metrics, as far as they are known."""

import pandas as pd
import pytest

from kgl.metric_names import WORDINGS, metric_of
from kgl.metrics import get_metric

TWO, THREE = (pd.DataFrame({"label": labels}) for labels in (["a", "b"], ["a", "b", "c"]))
LIKELY_WORDINGS = {
    "Categorization Accuracy": "accuracy",
    "Accuracy Score": "accuracy",
    "CategorizationAccuracy": "accuracy",
    "Balanced Accuracy Score": "balanced_accuracy",
    "Area Under Receiver Operating Characteristic Curve": "auc",
    "Roc Auc Score": "auc",
    "AUC": "auc",
    "Log Loss": "logloss",
    "LogLoss": "logloss",
    "Multiclass Loss": "logloss",
    "MulticlassLoss": "logloss",
    "Balanced Log Loss": "balanced_logloss",
    "F1 Score": "f1",
    "F-Score Beta (Micro)": "f1",
    "Macro F-Score": "f1_macro",
    "Quadratic Weighted Kappa": "qwk",
    "QuadraticWeightedKappa": "qwk",
    "Matthews Correlation Coefficient": "mcc",
    "Root Mean Squared Error": "rmse",
    "RMSE": "rmse",
    "Root Mean Squared Logarithmic Error": "rmsle",
    "RMSLE": "rmsle",
    "Mean Absolute Error": "mae",
    "Mean Absolute Percentage Error": "mape",
    "R2 Score": "r2",
    "R Score": "r2",
    "Root Mean Square Percentage Error": "rmspe",
    "SMAPE": "smape",
    "Symmetric Mean Absolute Percentage Error": "smape",
    "Median Absolute Error": "medae",
}


@pytest.mark.parametrize("wording", LIKELY_WORDINGS)
def test_kaggles_wording_settles_the_metric(wording: str) -> None:
    assert metric_of(wording, TWO) == (LIKELY_WORDINGS[wording], True)


@pytest.mark.parametrize(
    ("wording", "metric"),
    [
        ("Mean Columnwise Root Mean Squared Error", "mean_rmse"),
        ("MCRMSE", "mean_rmse"),
        ("Root Mean Squared Error", "mean_rmse"),
        ("Mean Columnwise Root Mean Squared Logarithmic Error", "mean_rmsle"),
        ("MCRMSLE", "mean_rmsle"),
        ("Mean Columnwise Area Under Receiver Operating Characteristic Curve", "mean_auc"),
        ("Mean Columnwise Log Loss", "mean_logloss"),
    ],
)
def test_several_targets_take_the_mean_over_columns(wording: str, metric: str) -> None:
    assert metric_of(wording, TWO.assign(other=1)) == (metric, True)


@pytest.mark.parametrize(("wording", "metric"), [("F-Score Beta (Micro)", "accuracy"), ("Weighted F1", "f1_macro")])
def test_f1_of_several_labels_is_not_that_of_two(wording: str, metric: str) -> None:
    assert metric_of(wording, THREE)[0] == metric


def test_every_metric_of_kaggles_wordings_exists() -> None:
    assert all(get_metric(name) for name in WORDINGS)
