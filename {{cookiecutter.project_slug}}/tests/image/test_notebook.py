"""Notebooks of pictures: other test pictures in every layout."""

import pandas as pd
import pytest

from kgl.competition import load_competition
from kgl.image.files import image_rows
from kgl.notebook.hidden import write_hidden
from kgl.paths import Workspace
from tests.conftest import Tiny

FACTS = """\
slug = "any"
kind = "image"
task = "binary"
metric = "accuracy"
id = ["id"]
target = ["label"]

[files]
sample_submission = "sample.csv"
{test}

[images]
train_dir = "{folder}"
test_dir = "test"
layout = "{layout}"
column = "{column}"
"""


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("layout", ["csv", "folder"])
@pytest.mark.parametrize("ending", ["", ".png"])
def test_other_pictures_their_table_and_their_sample_fit(tiny: Tiny, layout: str, ending: str, more: bool) -> None:
    table = 'test = "test.csv"' if layout == "csv" else ""
    tiny.write("competition.toml", FACTS.format(test=table, layout=layout, folder="test", column="id"))
    names = [f"p{i:02d}" for i in range(12)]
    for name in (*names, "of_train"):
        tiny.write(f"data/raw/test/deep/{name}.png", name)
    rows = pd.DataFrame({"id": [name + ending for name in names]})
    tiny.save("test.csv", rows)
    tiny.save("sample.csv", rows.assign(label="0"))
    competition, folder = load_competition(tiny.workspace), tiny.root / "other" / "data" / "raw"
    made = write_hidden(tiny.workspace, competition, folder, more=more)
    found = image_rows(Workspace(tiny.root / "other"), competition, "test")
    assert len(found) == made.rows == (24 if more else 6) and found["path"].all()
    assert found["__id__"].tolist() == pd.read_csv(folder / "sample.csv", dtype="str")["id"].tolist()
    shown = {row["__id__"]: (folder / row["path"]).read_text() + ending for _, row in found.iterrows()}
    assert all(shown[new] == old for new, old in made.kept.items())
    assert (folder / "test/deep/of_train.png").read_text() == "of_train"
