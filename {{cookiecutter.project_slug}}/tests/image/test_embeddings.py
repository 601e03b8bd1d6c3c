"""Frozen features with a table model on top, alone and joined with columns."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import timm
from safetensors.torch import save_file
from sklearn.naive_bayes import GaussianNB

from kgl.errors import KglError
from kgl.experiment import config_of
from kgl.fold_task import read_arrays, run_task
from kgl.image import Embeddings, frozen
from kgl.image.heads import Head
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
    monkeypatch.setattr(frozen, "_look_at_all", lambda *_: pytest.fail("computed again"))
    again = FROZEN.prepare_rows(made.frame("test.csv"))
    pd.testing.assert_frame_equal(first, again)


def test_a_run_keeps_the_weights_that_it_was_trained_with(made: Tiny) -> None:
    save_file(timm.create_model("test_resnet").state_dict(), made.root / "data/weights.safetensors")
    experiment = replace(FROZEN, weights="data/weights.safetensors")
    rows, folder = prepared(made, experiment), made.root / "runs/a/folds"
    experiment.save_shared(rows.train, folder)
    task = run_task(experiment, rows, task_of(made), 1)
    assert "test_resnet, weights: " in (task.folder / "log.txt").read_text(encoding="utf-8")
    other = {name: tensor * 2 for name, tensor in timm.create_model("test_resnet").state_dict().items()}
    save_file(other, made.root / "data/weights.safetensors")
    with pytest.raises(KglError, match=r"begun with other weights of the backbone; put them back"):
        experiment.save_shared(experiment.prepare_rows(made.frame("train.csv")), folder)
    kept = experiment.as_trained(config_of(experiment), folder.parent)
    again = kept.load(task.folder).predict(kept.prepare_rows(made.frame("test.csv")))
    assert np.allclose(again, read_arrays(task)[1], atol=1e-9)


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


ONES: dict[str, tuple[str, Any]] = {
    "binary": ("logloss", lambda codes: (codes == 2).astype(int)),
    "multiclass": ("logloss", lambda codes: codes % 2),  # the third label is in no row
    "multilabel": ("logloss", lambda codes: np.stack([codes == 1, codes > 0], 1).astype(int)),
    "regression": ("rmsle", lambda codes: 10.0 + 5 * codes),
}


@pytest.mark.parametrize("head", ["logistic", "knn", "lightgbm"])
@pytest.mark.parametrize("task", ONES)
def test_a_head_kept_as_numbers_predicts_what_the_table_model_did(made: Tiny, head: str, task: str) -> None:
    params = {"n_estimators": 9} if head == "lightgbm" else {}
    experiment = Embeddings(backbone="test_resnet", weights="none", image_size=SIZE, head=head, head_params=params)
    names, (loss, y) = ("a", "b") if task == "multilabel" else ("a",), ONES[task]
    rows = prepared(made, experiment, task=task, names=names, y=y)
    setting = replace(rows.setting, loss=loss)
    part, test = rows.part(0), rows.test.drop(columns=frozen.NETWORK)
    fitted = experiment.fit(part, setting)
    assert isinstance(fitted, frozen.FittedEmbeddings) and isinstance(fitted.model, Head)
    plain = replace(part, table=part.table.drop(columns=frozen.NETWORK))
    table = experiment.table(setting.target).fit(plain, setting)
    assert np.allclose(fitted.predict(rows.test), table.predict(test), rtol=1e-3, atol=1e-5)


def test_a_label_that_is_the_same_everywhere_is_certain(made: Tiny) -> None:
    rows = prepared(
        made,
        FROZEN,
        task="multilabel",
        names=("a", "b"),
        metric="mean_logloss",
        y=lambda codes: np.stack([codes > 0, codes < 9], 1) * 1,
    )
    test = read_arrays(run_task(FROZEN, rows, task_of(made), 1))[1]
    assert (test[:, 1] == 1).all() and 0 < test[:, 0].min() < test[:, 0].max() < 1


def test_a_head_that_does_not_exist_is_refused(made: Tiny) -> None:
    experiment = Embeddings(backbone="test_resnet", weights="none", head="logistics")
    with pytest.raises(KglError, match="head: expected logistic, knn, lightgbm"):
        experiment.check(prepared(made, FROZEN).setting.target, "logloss")
