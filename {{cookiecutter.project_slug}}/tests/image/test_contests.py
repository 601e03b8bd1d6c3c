"""Image contests of the usual shapes, from their files to a checked submission with nobody editing anything."""

import csv
import importlib.util
import io
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kgl.submission import check_run
from tests.conftest import Tiny

FACTS = """\
slug = "any"
kind = "image"

[folds]
n_splits = 2

[baseline]
experiments = ["tiny"]
"""
CONTEST = """\
from kgl.image.files import read_images


def load():
    return read_images("train"), read_images("test")
"""
TINY = """\
from kgl.image import Vision

experiment = Vision(model="test_resnet", weights="none", image_size=16, mirror="none", epochs=1, batch_size=8)
"""
N, T = 24, 6  # pictures of train and test


@dataclass(frozen=True)
class Shape:
    """A contest: its pictures and tables, what must be found, and what a line of the submission looks like."""

    pictures: Iterable[str]
    facts: Mapping[str, Any]
    line: str
    tables: Mapping[str, str] = field(default_factory=dict)
    say: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()


def table(columns: str, rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns.split(","), *rows])
    return text.getvalue()


def each(n: int, row: Callable[[int], Iterable[Any]]) -> list[list[Any]]:
    return [list(row(i)) for i in range(n)]


def one_of(labels: str, i: int) -> str:
    return labels.split()[i % len(labels.split())]


def flags(i: int, n: int) -> list[int]:
    return [int(i % n == k) for k in range(n)]


P = r"0\.\d+"  # a probability
SHAPES = {
    "dogs-vs-cats": Shape(
        pictures=[f"train/{one_of('cat dog', i)}.{i // 2}.jpg" for i in range(N)]
        + [f"test/{i + 1}.jpg" for i in range(T)],
        tables={"sample_submission.csv": table("id,label", each(T, lambda i: (i + 1, 0.5)))},
        facts={"layout": "filename", "id": ["id"], "target": ["label"], "task": "binary", "metric": "logloss"},
        line=rf"1,{P}",
    ),
    "dogs-vs-cats in numbers": Shape(  # the files say cat and dog, the submission 0 and 1
        pictures=[f"train/train/{one_of('cat dog', i)}.{i // 2}.jpg" for i in range(N)]
        + [f"test1/{i + 1}.jpg" for i in range(T)],
        tables={"sampleSubmission.csv": table("id,label", each(T, lambda i: (i + 1, 0)))},
        facts={"layout": "filename", "train_dir": "train/train", "task": "binary", "metric": "accuracy"},
        line="1,[01]",
    ),
    "cifar-10": Shape(
        pictures=[f"{part}/{i + 1}.png" for part, n in (("train", N), ("test", T)) for i in range(n)],
        tables={
            "trainLabels.csv": table("id,label", each(N, lambda i: (i + 1, one_of("frog cat truck", i)))),
            "sampleSubmission.csv": table("id,label", each(T, lambda i: (i + 1, "cat"))),
        },
        facts={"layout": "csv", "column": "id", "task": "multiclass", "metric": "accuracy", "train": "trainLabels.csv"},
        line="1,(frog|cat|truck)",
    ),
    "paddy": Shape(
        pictures=[f"train_images/{one_of('blast hispa', i)}/{100 + i}.jpg" for i in range(N)]
        + [f"test_images/{200 + i}.jpg" for i in range(T)],
        tables={
            "train.csv": table(
                "image_id,label,variety,age",
                each(N, lambda i: (f"{100 + i}.jpg", one_of("blast hispa", i), "ADT45", 45 + i)),
            ),
            "sample_submission.csv": table("image_id,label", each(T, lambda i: (f"{200 + i}.jpg", ""))),
        },
        facts={"layout": "csv", "column": "image_id", "target": ["label"], "task": "binary", "metric": "accuracy"},
        line=r"200\.jpg,(blast|hispa)",
    ),
    "plant-pathology": Shape(
        pictures=[f"images/{part}_{i}.jpg" for part, n in (("Train", N), ("Test", T)) for i in range(n)],
        tables={
            "train.csv": table("image_id,healthy,rust,scab", each(N, lambda i: (f"Train_{i}", *flags(i, 3)))),
            "test.csv": table("image_id", each(T, lambda i: (f"Test_{i}",))),
            "sample_submission.csv": table("image_id,healthy,rust,scab", each(T, lambda i: (f"Test_{i}", *[0.25] * 3))),
        },
        facts={"test": "test.csv", "target": ["healthy", "rust", "scab"], "task": "multilabel", "metric": "mean_auc"},
        line=rf"Test_0,{P},{P},{P}",
    ),
    "aptos": Shape(
        pictures=[f"{part}_images/{i:03x}a.png" for part, n in (("train", N), ("test", T)) for i in range(n)],
        tables={
            "train.csv": table("id_code,diagnosis", each(N, lambda i: (f"{i:03x}a", i % 3))),
            "test.csv": table("id_code", each(T, lambda i: (f"{i:03x}a",))),
            "sample_submission.csv": table("id_code,diagnosis", each(T, lambda i: (f"{i:03x}a", 0))),
        },
        say=("metric=qwk",),
        facts={"column": "id_code", "id": ["id_code"], "task": "ordinal", "scheme": "stratified"},
        line="000a,[012]",
    ),
    "histopathology": Shape(
        pictures=[f"{part}/{part[1]}{i:02x}f.tif" for part, n in (("train", N), ("test", T)) for i in range(n)],
        tables={
            "train_labels.csv": table("id,label", each(N, lambda i: (f"r{i:02x}f", i % 2))),
            "sample_submission.csv": table("id,label", each(T, lambda i: (f"e{i:02x}f", 0))),
        },
        say=("metric=auc",),
        facts={"train": "train_labels.csv", "task": "binary", "target": ["label"]},
        line=rf"e00f,{P}",
    ),
    "digit-recognizer": Shape(
        pictures=(),
        tables={
            "train.csv": table(
                "label," + ",".join(f"pixel{k}" for k in range(64)),
                each(N, lambda i: (i % 2, *[(i * 37 + k * (1 + i % 2)) % 256 for k in range(64)])),
            ),
            "test.csv": table(
                ",".join(f"pixel{k}" for k in range(64)), each(T, lambda i: [(i + 5 * k) % 256 for k in range(64)])
            ),
            "sample_submission.csv": table("ImageId,Label", each(T, lambda i: (i + 1, 0))),
        },
        facts={"layout": "csv", "column": "pixel*", "target": ["label"], "task": "binary", "metric": "accuracy"},
        line="1,[01]",
    ),
    "plant-seedlings": Shape(  # folders in folders, and what file managers leave
        pictures=[f"train/train/{('Maize', 'Black-grass')[i % 2]}/{i:04x}.png" for i in range(N)]
        + [f"test/test/{i:03x}9.png" for i in range(T)],
        tables={"sample_submission.csv": table("file,species", each(T, lambda i: (f"{i:03x}9.png", "Maize")))},
        strays=("train/train/Maize/.DS_Store", "train/train/Maize/Thumbs.db", "__MACOSX/train/Maize/._0000.png"),
        facts={"layout": "folder", "train_dir": "train/train", "target": ["species"], "id": ["file"]},
        line=r"0009\.png,(Maize|Black-grass)",
    ),
    "petfinder": Shape(
        pictures=[f"{part}/{part[1]}{i:03x}.jpg" for part, n in (("train", N), ("test", T)) for i in range(n)],
        tables={
            "train.csv": table("Id,Eyes,Face,Pawpularity", each(N, lambda i: (f"r{i:03x}", i % 2, 1, 20 + 3 * i))),
            "test.csv": table("Id,Eyes,Face", each(T, lambda i: (f"e{i:03x}", i % 2, 0))),
            "sample_submission.csv": table("Id,Pawpularity", each(T, lambda i: (f"e{i:03x}", 38.4))),
        },
        facts={"test": "test.csv", "target": ["Pawpularity"], "task": "regression", "metric": "rmse", "id": ["Id"]},
        line=r"e000,-?\d+\.\d+",
    ),
    "leaf-classification": Shape(
        pictures=[f"images/{i + 1}.jpg" for i in range(N + T)],
        tables={
            "train.csv": table(
                "id,species,margin1", each(N, lambda i: (i + 1, one_of("Acer_Opalus Tilia_Oliveri Ilex", i), 0.1 * i))
            ),
            "test.csv": table("id,margin1", each(T, lambda i: (N + i + 1, 0.1 * i))),
            "sample_submission.csv": table(
                "id,Acer_Opalus,Ilex,Tilia_Oliveri", each(T, lambda i: (N + i + 1, *[1 / 3] * 3))
            ),
        },
        facts={"train_dir": "images", "test_dir": "images", "target": ["species"], "metric": "logloss"},
        line=rf"{N + 1},{P},{P},{P}",
    ),
    "state-farm": Shape(
        pictures=[f"imgs/train/c{i % 3}/img_{i}.jpg" for i in range(N)]
        + [f"imgs/test/img_{900 + i}.jpg" for i in range(T)],
        tables={
            "driver_imgs_list.csv": table(
                "subject,classname,img", each(N, lambda i: (f"p{i // 6:03}", f"c{i % 3}", f"img_{i}.jpg"))
            ),
            "sample_submission.csv": table("img,c0,c1,c2", each(T, lambda i: (f"img_{900 + i}.jpg", *[0.33] * 3))),
        },
        facts={"train_dir": "imgs/train", "test_dir": "imgs/test", "column": "img", "target": ["classname"]},
        line=rf"img_900\.jpg,{P},{P},{P}",
    ),
    "mayo": Shape(  # two pictures a patient, a row a patient; a picture of train has no label
        pictures=[f"train/r{i // 2}_{i % 2}.tif" for i in range(N)]
        + [f"test/e{i // 2}_{i % 2}.tif" for i in range(2 * T)],
        tables={
            "train.csv": table(
                "image_id,patient_id,label",
                each(N, lambda i: (f"r{i // 2}_{i % 2}", f"r{i // 2}", "" if i == 5 else one_of("CE LAA", i // 2))),
            ),
            "test.csv": table("image_id,patient_id", each(2 * T, lambda i: (f"e{i // 2}_{i % 2}", f"e{i // 2}"))),
            "sample_submission.csv": table("patient_id,CE,LAA", each(T, lambda i: (f"e{T - 1 - i}", 0.5, 0.5))),
        },
        facts={"id": ["patient_id"], "column": "image_id", "target": ["label"], "group": "patient_id"},
        line=rf"e5,{P},{P}",
    ),
    "one-folder-for-all": Shape(
        pictures=[f"data/training_set/train/{one_of('a b', i)}/{i}.webp" for i in range(N)]
        + [f"data/training_set/test/{100 + i}.webp" for i in range(T)],
        tables={"sub/sample_submission.csv": table("name,a,b", each(T, lambda i: (100 + i, 0.5, 0.5)))},
        facts={"layout": "folder", "train_dir": "data/training_set/train", "target": ["label"], "metric": "logloss"},
        line=rf"100,{P},{P}",
    ),
    "no-sample": Shape(
        pictures=[f"train/{one_of('cat dog', i)}/{i}.png" for i in range(N)]
        + [f"test/{100 + i}.png" for i in range(T)],
        facts={"layout": "folder", "id": ["id"], "target": ["label"], "task": "binary", "metric": "accuracy"},
        line="100,(cat|dog)",
    ),
}  # fmt: skip


def made(root: Path, shape: Shape) -> Tiny:
    """A workspace of the starter `image` with the contest's files."""
    workspace, rng = Tiny(root), np.random.default_rng(0)
    for name, text in (("competition.toml", FACTS), ("contest.py", CONTEST), ("features.py", ""),
                       ("experiments/__init__.py", ""), ("experiments/tiny.py", TINY)):  # fmt: skip
        workspace.write(name, text)
    for name in (*shape.pictures, *shape.strays):
        file = workspace.write(f"data/raw/{name}", b"stray")
        if name not in shape.strays:
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(file)
    for name, text in shape.tables.items():
        workspace.write(f"data/raw/{name}", text)
    return workspace


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        k: v for key, value in values.items() for k, v in (value if isinstance(value, dict) else {key: value}).items()
    }


@pytest.fixture(autouse=True)
def no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", SHAPES)
def test_from_the_files_to_a_checked_submission(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = SHAPES[name]
    workspace = made(tmp_path / "any", shape)
    monkeypatch.chdir(workspace.root)
    done = workspace.kgl("init", "--yes", *shape.say)
    assert done.status == 0, done.err
    assert "share no column" not in done.out + done.err
    found = flat(tomllib.loads((workspace.root / "competition.toml").read_text()))
    assert {key: found.get(key) for key in shape.facts} == shape.facts
    done = workspace.kgl("train", "tiny")
    assert done.status == 0, done.err
    path = check_run(workspace.workspace, "tiny-001")
    lines = path.read_text().splitlines()
    assert len(lines) == T + 1 and re.fullmatch(shape.line, lines[1]), lines[:2]


def test_rows_of_one_id_are_submitted_as_their_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = made(tmp_path / "any", SHAPES["mayo"])
    monkeypatch.chdir(workspace.root)
    assert workspace.kgl("init", "--yes").status == 0
    assert workspace.kgl("train", "tiny").status == 0
    folder = workspace.root / "runs/tiny-001"
    test = pd.read_parquet(folder / "test.parquet").set_index("id")["p_CE"]
    sent = pd.read_csv(folder / "submission.csv", index_col="patient_id")["CE"]
    assert list(sent.index) == [f"e{i}" for i in range(T - 1, -1, -1)] and len(test) == 2 * T
    assert all(np.isclose(sent[f"e{i}"], test[[f"e{i} #0", f"e{i} #1"]].mean()) for i in range(T))
    fold = pd.read_parquet(workspace.root / "data/folds.parquet")
    assert len(fold) == N - 1 and (fold.groupby(fold["id"].str.split(" #").str[0])["fold"].nunique() == 1).all()


def test_equal_pictures_stay_in_one_fold_and_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = made(tmp_path / "any", SHAPES["cifar-10"])
    monkeypatch.chdir(workspace.root)
    raw = workspace.root / "data/raw/train"
    for i in (4, 9, 14, 20):
        (raw / f"{i}.png").write_bytes((raw / "1.png").read_bytes())
    (raw / "7.png").write_bytes((raw / "8.png").read_bytes())
    assert workspace.kgl("init", "--yes").status == 0
    done = workspace.kgl("folds")
    assert "7 pictures are equal to another (2 sets)" in done.err
    assert "path" not in done.out  # which is different in every row, and no suspicious column
    fold = pd.read_parquet(workspace.root / "data/folds.parquet").set_index("id")["fold"]
    assert fold[["1", "4", "9", "14", "20"]].nunique() == fold[["7", "8"]].nunique() == 1
    assert fold.value_counts().min() >= N // 2 - 2


def test_what_is_still_packed_is_named_with_the_command_that_unpacks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = Shape((), {}, "", {"trainLabels.csv": "id,label\n1,a\n"}, strays=("train.7z", "train.zip"))
    workspace = made(tmp_path / "any", shape)
    monkeypatch.chdir(workspace.root)
    done = workspace.kgl("init", "--yes")
    assert done.status == 1 and "uvx py7zr x train.7z" in done.err
    (workspace.root / "data/raw/train.7z").unlink()
    assert "python -m zipfile -e train.zip ." in workspace.kgl("init", "--yes").err


def test_a_kind_that_the_workspace_lacks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = made(tmp_path / "any", SHAPES["cifar-10"])
    monkeypatch.chdir(workspace.root)
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "kgl.image" else find(name))
    done = workspace.kgl("init", "--yes")
    assert done.status == 2 and "no kgl/image" in done.err


def test_pixels_in_columns_are_written_as_pictures_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = made(tmp_path / "any", SHAPES["digit-recognizer"])
    monkeypatch.chdir(workspace.root)
    assert workspace.kgl("init", "--yes").status == 0
    folders = sorted((workspace.root / "data/cache").glob("pixels-*"))
    assert len(folders) == 2
    first = next(folder for folder in folders if len(list(folder.glob("*.png"))) == N) / "0000002.png"
    cells = workspace.frame("train.csv").iloc[2, 1:].astype(int).to_numpy().reshape(8, 8)
    assert (np.asarray(Image.open(first)) == cells).all()
    before = first.stat().st_mtime_ns
    assert workspace.kgl("folds").status == 0
    assert first.stat().st_mtime_ns == before
