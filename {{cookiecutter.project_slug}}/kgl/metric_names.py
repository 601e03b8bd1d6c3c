"""Kaggle's names of metrics."""

import re

import pandas as pd

from kgl.metrics import MEAN

# Kaggle's wordings of each metric, in lower case without punctuation: sure where all fits, likely where a part does.
WORDINGS = {
    "qwk": "(quadratic )?(weighted )?(cohen )?kappa( score)?",
    "mcc": "matthews (correlation( coefficient)?|corrcoef)|mcc",
    "balanced_logloss": "balanced log(arithmic)? ?loss",
    "balanced_accuracy": "balanced accuracy( score)?|macro averaged? accuracy",
    "logloss": "((mean )?column ?wise )?(binary |multi ?class )?(log(arithmic)? ?loss|cross entropy)|mcll|"
    "multi ?class loss",
    "auc": "((mean )?column ?wise |mean |multi ?class )?((roc )?auc( roc)?( score)?|area under (the )?"
    "(receiver operating characteristic|roc)( curve)?)|auroc|area under the curve|mcauc|gini",
    "f1_macro": "macro (averaged )?f1?( ?score)?|f1 macro|f ?score macro|mean f1? ?score macro",
    "f1": "f1( ?score)?|f ?score beta micro|(mean|micro) f1? ?score|f measure|f ?score",
    "rmspe": "root mean squared? percentage error|rmspe",
    "rmsle": "((mean )?column ?wise )?(root )?mean squared? log(arithmic)? error|(mc)?rmsle",
    "rmse": "((mean )?column ?wise )?(root mean squared? error|rmse)|mcrmse|root mean square deviation",
    "smape": "symmetric mean absolute percentage error|smape",
    "mape": "mean absolute percentage error|mape",
    "medae": "median absolute error|medae",
    "mae": "((mean )?column ?wise )?(mean absolute error|mae)",
    "r2": "r( ?2)? score|r ?2|r squared|coefficient of determination",
    "accuracy": "(categori[sz]ation |classification )?accuracy( score)?",
}
# What contests for beginners score, where Kaggle cannot be asked: no file tells rmse from rmse of logarithms.
KNOWN = {
    **dict.fromkeys(("titanic", "spaceship-titanic", "digit-recognizer"), "accuracy"),
    "nlp-getting-started": "f1",
    "house-prices-advanced-regression-techniques": "rmse_log",
    **dict.fromkeys(("bike-sharing-demand", "store-sales-time-series-forecasting"), "rmsle"),
    "spooky-author-identification": "logloss",
}
OTHER = "precision recall|pr auc|average precision|top|@"  # looks alike and is another metric


def metric_of(wording: str, targets: pd.DataFrame) -> tuple[str, bool]:
    """The metric that Kaggle's words name, and whether that is sure; empty where they name none."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", wording).lower()  # MulticlassLoss
    words = " ".join(re.sub(r"[^a-z0-9@]+", " ", apart).split())
    several = targets.nunique().max() > 2
    if "gini" in words and several:  # of two labels it orders models as auc does
        return "", False
    for fits in (re.fullmatch, re.search):
        for name, pattern in WORDINGS.items():
            if fits(rf"\b({pattern})\b", words) and not (fits is re.search and re.search(OTHER, words)):
                if name == "f1" and several:
                    name = "accuracy" if "micro" in words else "f1_macro"
                return (MEAN if targets.shape[1] > 1 else "") + name, fits is re.fullmatch
    return "", False
