"""The sample contest of digits: whole pictures, hidden labels, facts that the engine takes."""

import csv
import io
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from kgl.competition import load_competition
from kgl.rehearsal.contest import PracticeContest
from kgl.rehearsal.digits import FACTS, SIDE, sample_contest
from tests.conftest import Tiny


@pytest.fixture(scope="module")
def contest() -> PracticeContest:
    return sample_contest()


def rows(contest: PracticeContest, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(contest.files[name].decode())))


def test_each_row_has_its_picture_and_each_picture_its_row(contest: PracticeContest) -> None:
    tables = {"train": rows(contest, "train.csv"), "test": rows(contest, "sample_submission.csv")}
    named = {f"{part}/{row['id']}" for part, table in tables.items() for row in table}
    assert named == {name for name in contest.files if name.endswith(".png")}
    assert [len(table) for table in tables.values()] == [1197, 600]
    assert {row["id"] for row in tables["test"]} == set(contest.solution)
    assert not {row["id"] for row in tables["train"]} & set(contest.solution)


def test_every_digit_is_often_in_train_and_in_test(contest: PracticeContest) -> None:
    train = Counter(row["label"] for row in rows(contest, "train.csv"))
    hidden = Counter(answer.label for answer in contest.solution.values())
    assert sorted(train) == sorted(hidden) == [str(digit) for digit in range(10)]
    assert min(train.values()) > 90 and min(hidden.values()) > 40


def test_pictures_are_grey_files_of_one_size(contest: PracticeContest) -> None:
    with Image.open(io.BytesIO(contest.files["train/0000.png"])) as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "L", (SIDE, SIDE))


def test_it_scores_as_kaggle_does(contest: PracticeContest) -> None:
    right = "id,label\n" + "".join(f"{key},{answer.label}\n" for key, answer in contest.solution.items())
    assert contest.score(right.encode()) == (1.0, 1.0)


def test_kgl_init_finds_its_facts(contest: PracticeContest, tmp_path: Path) -> None:
    made = Tiny(tmp_path)
    made.write("competition.toml", FACTS)
    for name, content in contest.files.items():
        made.write(f"data/raw/{name}", content)
    told = made.kgl("init", "--yes")
    assert told.status == 0, told.err
    found = load_competition(made.workspace)
    found.require("task", "metric", "id", "target", "folds.scheme", "images.train_dir", "images.test_dir")
    assert (found.kind, found.task, found.metric) == ("image", "multiclass", "accuracy")
    assert (found.images.layout, found.images.column, found.baseline.experiments) == ("csv", "id", ("tiny",))
