"""kgl tune on pictures: what is tried, and a search over a frozen network's head."""

import json
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from kgl.experiment import override
from kgl.image import Embeddings, Vision
from kgl.image.spaces import default_space
from kgl.target import Target
from kgl.tune import suggest
from kgl.tune_trials import as_typed
from tests.image.painted import FAST, painted

LABELS, VALUES = Target("multiclass", ("kind",), ("a", "b", "c")), Target("regression", ("size",), ())
FROZEN = """\
from kgl.image import Embeddings

experiment = Embeddings(backbone="test_resnet", weights="none", image_size=32)
"""


@pytest.mark.parametrize(
    "experiment",
    [
        FAST,
        replace(FAST, layer_decay=0.8, params={"drop_path_rate": 0.1}),
        Embeddings(backbone="test_resnet", weights="none"),
        Embeddings(backbone="test_resnet", weights="none", head="knn"),
        Embeddings(backbone="test_resnet", weights="none", head="lightgbm"),
    ],
    ids=["network", "deep network", "logistic", "knn", "lightgbm"],
)
def test_every_setting_that_is_tried_is_one_of_the_experiment(experiment: Vision | Embeddings) -> None:
    changes = as_typed(suggest(optuna.create_study().ask(), default_space(experiment, LABELS)))
    assert changes
    override(experiment, changes).check(LABELS, "logloss")


def test_a_ridge_regression_on_frozen_features_has_nothing_to_tune() -> None:
    assert default_space(Embeddings(backbone="test_resnet", weights="none"), VALUES) == {}


def test_heads_of_frozen_networks_are_searched_like_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = painted(tmp_path / "w", train=60, test=6)
    monkeypatch.chdir(made.root)
    made.write("experiments/frozen.py", FROZEN)
    answer = json.loads((result := made.kgl("tune", "frozen", "--trials", "2", "--json")).out or "null")
    assert result.status == 0, result.err
    assert [sorted(tried["changes"]) for tried in answer["trials"]] in (
        [[], ["head_params.C"]],
        [["head_params.C"], []],
    )
    assert answer["run"] in ("frozen-001", "frozen-002")
