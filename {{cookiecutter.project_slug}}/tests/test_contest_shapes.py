"""Table contests of odd shapes, from their files to a checked submission with nobody editing anything."""

import re
import tomllib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kgl.submission import check_run
from kgl.tabular.catalogue import CATALOGUE
from tests.conftest import CONTEST, Tiny

FACTS = """\
slug = "any"
kind = "tabular"

[folds]
n_splits = 3

[baseline]
experiments = ["{model}"]
"""
EXPERIMENT = 'from kgl.tabular import Tabular\n\nexperiment = Tabular(model="{model}")\n'
N, T = 60, 20
P = r"([01](\.\d+)?|[\d.]+e-\d+)"  # a probability
RNG = np.random.default_rng(0)
X, XT = RNG.normal(size=N), RNG.normal(size=T)
BINARY = (X > 0).astype(int)
Frame = pd.DataFrame


@dataclass(frozen=True)
class Shape:
    """A contest: its tables, what must be found, and what the first line of the submission looks like."""

    train: Frame
    test: Frame
    sample: Frame | None
    facts: Mapping[str, Any]
    line: str
    say: tuple[str, ...] = ()
    write: Callable[[Tiny, str, Frame], object] = lambda made, name, rows: made.save(f"{name}.csv", rows)
    model: str = "logistic"
    said: tuple[str, ...] = field(default=())


def rows(x: Any, **columns: Any) -> Frame:
    return pd.DataFrame({**columns, "x": np.round(x, 3), "z": np.arange(len(x)) % 7 + 0.5})


def ids(n: int, form: str = "{:d}") -> list[str]:
    return [form.format(i) for i in range(n)]


def hexes(n: int) -> list[str]:
    return [f"{i:04d}e{4690000 + i}" for i in range(n)]  # 0001e4690001 would be read as a number


def windows(made: Tiny, name: str, frame: Frame) -> None:
    made.write(f"data/raw/{name}.csv", "\ufeff" + frame.to_csv(index=False, lineterminator="\r\n"))


def zipped(made: Tiny, name: str, frame: Frame) -> None:
    (made.root / "data/raw").mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(made.root / f"data/raw/{name}.tsv.zip", "w") as archive:
        archive.writestr(f"{name}.tsv", frame.to_csv(index=False, sep="\t"))


def as_json(made: Tiny, name: str, frame: Frame) -> None:
    kind = {"train": "json", "test": "jsonl"}.get(name, "csv")
    text = {
        "json": lambda: frame.to_json(orient="records"),
        "jsonl": lambda: frame.to_json(orient="records", lines=True),
    }
    made.write(f"data/raw/{name}.{kind}", text.get(kind, lambda: frame.to_csv(index=False))())


def parquet(made: Tiny, name: str, frame: Frame) -> None:
    (made.root / "data/raw").mkdir(parents=True, exist_ok=True)
    frame.to_parquet(made.root / f"data/raw/{name}.parquet")


CLASSES = [f"Class_{k}" for k in range(1, 100)]
MANY = np.repeat(CLASSES, 4)
DAYS = pd.date_range("2024-01-01", periods=N + T).strftime("%Y-%m-%d").tolist()
WORDS = ["the sea was calm that day", "a dark night in the old house", "she said nothing and he left"]
TAGS = ("water", "road", "haze", "clear")
SETS = [" ".join(tag for j, tag in enumerate(TAGS) if (i % 15 + 1) >> j & 1) for i in range(N)]
SHAPES = {
    "no id": Shape(
        rows(X, label=BINARY),
        rows(XT),
        Frame({"label": [0] * T}),
        {"id": [], "target": ["label"], "task": "binary", "metric": "accuracy"},
        "[01]",
    ),
    "id in the submission only": Shape(
        rows(X, label=BINARY),
        rows(XT),
        Frame({"Id": range(1, T + 1), "label": [0.5] * T}),
        {"id": [], "metric": "logloss"},
        rf"1,{P}",
    ),
    "id in test only": Shape(
        rows(X, label=BINARY),
        rows(XT, id=ids(T, "t{}")),
        Frame({"id": ids(T, "t{}"), "label": [0] * T}),
        {"id": ["id"], "target": ["label"]},
        "t0,[01]",
    ),
    "two ids": Shape(
        rows(X, store=[i // 6 for i in range(N)], item=[i % 6 for i in range(N)], sales=np.exp(X)),
        rows(XT, store=[10 + i // 4 for i in range(T)], item=[i % 4 for i in range(T)]),
        Frame({"store": [10 + i // 4 for i in range(T)], "item": [i % 4 for i in range(T)], "sales": [0.0] * T}),
        {"id": ["store", "item"], "target": ["sales"], "task": "regression", "metric": "rmse"},
        r"10,0,-?\d+\.\d+",
        model="ridge",
    ),
    "a date as id, and test comes later": Shape(
        rows(X, datetime=DAYS[:N], casual=range(N), count=range(N, 2 * N)),
        rows(XT, datetime=DAYS[N:]),
        Frame({"datetime": DAYS[N:], "count": [0] * T}),
        {"id": ["datetime"], "target": ["count"], "task": "regression", "scheme": "time", "time": "datetime"},
        rf"{DAYS[N]},-?\d+\.\d+",
        say=("metric=rmsle",),
        model="ridge",
        said=("train only  casual", "? folds.time"),
    ),
    "ids that look like numbers": Shape(
        rows(X, id=hexes(N), label=BINARY),
        rows(XT, id=hexes(T)),
        Frame({"id": hexes(T), "label": [0.5] * T}),
        {"id": ["id"], "target": ["label"]},
        rf"0000e4690000,{P}",
    ),
    "99 columns of probabilities": Shape(
        rows(RNG.normal(size=len(MANY)), id=range(len(MANY)), species=MANY),
        rows(XT, id=range(900, 900 + T)),
        Frame({"id": range(900, 900 + T), **{name: [0.01] * T for name in CLASSES}}),
        {"target": ["species"], "task": "multiclass", "metric": "logloss"},
        r"900(,[\d.e-]+){99}",
        model="constant",
    ),
    "labels as text, one of them None": Shape(
        rows(X, id=ids(N), disorder=[("None", "Insomnia", "Apnea")[i % 3] for i in range(N)]),
        rows(XT, id=ids(T)),
        Frame({"id": ids(T), "disorder": ["None"] * T}),
        {"target": ["disorder"], "task": "multiclass", "metric": "accuracy"},
        "0,(None|Insomnia|Apnea)",
    ),
    "True and False": Shape(
        rows(X, id=ids(N, "{:04d}_01"), moved=BINARY.astype(bool)),
        rows(XT, id=ids(T, "{:04d}_02")),
        Frame({"id": ids(T, "{:04d}_02"), "moved": [False] * T}),
        {"target": ["moved"], "task": "binary", "metric": "accuracy"},
        "0000_02,(True|False)",
    ),
    "several targets": Shape(
        rows(X, id=ids(N), height=X * 2, weight=X * 3 + 1),
        rows(XT, id=ids(T)),
        Frame({"id": ids(T), "height": [0.5] * T, "weight": [0.5] * T}),
        {"target": ["height", "weight"], "task": "regression", "metric": "mean_rmse"},
        r"0,-?[\d.e-]+,-?[\d.e-]+",
        model="ridge",
    ),
    "several labels": Shape(
        rows(X, id=ids(N), toxic=BINARY, rude=(X > 0.5).astype(int)),
        rows(XT, id=ids(T)),
        Frame({"id": ids(T), "toxic": [0.5] * T, "rude": [0.5] * T}),
        {"target": ["toxic", "rude"], "task": "multilabel", "metric": "mean_auc"},
        rf"0,{P},{P}",
    ),
    "sets of labels in a cell": Shape(
        rows(X, id=ids(N), tags=SETS),
        rows(XT, id=ids(T)),
        Frame({"id": ids(T), "tags": ["clear road"] * T}),
        {"target": ["tags"], "task": "multilabel", "metric": "f1_samples"},
        r"0,(clear|haze|road|water)( (haze|road|water))*",
        said=("? task", "15 sets of 4 labels, parted by blanks"),
    ),
    "a Windows file": Shape(
        rows(X, id=ids(N), label=BINARY),
        rows(XT, id=ids(T)),
        Frame({"id": ids(T), "label": [0] * T}),
        {"id": ["id"], "target": ["label"]},
        "0,[01]",
        write=windows,
    ),
    "tsv in zip": Shape(
        rows(X, id=ids(N), label=BINARY),
        rows(XT, id=ids(T)),
        Frame({"id": ids(T), "label": [0] * T}),
        {"train": "train.tsv.zip", "target": ["label"]},
        "0,[01]",
        write=zipped,
    ),
    "json with lists": Shape(
        rows(X, id=range(N), cuisine=[("thai", "greek")[i] for i in BINARY], ingredients=[["salt"]] * N),
        rows(XT, id=range(T), ingredients=[["salt", "oil"]] * T),
        Frame({"id": range(T), "cuisine": ["greek"] * T}),
        {"train": "train.json", "test": "test.jsonl", "target": ["cuisine"], "task": "binary"},
        "0,(thai|greek)",
        write=as_json,
    ),
    "parquet": Shape(
        rows(X, id=ids(N, "a{}"), label=BINARY),
        rows(XT, id=ids(T, "b{}")),
        Frame({"id": ids(T, "b{}"), "label": [0.5] * T}),
        {"test": "test.parquet", "sample_submission": "sample_submission.parquet"},
        rf"b0,{P}",
        write=parquet,
    ),
    "odd names of columns": Shape(
        rows(X, id=ids(N), **{"{a}:[1],\"b\"": X, "N/A": X, "1st": BINARY, "price ": np.exp(X)}),
        rows(XT, id=ids(T), **{"{a}:[1],\"b\"": XT, "N/A": XT, "1st": [1] * T}),
        Frame({"id": ids(T), "price": [1.5] * T}),
        {"target": ["price "], "task": "regression"},
        r"0,-?[\d.e-]+",
        model="lightgbm",
    ),
    "text only": Shape(
        Frame({"id": ids(N), "text": [f"{WORDS[i % 3]} {i}" for i in range(N)], "author": ["EAP", "HPL", "MWS"] * 20}),
        Frame({"id": ids(T), "text": [f"{WORDS[i % 3]} {i}" for i in range(T)]}),
        Frame({"id": ids(T), "EAP": [0.4] * T, "HPL": [0.3] * T, "MWS": [0.3] * T}),
        {"target": ["author"], "task": "multiclass", "metric": "logloss"},
        rf"0,{P},{P},{P}",
        said=("text  text",),
    ),
    "codes as categories": Shape(
        rows(X, id=ids(N), shop_code=[(20, 35, 60, 190)[i % 4] for i in range(N)], label=BINARY),
        rows(XT, id=ids(T), shop_code=[(20, 35, 60, 190)[i % 4] for i in range(T)]),
        Frame({"id": ids(T), "label": [0] * T}),
        {"target": ["label"]},
        "0,[01]",
        said=("codes  shop_code",),
    ),
    "a rare class": Shape(
        rows(RNG.normal(size=1000), id=ids(1000), label=[int(i % 200 == 0) for i in range(1000)]),
        rows(XT, id=ids(T)),
        Frame({"id": ids(T), "label": [0.5] * T}),
        {"task": "binary", "scheme": "stratified"},
        rf"0,{P}",
        say=("metric=auc",),
    ),
    "whole groups in test": Shape(
        rows(X, id=ids(N), patient=[f"p{i // 3}" for i in range(N)], label=BINARY),
        rows(XT, id=ids(T), patient=[f"q{i // 2}" for i in range(T)]),
        Frame({"id": ids(T), "label": [0] * T}),
        {"scheme": "stratified_group", "group": "patient"},
        "0,[01]",
        said=("? folds.group",),
    ),
    "groups in the ids": Shape(
        rows(X, id=[f"{i // 2:03d}_{i % 2}" for i in range(N)], label=BINARY),
        rows(XT, id=[f"{500 + i // 2}_{i % 2}" for i in range(T)]),
        Frame({"id": [f"{500 + i // 2}_{i % 2}" for i in range(T)], "label": [0] * T}),
        {"scheme": "stratified_group", "group": "kgl.columns:id_prefix"},
        "500_0,[01]",
    ),
    "a blank target in test, another name in the submission": Shape(
        rows(X, id=ids(N), Label=BINARY),
        rows(XT, id=ids(T), Label=[None] * T),
        Frame({"id": ids(T), "label": [0] * T}),
        {"id": ["id"], "target": ["Label"]},
        "0,[01]",
    ),
}  # fmt: skip


def made_of(root: Any, shape: Shape) -> Tiny:
    made = Tiny(root)
    made.write("competition.toml", FACTS.format(model=shape.model))
    made.write("contest.py", CONTEST)
    made.write("features.py", "")
    made.write("experiments/__init__.py", "")
    made.write(f"experiments/{shape.model}.py", EXPERIMENT.format(model=shape.model))
    for name, frame in (("train", shape.train), ("test", shape.test), ("sample_submission", shape.sample)):
        if frame is not None:
            shape.write(made, name, frame)
    return made


SUITE = [
    name
    for name, recipe in CATALOGUE.items()
    if recipe.is_installed and name not in ("constant", "random_forest", "hist_gradient_boosting", "realmlp")
]
WHOLE_SUITE = ("no id", "several targets", "several labels", "text only", "a rare class")


@pytest.mark.parametrize("name", WHOLE_SUITE)
def test_the_whole_suite_ends_in_time_in_a_checked_submission(
    name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = SHAPES[name]
    made = made_of(tmp_path / "any", shape)
    monkeypatch.chdir(made.root)
    for model in SUITE:
        made.write(f"experiments/{model}.py", EXPERIMENT.format(model=model))
    made.replace("competition.toml", f'["{shape.model}"]', "[]")
    assert made.kgl("init", "--yes", *shape.say).status == 0
    done = made.kgl("baseline", "--minutes", "0.15")
    assert done.status == 0 and done.name == "blend-001", done.err
    assert "failed" not in done.err
    trained = {line.split("-001")[0] for line in done.out.splitlines() if " CV " in line}
    assert "one_column" in trained and ("text_linear" in trained or name != "text only"), done.out
    lines = check_run(made.workspace, "blend-001").read_text().splitlines()
    assert len(lines) == T + 1 and re.fullmatch(shape.line, lines[1]), lines[:2]


@pytest.mark.parametrize("name", SHAPES)
def test_from_the_files_to_a_checked_submission(name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pass_through(SHAPES[name], tmp_path, monkeypatch)


def pass_through(shape: Shape, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is found, and the submission has a row for each of test."""
    made = made_of(tmp_path / "any", shape)
    monkeypatch.chdir(made.root)
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    for variable in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR"):
        monkeypatch.delenv(variable, raising=False)
    done = made.kgl("init", "--yes", *shape.say)
    assert done.status == 0, done.err
    written = tomllib.loads((made.root / "competition.toml").read_text())
    found = {**written, **written["files"], **written["folds"]}
    assert {key: found.get(key, []) for key in shape.facts} == dict(shape.facts)
    assert all(line in re.sub(r" {2,}", "  ", done.out) for line in shape.said), done.out
    done = made.kgl("train", shape.model)
    assert done.status == 0, done.err
    lines = check_run(made.workspace, f"{shape.model}-001").read_text().splitlines()
    assert len(lines) == len(shape.test) + 1 and re.fullmatch(shape.line, lines[1]), lines[:2]
