"""What pictures add to the report: thumbnails with their notes, and files that are odd."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from kgl.image.files import PATH
from kgl.image.sheets import files, sheet, show_rows
from kgl.report.material import Material
from tests.conftest import Tiny

FACTS = """
slug = "tiny"
kind = "image"
task = "binary"
metric = "accuracy"
id = ["id"]
target = ["label"]

[images]
train_dir = "train"
test_dir = "test"
layout = "folder"
"""
CONTEST = """
from kgl.image.files import read_images


def load():
    return read_images("train"), read_images("test")
"""


def picture(path: Path, shade: int, size: tuple[int, int] = (12, 9)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0]), shade, dtype=np.uint8)).save(path)


def test_the_sheet_has_every_label_and_odd_files_are_named(tiny: Tiny) -> None:
    tiny.write("competition.toml", FACTS)
    tiny.write("contest.py", CONTEST)
    for i, label in enumerate(["cat", "dog"] * 4):
        picture(tiny.root / f"data/raw/train/{label}/{i}.png", 10 * i)
    picture(tiny.root / "data/raw/train/cat/copy.png", 0)
    tiny.write("data/raw/train/dog/bad.png", b"no picture")
    picture(tiny.root / "data/raw/test/t1.png", 5, (30, 20))
    m = Material(tiny.workspace)
    shown = str(sheet(m).blocks[0])
    assert (shown.count("<img"), shown.count("dog: ")) == (9, 1), "a file that is no picture is told in its place"
    odd = files(m).blocks[-1].rows
    assert any("bad.png" in row[1] and "cannot be read" in row[2] for row in odd)
    assert any("copy.png" in row[1] and row[2] == "2 equal files" for row in odd)
    rows = pd.DataFrame({PATH: ["train/cat/0.png"]})
    assert "a &lt;b&gt;" in show_rows(tiny.workspace, rows, ["a <b>"])


def test_a_row_without_a_picture_is_told_as_such(tiny: Tiny) -> None:
    tiny.write(
        "competition.toml",
        FACTS.replace('layout = "folder"', 'layout = "csv"\ncolumn = "id"\n[files]\ntrain = "l.csv"'),
    )
    tiny.write("contest.py", CONTEST)
    tiny.write("data/raw/l.csv", "id,label\na,cat\nb,dog\nc,cat\n")
    for name in ("train/a", "train/b", "test/t"):
        picture(tiny.root / f"data/raw/{name}.png", 5)
    rows = files(Material(tiny.workspace)).blocks[-1].rows
    assert ("train", "(no file)", "a row without a picture") in rows
    assert "cat: missing" in show_rows(tiny.workspace, pd.DataFrame({PATH: [""]}), ["cat"])
