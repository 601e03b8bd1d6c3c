"""The work of bench/tabular.py as one would write it by hand: scikit-learn, LightGBM and a loop over folds."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, RobustScaler, StandardScaler

Array = NDArray[Any]
ID, TARGET = "Id", "SalePrice"


def dense(numbers: list[str], texts: list[str], *, scale: bool) -> ColumnTransformer:
    """Gaps filled and flagged, texts one-hot; scaled for linear models."""
    squeeze = [RobustScaler(), FunctionTransformer(np.arcsinh), StandardScaler()] if scale else []
    one_hot = OneHotEncoder(
        min_frequency=3,
        max_categories=100,
        handle_unknown="infrequent_if_exist",
        sparse_output=False,
        dtype=np.float32,
    )
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median", add_indicator=True), *squeeze), numbers),
            ("texts", make_pipeline(SimpleImputer(strategy="constant", fill_value="missing"), one_hot), texts),
        ]
    )


def native(numbers: list[str], texts: list[str]) -> ColumnTransformer:
    """Numbers as they are, texts as codes, gaps and unseen texts missing."""
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, dtype=np.float32)
    return ColumnTransformer([("numbers", "passthrough", numbers), ("texts", codes, texts)])


def models(numbers: list[str], texts: list[str]) -> dict[str, tuple[ColumnTransformer, Any, dict[str, Any]]]:
    """Preparation, estimator and what its fit takes besides, by name: the settings of the workspace's catalogue."""
    categorical = list(range(len(numbers), len(numbers) + len(texts)))
    boosted = lightgbm.LGBMRegressor(
        learning_rate=0.02,
        n_estimators=1000,
        num_leaves=7,
        min_child_samples=10,
        subsample=0.8,
        subsample_freq=1,
        colsample_bytree=0.5,
        reg_lambda=5.0,
        cat_smooth=10.0,
        random_state=0,
        n_jobs=1,
        deterministic=True,
        force_col_wise=True,
        verbosity=-1,
    )
    histogram = HistGradientBoostingRegressor(
        learning_rate=0.05,
        max_iter=200,
        max_leaf_nodes=15,
        l2_regularization=1.0,
        early_stopping=False,
        categorical_features=categorical,
        random_state=0,
    )
    trees = ExtraTreesRegressor(n_estimators=100, min_samples_leaf=3, max_features=0.33, random_state=0, n_jobs=1)
    return {
        "ridge": (dense(numbers, texts, scale=True), RidgeCV(alphas=np.logspace(-2, 3, 20)), {}),
        "extra_trees": (dense(numbers, texts, scale=False), trees, {}),
        "lightgbm": (native(numbers, texts), boosted, {"categorical_feature": categorical}),
        "histogram": (native(numbers, texts), histogram, {}),
    }


def cross_validate(folder: Path, data: Path) -> Iterator[tuple[str, list[float]]]:
    """Five folds of each model; predictions are written into `folder`, and each model's name and scores come back."""
    train, test = pd.read_csv(data / "train.csv"), pd.read_csv(data / "test.csv")
    y = np.log(train[TARGET].to_numpy(dtype=float))
    numbers = [str(c) for c in train.select_dtypes("number") if c not in (ID, TARGET)]
    texts = [str(c) for c in train.select_dtypes(exclude="number")]
    splits = list(KFold(5, shuffle=True, random_state=0).split(train))
    yield "reading", []
    for name, (prepare, model, fit_arguments) in models(numbers, texts).items():
        oof, tests, scores = np.empty(len(train)), [], []
        for inside, outside in splits:
            X = prepare.fit_transform(train.iloc[inside])
            model.fit(X, y[inside], **fit_arguments)
            oof[outside] = model.predict(prepare.transform(train.iloc[outside]))
            tests.append(np.exp(model.predict(prepare.transform(test))))
            scores.append(float(np.sqrt(np.mean((oof[outside] - y[outside]) ** 2))))
        write(folder / f"{name}-oof.csv", train[ID], np.exp(oof))
        write(folder / f"{name}-test.csv", test[ID], np.mean(tests, axis=0))
        yield name, scores


def write(path: Path, ids: pd.Series, values: Array) -> None:
    """Write ids and predictions."""
    pd.DataFrame({ID: ids, TARGET: values}).to_csv(path, index=False, lineterminator=os.linesep)
