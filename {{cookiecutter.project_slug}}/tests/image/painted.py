"""A tiny workspace of painted pictures: stripes down, stripes across and squares, in any colours."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from kgl.experiment import Setting
from kgl.fold_task import Rows, Task
from kgl.folds import Folds
from kgl.image import Vision
from kgl.metrics import get_metric
from kgl.paths import Workspace
from kgl.tables import ID
from kgl.target import Target
from tests.conftest import CONTEST, Tiny

SIZE = 32
KINDS = ("across", "down", "squares")
FACTS = """\
slug = "painted"
kind = "image"
task = "multiclass"
metric = "accuracy"
id = ["id"]
target = ["kind"]

[files]
train = "train.csv"
test = "test.csv"

[folds]
scheme = "stratified"
n_splits = 3

[images]
train_dir = "pictures"
test_dir = "pictures"
layout = "csv"
"""
SETTINGS: dict[str, Any] = {"model": "test_resnet", "weights": "none", "image_size": SIZE, "mirror": "none"}
FAST = Vision(**SETTINGS, augment="none", epochs=8, batch_size=16, learning_rate=5e-3)


def paint(kind: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One picture, (SIZE, SIZE, 3): a pattern at a random place, two random colours, noise."""
    y, x = np.mgrid[:SIZE, :SIZE] + rng.integers(0, 8, 2)[:, None, None]
    across, down = (y // 4) % 2, (x // 4) % 2
    pattern = {"across": across, "down": down, "squares": across ^ down}[kind][:, :, None]
    light, dark = rng.integers(130, 255, 3), rng.integers(0, 100, 3)
    noisy = pattern * light + (1 - pattern) * dark + rng.normal(0, 20, (SIZE, SIZE, 3))
    return np.asarray(np.clip(noisy, 0, 255), dtype=np.uint8)


def painted(root: Path, *, train: int = 96, test: int = 30) -> Tiny:
    """The workspace with PNG files and their tables, and the kind of each test picture in truth.csv."""
    made, rng = Tiny(root), np.random.default_rng(0)
    made.write("competition.toml", FACTS)
    made.write("contest.py", CONTEST)
    made.write("features.py", "")
    made.write("experiments/__init__.py", "")
    for name, count in (("train", train), ("test", test)):
        ids = [f"{name}{i:03d}" for i in range(count)]
        rows = pd.DataFrame({"id": ids, "kind": [KINDS[i % 3] for i in range(count)]})
        rows["path"] = "pictures/" + rows["id"] + ".png"
        for kind, path in zip(rows["kind"], rows["path"], strict=True):
            file = made.write(f"data/raw/{path}", b"")
            Image.fromarray(paint(kind, rng)).save(file)
        made.save(f"{name}.csv", rows if name == "train" else rows.drop(columns="kind"))
        if name == "test":
            made.write("truth.csv", rows[["id", "kind"]].to_csv(index=False))
    return made


def prepared(
    made: Tiny,
    experiment: Any,
    *,
    task: str = "multiclass",
    names: Sequence[str] = ("kind",),
    y: Any = None,
    metric: str = "accuracy",
) -> Rows:
    """What a task is given: rows of the workspace, three folds in turn, and a target."""
    train, test = (made.frame(f"{name}.csv").rename(columns={"id": ID}) for name in ("train", "test"))
    labels = KINDS if task == "multiclass" else ("0", "1") if task == "binary" else ()
    codes = np.array([KINDS.index(kind) for kind in train["kind"]])
    shown = train.drop(columns="kind")
    fold = np.arange(len(train)) // 3 % 3
    return Rows(
        workspace=Workspace(made.root),
        train=experiment.prepare_rows(shown),
        test=experiment.prepare_rows(test),
        y=codes if y is None else y(codes),
        fold_of=fold,
        time_rank=None,
        folds=Folds("stratified", pd.Series(fold, index=train[ID])),
        setting=Setting(
            Target(task, tuple(names), labels),
            get_metric(metric).loss,
            metric=metric,
            raw_columns=tuple(map(str, shown)),
            id_columns=(ID,),
        ),
    )


def task_of(made: Tiny, name: str = "a", fold: int = 0, seed: int = 0) -> Task:
    """A task of a run called `name`."""
    return Task(fold, seed, made.root / "runs" / name / "folds" / str(fold) / f"seed-{seed}")
