"""Contests that say less than others: what is asked, left out or scored shows in their files alone."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Tiny
from tests.test_contest_shapes import BINARY, DAYS, XT, Frame, N, P, Shape, T, X, ids, pass_through, rows


def one_file(made: Tiny, name: str, frame: Frame) -> None:
    if name != "test":
        made.save({"train": "data"}.get(name, name) + ".csv", frame)


def semicolons(made: Tiny, name: str, frame: Frame) -> None:
    made.write(f"data/raw/{name}.csv", frame.to_csv(index=False, sep=";"))


def with_side_tables(made: Tiny, name: str, frame: Frame) -> None:
    made.save(name + ("_orders.csv" if name in ("train", "test") else ".csv"), frame)
    made.save(f"{name}_id.csv", frame[["id"]].assign(device=range(len(frame)), **{f"{name} os": 1}))
    made.save("test_labels.csv", frame[["id"]].assign(label=-1))


SHAPES = {
    "one file, and rows without a target are asked for": Shape(
        pd.concat([rows(X, id=ids(N), label=BINARY), rows(XT, id=ids(T, "t{}"), label=[None] * T)]),
        rows(XT),
        Frame({"id": ids(T, "t{}"), "label": [0.5] * T}),
        {"train": "data.csv", "test": "data.csv", "id": ["id"], "target": ["label"], "task": "binary"},
        rf"t0,{P}",
        write=one_file,
    ),
    "another spelling of the id in the submission": Shape(
        rows(X, label=BINARY),
        rows(XT, id=ids(T, "t{}")),
        Frame({"Id": ids(T, "t{}")[::-1], "label": [0.5] * T}),
        {"id": ["id"], "target": ["label"]},
        rf"t19,{P}",
    ),
    "rows of train without a target": Shape(
        rows(X, id=ids(N), sold=[None if i % 9 == 0 else x for i, x in enumerate(X)]),
        rows(XT, id=ids(T)),
        Frame({"id": ids(T), "sold": [1.5] * T}),
        {"target": ["sold"], "task": "regression"},
        r"0,-?[\d.e-]+",
        model="ridge",
        said=("no target  7 rows  of train lack it: left out",),
    ),
    "semicolons": Shape(
        rows(X, id=ids(N), label=BINARY),
        rows(XT, id=ids(T)),
        Frame({"id": ids(T), "label": [0] * T}),
        {"id": ["id"], "target": ["label"]},
        "0,[01]",
        write=semicolons,
    ),
    "several files called train": Shape(
        rows(X, id=ids(N, "a{}"), label=BINARY),
        rows(XT, id=ids(T, "b{}")),
        Frame({"id": ids(T, "b{}"), "label": [0.5] * T}),
        {"train": "train_orders.csv", "test": "test_orders.csv", "target": ["label"]},
        rf"b0,{P}",
        write=with_side_tables,
    ),
    "a column that test withholds": Shape(
        rows(X, id=ids(N), booked=[day * (i % 4 > 0) for i, day in enumerate(DAYS[:N])], label=BINARY),
        rows(XT, id=ids(T)).assign(booked=""),
        Frame({"id": ids(T), "label": [0] * T}),
        {"target": ["label"]},
        "0,[01]",
        said=("train only  booked",),
    ),
    "a few large groups": Shape(
        rows(np.repeat(X, 5), id=ids(5 * N), product=list("ABCDE") * N, label=np.repeat(BINARY, 5)),
        rows(np.repeat(XT, 6), id=ids(6 * T), product=["F", "G"] * (3 * T)),
        None,
        {"scheme": "stratified_group", "group": "product"},
        "0,[01]",
    ),
    "test begins before train ends": Shape(
        rows(X, day=DAYS[:N], place=range(N), cases=np.exp(X)),
        rows(XT, day=DAYS[N - 5 : N - 5 + T], place=range(T)).assign(forecast=range(T)),
        Frame({"forecast": range(T), "cases": [0.0] * T}),
        {"scheme": "time", "time": "day"},
        r"0,-?[\d.e-]+",
        model="ridge",
    ),
    "several labels a row, the likeliest first": Shape(
        rows(np.repeat(X, 5), id=ids(5 * N), hotel=[i % 15 + 15 * (x > 0) for i, x in enumerate(np.repeat(X, 5))]),
        rows(XT, id=ids(T)),
        Frame({"id": ids(T), "hotel": ["9 13 4"] * T}),
        {"target": ["hotel"], "task": "multiclass", "metric": "accuracy"},
        r"0,\d+ \d+ \d+",
    ),
    "few whole numbers, and the submission holds others": Shape(
        rows(np.repeat(X, 2), id=ids(2 * N), sold=np.exp(np.repeat(X, 2)).astype(int).clip(0, 5)),
        rows(XT, id=ids(T)),
        Frame({"id": ids(T), "sold_in_all": [0.5] * T}),
        {"target": ["sold"], "task": "regression", "metric": "rmse"},
        r"0,-?[\d.e-]+",
        model="ridge",
    ),
    "labels that are nearly all the same": Shape(
        rows(np.repeat(X, 5), id=ids(5 * N), label=[int(i % 20 == 0) for i in range(5 * N)]),
        rows(XT, id=ids(T)),
        Frame({"id": ids(T), "label": [0] * T}),
        {"task": "binary", "metric": "auc"},
        rf"0,{P}",
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_from_the_files_to_a_checked_submission(name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pass_through(SHAPES[name], tmp_path, monkeypatch)
