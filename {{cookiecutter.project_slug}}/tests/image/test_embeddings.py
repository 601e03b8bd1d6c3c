"""Frozen features with a table model on top, alone and joined with columns."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
from safetensors.torch import save_file
from sklearn.naive_bayes import GaussianNB

from kgl.errors import KglError
from kgl.fold_task import read_arrays, run_task
from kgl.image import Embeddings, embeddings
from tests.conftest import Tiny
from tests.image.painted import KINDS, SIZE, painted, prepared, task_of

FROZEN = Embeddings(backbone="test_resnet", weights="none", image_size=SIZE, head_params={"C": 1.0})


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    made = painted(tmp_path / "w")
    monkeypatch.chdir(made.root)
    return made


def accuracy(made: Tiny, experiment: Embeddings, name: str = "a") -> float:
    task = run_task(experiment, prepared(made, experiment), task_of(made, name), 1)
    truth = [KINDS.index(kind) for kind in pd.read_csv(made.root / "truth.csv")["kind"]]
    return float(np.mean(read_arrays(task)[1].argmax(axis=1) == truth))


HEADS = [
    ("logistic", {"C": 1.0}),
    ("knn", {"n_neighbors": 5}),
    ("lightgbm", {"n_estimators": 20}),
    (GaussianNB(), {}),
]


@pytest.mark.parametrize(("head", "params"), HEADS)
def test_heads_learn_from_a_network_that_was_never_trained(made: Tiny, head: object, params: dict[str, float]) -> None:
    experiment = Embeddings(backbone="test_resnet", weights="none", image_size=SIZE, head=head, head_params=params)
    assert accuracy(made, experiment) > 0.6  # a third by chance; even random filters see stripes


def test_features_are_computed_once(made: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    first = FROZEN.prepare_rows(made.frame("test.csv"))
    monkeypatch.setattr(embeddings, "_look_at_all", lambda *_: pytest.fail("computed again"))
    again = FROZEN.prepare_rows(made.frame("test.csv"))
    pd.testing.assert_frame_equal(first, again)


def test_features_of_other_weights_are_refused(made: Tiny) -> None:
    task = run_task(FROZEN, prepared(made, FROZEN), task_of(made), 1)
    about = (task.folder / "embeddings.json").read_text(encoding="utf-8")
    assert "test_resnet, weights: none, trained from scratch, sha256 " in about
    save_file(timm.create_model("test_resnet").state_dict(), made.root / "other.safetensors")
    other = replace(FROZEN, weights="other.safetensors")
    with pytest.raises(KglError, match=r"trained on features of test_resnet.*put the same weights back"):
        FROZEN.load(task.folder).predict(other.prepare_rows(made.frame("test.csv")))


def test_another_picture_under_the_same_name_is_looked_at_anew(made: Tiny) -> None:
    first = FROZEN.prepare_rows(made.frame("test.csv"))
    pictures = made.root / "data/raw/pictures"
    (pictures / "test000.png").write_bytes((pictures / "test001.png").read_bytes())
    again = FROZEN.prepare_rows(made.frame("test.csv"))
    before, after = (rows.filter(like="picture_").to_numpy() for rows in (first, again))
    assert np.allclose(after[0], before[1]) and not np.allclose(after[0], before[0])


def test_pictures_are_mixed_with_columns_of_the_table(made: Tiny) -> None:
    for name in ("train.csv", "test.csv"):
        rows = made.frame(name)
        kinds = rows["kind"] if name == "train.csv" else pd.read_csv(made.root / "truth.csv")["kind"]
        made.save(name, rows.assign(hint=[KINDS.index(kind) for kind in kinds]))

    def doubled(rows: pd.DataFrame) -> pd.Series:
        return pd.to_numeric(rows["hint"]) * 2.0

    trees = replace(FROZEN, head="lightgbm", head_params={"n_estimators": 60, "colsample_bytree": 1.0})
    assert accuracy(made, trees, "trees") < 1.0
    assert accuracy(made, replace(trees, columns=("hint",)), "column") == 1.0
    assert accuracy(made, replace(trees, features=(doubled,)), "feature") == 1.0


def test_rows_without_a_readable_picture_get_the_average(made: Tiny) -> None:
    made.write("data/raw/pictures/test003.png", b"no picture")
    made.write("data/raw/pictures/train003.png", b"")
    rows = prepared(made, FROZEN)
    task = run_task(FROZEN, rows, task_of(made), 1)
    trained = (rows.fold_of != 0) & (np.arange(len(rows.y)) != 3)
    prior = np.bincount(rows.y[trained]) / trained.sum()
    assert np.allclose(read_arrays(task)[1][3], prior)
    again = FROZEN.load(task.folder).predict(rows.test)
    assert np.allclose(again, read_arrays(task)[1])


def test_values_are_predicted_by_ridge(made: Tiny) -> None:
    experiment = Embeddings(backbone="test_resnet", weights="none", image_size=SIZE)
    rows = prepared(made, experiment, task="regression", metric="rmse", y=lambda codes: 100.0 + codes)
    test = read_arrays(run_task(experiment, rows, task_of(made), 1))[1]
    assert test.shape == (30, 1) and 99 < test.mean() < 103


def test_a_head_that_does_not_exist_is_refused(made: Tiny) -> None:
    experiment = Embeddings(backbone="test_resnet", weights="none", head="logistics")
    with pytest.raises(KglError, match="head: expected logistic, knn, lightgbm"):
        experiment.check(prepared(made, FROZEN).target, "logloss")
