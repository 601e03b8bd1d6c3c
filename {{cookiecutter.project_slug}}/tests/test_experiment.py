"""Experiment files: loaded, changed from the command line, refused in one sentence, and told as plain values."""

import json
from typing import Any

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from kgl.errors import KglError
from kgl.experiment import config_of, experiment_names, load_experiment, override, plain
from kgl.tabular import Tabular
from tests.conftest import Tiny


def feature(rows: Any) -> Any:
    return rows["x"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"params.learning_rate": "0.05"}, {"params": {"num_leaves": 3, "learning_rate": 0.05}}),
        ({"params.num_leaves": "9", "params.extra_trees": "true"}, {"params": {"num_leaves": 9, "extra_trees": True}}),
        ({"seeds": "0,1,2"}, {"seeds": (0, 1, 2)}),
        ({"seeds": "[4]"}, {"seeds": (4,)}),
        ({"model": "ridge"}, {"model": "ridge"}),
        ({"drop": "a, b"}, {"drop": ("a", "b")}),
        ({"drop": ""}, {"drop": ()}),
        ({"columns": "a,b"}, {"columns": ("a", "b")}),
        ({"columns": "none"}, {"columns": None}),
        ({"prepare": "raw"}, {"prepare": "raw"}),
        ({"weight": "none"}, {"weight": None}),
        ({"stack_on": "a-001,b-002"}, {"stack_on": ("a-001", "b-002")}),
    ],
)
def test_changes_are_read_as_the_field_wants_them(changes: dict[str, str], expected: dict[str, Any]) -> None:
    experiment = Tabular(params={"num_leaves": 3}, weight=feature)
    changed = override(experiment, changes)
    assert {name: getattr(changed, name) for name in expected} == expected
    assert experiment == Tabular(params={"num_leaves": 3}, weight=feature)  # the first stays as it was


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sedes": "0"}, "Tabular: unknown key 'sedes'. Did you mean 'seeds'?"),
        ({"param.C": "1"}, "unknown key 'param.C'. Did you mean 'params'?"),
        ({"seeds": "a"}, "seeds: expected a whole number, got 'a'"),
        ({"seeds": "0,0"}, "seeds: expected one or several different ones, got (0, 0)"),
        ({"seeds": ""}, "seeds: expected one or several different ones, got ()"),
        ({"seeds": "1.5"}, "seeds: expected a whole number, got 1.5"),
        (
            {"prepare": "linaer"},
            "prepare: got 'linaer', allowed: auto, linear, forest, native, encoded, text, raw. Did",
        ),
        ({"params": "3"}, "params: write params.<key>=value"),
        ({"seeds.x": "3"}, "seeds.x: seeds has no keys of its own"),
        ({"weight": "3"}, "weight: expected a function or none, got '3'"),
    ],
)
def test_changes_that_cannot_be_are_refused(changes: dict[str, str], sentence: str) -> None:
    with pytest.raises(KglError) as refused:
        override(Tabular(), changes)
    assert sentence in refused.value.message and refused.value.status == 2


@pytest.mark.parametrize(
    ("text", "status", "sentence"),
    [
        ("experiment = Tabular(modle='ridge')", 2, "experiments/mine.py: unknown key 'modle'. Did you mean 'model'?"),
        (
            "experiment = Tabular(seeds=3)",
            2,
            "experiments/mine.py: Tabular: seeds: expected a list, each a whole number",
        ),
        ("experiment = Tabular(seeds=('a',))", 2, "seeds: expected a whole number, got 'a'"),
        ("experiment = Tabular('ridge')", 1, "experiments/mine.py raises TypeError"),
        ("experiment = Tabular", 2, "expected experiment = Tabular(...) or another kind, got Tabular."),
        (
            "def ratio(rows):\n    return rows\n\nexperiment = Tabular(features=(ratio))",
            2,
            "Tabular: features: expected a list, such as [ratio], got ratio.",
        ),
        ("experimnt = Tabular()", 2, "expected experiment = Tabular(...) or another kind, got nothing of that name"),
        ("import nothing_of_that_name", 1, "experiments/mine.py raises ModuleNotFoundError"),
        ("experiment = Tabular(", 1, "experiments/mine.py, line 3 raises SyntaxError"),
        ("from features import missing", 1, "experiments/mine.py raises ImportError: cannot import name 'missing'"),
    ],
)
def test_a_wrong_file_is_told_in_one_sentence(tiny: Tiny, text: str, status: int, sentence: str) -> None:
    tiny.write("experiments/mine.py", f"from kgl.tabular import Tabular\n\n{text}\n")
    result = tiny.kgl("train", "mine")
    assert result.status == status and sentence in result.err
    assert len(result.err.splitlines()) == 2 and not list(tiny.root.glob("runs/*/run.json"))  # the other: folds made


def test_an_unknown_experiment_is_refused_with_the_nearest(tiny: Tiny) -> None:
    with pytest.raises(KglError) as refused:
        load_experiment(tiny.workspace, "logistik")
    assert refused.value.message == (
        "no experiment 'logistik' in experiments/. Did you mean 'logistic'? There are: constant, logistic."
    )
    assert refused.value.status == 2


def test_every_file_but_init_is_an_experiment(tiny: Tiny) -> None:
    tiny.write("experiments/another.py", "")
    assert experiment_names(tiny.workspace) == ["another", "constant", "logistic"]


def test_an_experiment_may_be_called_like_a_library(tiny: Tiny) -> None:
    for name in ("lightgbm", "sklearn", "json"):
        tiny.write(
            f"experiments/{name}.py", "from kgl.tabular import Tabular\n\nexperiment = Tabular(model='constant')\n"
        )
        assert tiny.kgl("train", name).status == 0
    tiny.write("experiments/boosted.py", "import lightgbm\nfrom kgl.tabular import Tabular\n\nexperiment = Tabular()\n")
    assert load_experiment(tiny.workspace, "boosted")


def test_the_config_is_plain_and_the_same_in_every_process() -> None:
    model = make_pipeline(SimpleImputer(), LogisticRegression(C=np.float64(0.5)))
    config = config_of(
        Tabular(model=model, features=(feature, SimpleImputer()), weight=feature, params={"a": (1, None)})
    )
    text = json.dumps(config, allow_nan=False)
    assert " at 0x" not in text and "missing_values" in text
    assert config["features"][0] == config["weight"] == f"{__name__}.feature"
    assert config["params"] == {"a": [1, None]} and config["kind"] == "tabular"
    steps = config["model"]["steps"]
    assert steps[0][1]["class"] == "sklearn.impute._base.SimpleImputer" and steps[1][1]["C"] == 0.5
    assert config == config_of(
        Tabular(model=model, features=(feature, SimpleImputer()), weight=feature, params={"a": (1, None)})
    )


def test_values_that_json_lacks_become_text() -> None:
    assert plain([np.nan, np.float32("inf"), np.int64(3), np.bool_(True)]) == ["nan", "inf", 3, True]
    assert plain(np.array([1.0, 2.0])) == [1.0, 2.0]
