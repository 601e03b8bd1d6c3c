"""Every kind of target and of table, from the files to predictions that are right."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kgl.tabular.catalogue import BOOSTED, CATALOGUE
from tests.conftest import Tiny

OF_TABLES = {name: recipe for name, recipe in CATALOGUE.items() if recipe.prepare != "text" and recipe.is_installed}
BOOSTERS = [name for name in BOOSTED if CATALOGUE[name].is_installed]
CLASSIFIERS = [name for name, recipe in OF_TABLES.items() if recipe.classifier]
EXPERIMENT = """
from kgl.tabular import Tabular

experiment = Tabular(model="{model}", params={params}, drop=("family",))
"""
FEW_TREES: dict[str, dict[str, Any]] = {
    "random_forest": {"n_estimators": 10},
    "extra_trees": {"n_estimators": 10},
    "hist_gradient_boosting": {"max_iter": 20, "min_samples_leaf": 3},
    "lightgbm": {"n_estimators": 60, "learning_rate": 0.1, "min_child_samples": 3},
    "lightgbm_encoded": {"early_stopping_rounds": 5, "learning_rate": 0.1, "min_child_samples": 3},
    "xgboost": {"n_estimators": 40, "learning_rate": 0.1, "min_child_weight": 1},
    "catboost": {"early_stopping_rounds": 5, "learning_rate": 0.3},
    "mlp": {"estimator__max_iter": 40},
}


def add(tiny: Tiny, model: str, name: str = "mine") -> None:
    tiny.write(f"experiments/{name}.py", EXPERIMENT.format(model=model, params=FEW_TREES.get(model, {})))


def make_contest(tiny: Tiny, task: str, metric: str, train: pd.DataFrame, targets: list[str]) -> None:
    """A contest of the tiny rows with targets of one's own; the sample submission asks for them."""
    tiny.replace("competition.toml", 'task = "binary"', f'task = "{task}"')
    tiny.replace("competition.toml", 'metric = "accuracy"', f'metric = "{metric}"')
    tiny.replace("competition.toml", 'target = ["label"]', f"target = {json.dumps(targets)}")
    tiny.replace("competition.toml", '"stratified"', '""')
    test = train.drop(columns=targets).iloc[::3].assign(id=lambda rows: "t" + rows["id"])
    tiny.save("train.csv", train)
    tiny.save("test.csv", test)
    tiny.save("sample.csv", test[["id"]].assign(**dict.fromkeys(targets, train[targets[0]].iloc[0])))


def trained(tiny: Tiny, *arguments: str) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """run.json, and the predictions by id."""
    result = tiny.kgl("train", *arguments)
    assert result.status == 0, result.err
    folder = tiny.root / "runs" / result.name
    oof, test = (pd.read_parquet(folder / f"{part}.parquet").set_index("id") for part in ("oof", "test"))
    run = json.loads((folder / "run.json").read_text())
    assert run["status"] == "complete" and np.isfinite(oof).all(axis=None) and np.isfinite(test).all(axis=None)
    assert list(test.columns) == list(oof.columns.drop("fold"))
    assert len(pd.read_csv(folder / "submission.csv")) == len(test)
    return run, oof, test


def rows_of(tiny: Tiny) -> pd.DataFrame:
    """Training rows whose numbers are numbers."""
    return pd.read_csv(tiny.root / "data/raw/train.csv", dtype={"id": "str"})


@pytest.mark.parametrize("model", ["logistic", "random_forest", "hist_gradient_boosting", "lightgbm"])
def test_labels_that_are_numbers_as_text_keep_their_columns(tiny: Tiny, model: str) -> None:
    rows = rows_of(tiny)
    label = np.array(["10", "2", "1", "0"])[np.searchsorted([-0.5, 0.5, 1.5], rows["size"])]
    make_contest(tiny, "multiclass", "accuracy", rows.assign(label=label), ["label"])
    add(tiny, model)
    run, oof, test = trained(tiny, "mine")
    assert run["label_order"] == ["0", "1", "2", "10"]
    assert list(test.columns) == ["p_0", "p_1", "p_2", "p_10"]
    found = oof.loc[rows["id"]].drop(columns="fold").to_numpy().argmax(axis=1)
    assert (np.array(run["label_order"])[found] == label).mean() > 0.5  # a guess: .25; columns by their text: .3
    submitted = pd.read_csv(tiny.root / "runs" / run["run"] / "submission.csv", dtype="str")
    assert (submitted["label"].to_numpy() == label[::3]).mean() > 0.5


@pytest.mark.parametrize("model", ["logistic", "extra_trees", "lightgbm_encoded", *BOOSTERS])
def test_a_class_of_a_single_row_is_no_obstacle(tiny: Tiny, model: str) -> None:
    rows = rows_of(tiny)
    label = np.where(rows["size"] > 0.5, "b", "c").astype(object)
    label[7] = "a"  # absent from the training part of one fold
    make_contest(tiny, "multiclass", "logloss", rows.assign(label=label), ["label"])
    tiny.save("sample.csv", pd.read_csv(tiny.root / "data/raw/test.csv")[["id"]].assign(a=0.2, b=0.4, c=0.4))
    add(tiny, model)
    run, oof, _ = trained(tiny, "mine")
    alone = oof[oof["fold"] == oof.loc[rows["id"][7], "fold"]]
    assert alone["p_a"].max() < (0.1 if model == "xgboost" else 1e-6)  # it begins with equal shares
    assert oof["p_b"][rows.set_index("id")["size"] > 1.5].mean() > 0.5
    assert run["cv_score"] is not None


@pytest.mark.parametrize("model", ["constant", "one_column", "logistic", *BOOSTERS])
def test_multilabel_targets_have_a_probability_each(tiny: Tiny, model: str) -> None:
    rows = rows_of(tiny).assign(never=0).rename(columns={"label": "late"})
    rows["late"], rows["large"] = (rows["day"] > 20).astype(int), (rows["size"] > 0.5).astype(int)
    targets = ["large", "late", "never"]
    make_contest(tiny, "multilabel", "mean_auc", rows, targets)
    add(tiny, model)
    run, oof, test = trained(tiny, "mine")
    assert list(test.columns) == ["p_large", "p_late", "p_never"] and run["label_order"] == []
    assert oof["p_never"].max() < 0.05
    assert run["cv_score"] > (0.49 if model == "constant" else 0.6 if model == "one_column" else 0.9)


@pytest.mark.parametrize(
    ("model", "metric"),
    [
        *((name, "rmsle") for name, recipe in OF_TABLES.items() if recipe.regressor),
        *((name, metric) for name in ("constant", "lightgbm") for metric in ("rmse", "rmse_log", "mae", "mape", "r2")),
    ],
)
def test_regression_is_on_the_targets_scale_whatever_the_metric(tiny: Tiny, model: str, metric: str) -> None:
    rows = rows_of(tiny)
    price = np.round(np.exp(4 + rows["size"]), 2)
    make_contest(tiny, "regression", metric, rows.drop(columns="label").assign(price=price), ["price"])
    add(tiny, model)
    _, oof, test = trained(tiny, "mine")
    assert list(test.columns) == ["price"] and 20 < oof["price"].median() < 500
    if "log" in metric:
        assert oof["price"].min() > 0
    if model == "constant":  # the mean, the geometric mean or the median
        typical = {"rmse": price.mean(), "r2": price.mean(), "mae": price.median(), "mape": price.median()}
        expected = typical.get(metric, np.exp(np.log(price).mean()))
        np.testing.assert_allclose(oof["price"].mean(), expected, rtol=0.2)
    else:
        assert oof["price"].loc[rows["id"]].reset_index(drop=True).corr(rows["size"], method="spearman") > 0.2


def test_one_odd_row_gets_no_odd_value(tiny: Tiny) -> None:
    rows = rows_of(tiny)
    train = rows.drop(columns="label").assign(price=10 + rows["size"].rank())
    make_contest(tiny, "regression", "rmse", train, ["price"])
    test = pd.read_csv(tiny.root / "data/raw/test.csv", dtype={"id": "str"})
    test.loc[0, "size"], test.loc[1, "size"] = 1e9, -1e9
    tiny.save("test.csv", test)
    tiny.write("experiments/mine.py", LINE)
    _, _, predicted = trained(tiny, "mine")
    assert predicted["price"].min() >= 0 and predicted["price"].max() < 110  # training had 11 to 70


LINE = """
from sklearn.linear_model import LinearRegression

from kgl.tabular import Tabular

experiment = Tabular(model=LinearRegression(), prepare="forest", columns=("size",))
"""


def test_several_targets_have_a_model_each(tiny: Tiny) -> None:
    rows = rows_of(tiny).drop(columns="label").assign(up=lambda r: 3 * r["size"], down=lambda r: -r["day"])
    make_contest(tiny, "regression", "mean_rmse", rows, ["up", "down"])
    add(tiny, "ridge")
    _, oof, _ = trained(tiny, "mine")
    by_id = oof.loc[rows["id"]]
    assert np.corrcoef(by_id["up"], rows["up"])[0, 1] > 0.95 and np.corrcoef(by_id["down"], rows["down"])[0, 1] > 0.95
    assert len(list(tiny.root.glob("runs/mine-001/folds/0/seed-0/model-*.joblib"))) == 2


@pytest.mark.parametrize("model", ["ridge", "lightgbm"])
def test_ordinal_targets_are_values_and_submitted_as_ranks(tiny: Tiny, model: str) -> None:
    rows = rows_of(tiny)
    stars = np.searchsorted([-0.5, 0.5, 1.5], rows["size"]) + 1
    make_contest(tiny, "ordinal", "qwk", rows.drop(columns="label").assign(stars=stars), ["stars"])
    add(tiny, model)
    run, _, test = trained(tiny, "mine")
    assert run["cv_score"] > 0.7 and list(test.columns) == ["stars"] and run["label_order"] == ["1", "2", "3", "4"]
    submitted = pd.read_csv(tiny.root / "runs/mine-001/submission.csv")["stars"]
    assert set(submitted) <= {1, 2, 3, 4} and np.corrcoef(submitted, stars[::3])[0, 1] > 0.7


def test_a_target_without_a_logarithm_is_told_before_training(tiny: Tiny) -> None:
    rows = rows_of(tiny).assign(price=lambda r: r["size"])
    make_contest(tiny, "regression", "rmse_log", rows.drop(columns="label"), ["price"])
    add(tiny, "ridge")
    result = tiny.kgl("train", "mine")
    assert result.status == 1 and "values of the target have no logarithm; use metric rmse" in result.err


@pytest.mark.parametrize("model", CLASSIFIERS)
def test_awkward_tables_do_not_stop_a_model(tiny: Tiny, model: str) -> None:
    rows = rows_of(tiny)
    awkward = {"size": 'si"ze: [a]{b},<c>', "letter": "letter ", "gaps": "", "day": "12 Tag, ü"}
    many = rows.rename(columns=awkward).assign(
        infinite=np.where(rows["day"] % 7 == 0, np.inf, rows["day"]),
        flag=rows["day"] % 2 == 0,
        flag_with_gaps=(rows["day"] % 2 == 0).astype(object).mask(rows["day"] % 5 == 0),
        empty=np.nan,
        large=rows["day"] + 2.0**53,
        same=1,
        code=rows["day"].map("{:04d}".format),
    )
    make_contest(tiny, "binary", "auc", many.rename(columns={"": "N/A"}), ["label"])
    tiny.save("sample.csv", pd.read_csv(tiny.root / "data/raw/test.csv")[["id"]].assign(label=0.5))
    test = pd.read_csv(tiny.root / "data/raw/test.csv")
    test.loc[0, "letter "], test.loc[1, "empty"] = "unseen", 5.0
    tiny.save("test.csv", test)
    add(tiny, model)
    run, _, _ = trained(tiny, "mine")
    assert run["cv_score"] >= 0.5


@pytest.mark.parametrize("model", ["hist_gradient_boosting", "lightgbm", "logistic"])
def test_more_levels_than_a_model_takes_are_no_obstacle(tiny: Tiny, model: str) -> None:
    rows = pd.concat([rows_of(tiny)] * 12, ignore_index=True).assign(id=lambda r: [f"{i:04d}" for i in r.index])
    rows["city"] = [f"c{i % 340}" for i in range(len(rows))]
    make_contest(tiny, "binary", "accuracy", rows, ["label"])
    add(tiny, model)
    assert trained(tiny, "mine")[0]["cv_score"] > 0.7


@pytest.mark.parametrize("kind", ["str", "object", "category", "string"])
def test_the_type_that_pandas_keeps_text_in_makes_no_difference(tiny: Tiny, kind: str) -> None:
    tiny.write(
        "features.py",
        "def kept(rows):\n"
        f"    return rows['letter'].astype('{kind}').rename('kept')\n\n\n"
        "def plain(rows):\n    return rows['letter'].rename('kept')\n",
    )
    add(tiny, "lightgbm")
    for name in ("kept", "plain"):
        settings = f"model='lightgbm', params={{'n_estimators': 9}}, features=(features.{name},), drop=('letter',)"
        text = f"import features\nfrom kgl.tabular import Tabular\n\nexperiment = Tabular({settings})\n"
        tiny.write(f"experiments/{name}.py", text)
    pd.testing.assert_frame_equal(trained(tiny, "kept")[1], trained(tiny, "plain")[1], check_exact=True)


def test_external_rows_train_and_are_never_validated(tiny: Tiny) -> None:
    tiny.write(
        "contest.py",
        "import pandas as pd\n\nfrom kgl.tables import read_test, read_train\n\n\n"
        "def load():\n    train = read_train()\n"
        "    more = train.drop(columns='__id__').iloc[:40].assign(label=1, external=True)\n"
        "    return pd.concat([train.assign(external=False), more], ignore_index=True), read_test()\n",
    )
    _, oof, _ = trained(tiny, "constant")
    assert sorted(oof.index) == [f"{i:04d}" for i in range(60)]
    np.testing.assert_allclose(oof["p_1"], 0.6667, atol=0.02)  # (20 + 40) of 100 rows; without them a third


def test_weights_count_in_training(tiny: Tiny) -> None:
    tiny.write("features.py", "def weight(rows):\n    return (rows['day'] % 3 == 0) * 2.0 + 1\n")
    text = (
        "import features\nfrom kgl.tabular import Tabular\n\nexperiment = Tabular(model='{}', weight=features.weight)\n"
    )
    for model in ("constant", "lightgbm"):
        tiny.write(f"experiments/{model}_weighted.py", text.format(model))
    _, oof, _ = trained(tiny, "constant_weighted")
    np.testing.assert_allclose(oof["p_1"], 3 / 5, atol=0.02)  # a third of the rows with weight 3, the rest with 1
    assert trained(tiny, "lightgbm_weighted")[1]["p_1"].mean() > 0.5


@pytest.mark.parametrize(
    ("returns", "sentence"),
    [
        ("rows['day'] - 5", "weight 'weight' should return a number of 0 or more for each of 40 rows"),
        ("rows['day'].iloc[1:]", "weight 'weight' should return a number of 0 or more for each of 40 rows"),
        ("rows['gaps']", "weight 'weight' should return a number of 0 or more for each of 40 rows"),
        ("rows['label']", "KeyError: 'label' (the whole story: runs/mine-001/log.txt)"),
    ],
)
def test_a_wrong_weight_is_told_in_one_sentence(tiny: Tiny, returns: str, sentence: str) -> None:
    tiny.write("features.py", f"def weight(rows):\n    return {returns}\n")
    settings = "model='lightgbm', weight=features.weight"
    tiny.write(
        "experiments/mine.py", f"import features\nfrom kgl.tabular import Tabular\n\nexperiment = Tabular({settings})\n"
    )
    result = tiny.kgl("train", "mine")
    assert result.status == 1 and f"mine: fold 0, seed 0: {sentence}" in result.err


def test_other_runs_predictions_are_features_joined_by_id(tiny: Tiny) -> None:
    trained(tiny, "logistic")
    for part in ("oof", "test"):  # the order of the rows in the file must not matter
        path = tiny.root / f"runs/logistic-001/{part}.parquet"
        pd.read_parquet(path).iloc[::-1].to_parquet(path, index=False)
    settings = "model='one_column', params={'column': 'logistic-001:p_1'}, stack_on=('logistic-001',)"
    tiny.write("experiments/stacked.py", f"from kgl.tabular import Tabular\n\nexperiment = Tabular({settings})\n")
    _, oof, test = trained(tiny, "stacked")
    below = pd.read_parquet(tiny.root / "runs/logistic-001/oof.parquet").set_index("id")
    assert oof["p_1"].corr(below["p_1"], method="spearman") > 0.6
    below_test = pd.read_parquet(tiny.root / "runs/logistic-001/test.parquet").set_index("id")
    assert test["p_1"].corr(below_test["p_1"], method="spearman") > 0.6


def test_a_pipeline_of_ones_own_gets_the_table_itself(tiny: Tiny) -> None:
    tiny.write(
        "experiments/mine.py",
        "from sklearn.compose import make_column_transformer\n"
        "from sklearn.impute import SimpleImputer\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "from sklearn.pipeline import make_pipeline\n"
        "from sklearn.preprocessing import OneHotEncoder\n\n"
        "from kgl.tabular import Tabular\n\n"
        "columns = make_column_transformer((OneHotEncoder(), ['letter']), (SimpleImputer(), ['size', 'gaps']))\n"
        "model = make_pipeline(columns, LogisticRegression())\n"
        "experiment = Tabular(model=model, prepare='raw', params={'logisticregression__C': 10.0})\n",
    )
    run, _, _ = trained(tiny, "mine", "params.logisticregression__C=5.0")
    assert run["cv_score"] > 0.7
    assert run["config"]["params"] == {"logisticregression__C": 5.0}
    assert run["config"]["model"]["class"] == "sklearn.pipeline.Pipeline"


def test_seeds_are_averaged_as_probabilities(tiny: Tiny) -> None:
    add(tiny, "random_forest")
    run, oof, test = trained(tiny, "mine", "seeds=0,1,2")
    folder, tests = tiny.root / "runs/mine-001/folds", []
    for k in range(3):
        parts = [np.load(folder / str(k) / f"seed-{seed}/predictions.npz") for seed in (0, 1, 2)]
        assert not np.array_equal(parts[0]["valid"], parts[1]["valid"])
        mean = np.mean([part["valid"] for part in parts], axis=0)
        np.testing.assert_array_equal(oof[oof["fold"] == k][["p_0", "p_1"]], mean)
        tests.append(np.mean([part["test"] for part in parts], axis=0))
    np.testing.assert_array_equal(test, np.mean(tests, axis=0))
    truth = rows_of(tiny).set_index("id")["label"].loc[oof.index]
    right = (oof["p_1"] > oof["p_0"]) == truth
    np.testing.assert_allclose(run["fold_scores"], right.groupby(oof["fold"]).mean())
    assert run["cv_score"] == pytest.approx(np.mean(run["fold_scores"])) and run["seeds"] == [0, 1, 2]
    assert run["oof_score"] == pytest.approx(right.mean())
    assert run["cv_std"] == pytest.approx(np.std(run["fold_scores"], ddof=1))


def test_a_line_through_stacked_prices_is_one_through_their_logarithms(tiny: Tiny) -> None:
    rows = tiny.frame("train.csv").drop(columns="label")
    noise = np.random.default_rng(0).normal(0, 0.3, len(rows))
    rows = rows.assign(price=np.exp(3 * np.linspace(-1, 1, len(rows)) + noise), size=np.linspace(-1, 1, len(rows)))
    make_contest(tiny, "regression", "rmse_log", rows, ["price"])
    add(tiny, "ridge")
    below, _, _ = trained(tiny, "mine", "columns=size")
    stacked, _, _ = trained(tiny, "mine", "columns=()", "stack_on=mine-001")
    assert stacked["cv_score"] < 1.25 * below["cv_score"]


@pytest.mark.parametrize("model", BOOSTERS)
def test_boosters_learn_where_no_fold_is_left_to_choose_rounds_on(tiny: Tiny, model: str) -> None:
    tiny.replace("competition.toml", "n_splits = 3", "n_splits = 2")
    tiny.write("experiments/mine.py", EXPERIMENT.format(model=model, params={}))
    assert trained(tiny, "mine")[0]["status"] == "complete"
