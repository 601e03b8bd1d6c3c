"""Rows of the three layouts, what is found of them, and equal files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kgl.competition import Competition, Files, Images
from kgl.errors import KglError
from kgl.image.files import equal_files, image_rows
from kgl.image.layout import find_layout
from kgl.paths import Workspace
from kgl.tables import ID

BY_TABLE = Competition(
    task="multiclass",
    id=("image_id",),
    target=("label",),
    files=Files(train="train.csv", sample_submission="sample.csv"),
    images=Images(train_dir="train", test_dir="test", layout="csv", column="image_id"),
)
BY_FOLDER = replace(BY_TABLE, files=Files(), images=Images(train_dir="train", test_dir="test", layout="folder"))
BY_NAME = replace(
    BY_FOLDER,
    id=("id",),
    images=Images("train", "test", "filename", pattern=r"(?P<label>cat|dog)\.(?P<id>\d+)\.jpg"),
)


class Contest:
    """A workspace of which only data/raw is there."""

    def __init__(self, root: Path) -> None:
        self.workspace, self.raw = Workspace(root), root / "data" / "raw"

    def files(self, *names: str) -> "Contest":
        for name in names:
            (self.raw / name).parent.mkdir(parents=True, exist_ok=True)
            (self.raw / name).write_bytes(name.encode())
        return self

    def table(self, name: str, text: str) -> "Contest":
        (self.raw / name).parent.mkdir(parents=True, exist_ok=True)
        (self.raw / name).write_text(text, encoding="utf-8")
        return self

    def train(self, facts: Competition) -> pd.DataFrame:
        return image_rows(self.workspace, facts, "train")

    def test(self, facts: Competition) -> pd.DataFrame:
        return image_rows(self.workspace, facts, "test")

    def layout(self, **known: Any) -> dict[str, Any]:
        return {key: value for key, value, _ in find_layout(self.workspace, Competition(**known))}


@pytest.fixture
def contest(tmp_path: Path) -> Contest:
    return Contest(tmp_path)


def pairs(rows: pd.DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    return list(rows[list(columns or (ID, "path"))].itertuples(index=False, name=None))


@pytest.mark.parametrize(
    "value", ["0007", "0007.jpg", "spotted/0007.jpg", "train/spotted/0007.jpg", "./spotted\\0007.jpg", "0007.JPG"]
)
def test_a_table_names_files_with_or_without_folders_and_endings(value: str, contest: Contest) -> None:
    contest.files("train/spotted/0007.jpg", "train/plain/0008.jpg", "test/0007.jpg")
    rows = contest.table("train.csv", f"image_id,label,age\n{value},x,45\n").train(BY_TABLE)
    assert pairs(rows, ID, "path", "label", "age") == [(value, "train/spotted/0007.jpg", "x", 45)]


def test_rows_without_a_file_stay_with_an_empty_path_and_are_told(
    contest: Contest, capsys: pytest.CaptureFixture[str]
) -> None:
    contest.files("train/1.jpg", "train/3.png").table("train.csv", "image_id,label\n1,a\n2,b\n3,a\n")
    assert pairs(contest.train(BY_TABLE)) == [("1", "train/1.jpg"), ("2", ""), ("3", "train/3.png")]
    assert "train.csv: 1 rows have no picture in train (the first: '2')" in capsys.readouterr().err


def test_a_name_that_fits_two_files_is_refused(contest: Contest) -> None:
    contest.files("train/a/1.jpg", "train/b/1.jpg").table("train.csv", "image_id,label\n1,a\n")
    with pytest.raises(KglError, match=r"'1' may be train/a/1\.jpg or train/b/1\.jpg"):
        contest.train(BY_TABLE)
    contest.table("train.csv", "image_id,label\na/1,a\nb/1.jpg,b\n")
    assert pairs(contest.train(BY_TABLE)) == [("a/1", "train/a/1.jpg"), ("b/1.jpg", "train/b/1.jpg")]


def test_a_table_of_other_files_is_refused_with_both_names(contest: Contest) -> None:
    contest.files("train/1.jpg").table("train.csv", "image_id,label\nx,a\ny,b\n")
    with pytest.raises(KglError, match=r"no row of train.csv .*'x'.*train/1\.jpg"):
        contest.train(BY_TABLE)
    with pytest.raises(KglError, match="no column 'file', it has image_id, label"):
        contest.train(replace(BY_TABLE, images=replace(BY_TABLE.images, column="file")))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("001,010,002", ["001", "010", "002"]),
        ("NA,None,x", ["NA", "None", "x"]),
        ("1,0,1", [1, 0, 1]),
        ("1.0,0.0,1.0", [1, 0, 1]),
    ],
)
def test_labels_stay_as_they_are_written(labels: str, expected: list[Any], contest: Contest) -> None:
    lines = [f"{i},{label}" for i, label in enumerate(labels.split(","))]
    contest.files("train/0.jpg", "train/1.jpg", "train/2.jpg").table("train.csv", "\n".join(["image_id,label", *lines]))
    assert contest.train(BY_TABLE)["label"].tolist() == expected


def test_a_missing_label_is_missing(contest: Contest) -> None:
    contest.files("train/0.jpg", "train/1.jpg").table("train.csv", "image_id,label\n0,cat\n1,\n")
    assert contest.train(BY_TABLE)["label"].isna().tolist() == [False, True]


def test_several_label_columns_are_kept_as_numbers(contest: Contest) -> None:
    contest.files("train/0.jpg", "train/1.jpg").table("train.csv", "image_id,rust,scab\n0,1,0\n1,0,1\n")
    rows = contest.train(replace(BY_TABLE, task="multilabel", target=("rust", "scab")))
    assert pairs(rows, "rust", "scab") == [(1, 0), (0, 1)]


def test_test_rows_are_those_of_the_sample_submission_in_its_order(contest: Contest) -> None:
    contest.files("test/2.jpg", "test/10.jpg", "test/not_asked_for.jpg")
    contest.table("sample.csv", "image_id,label\n10.jpg,x\n2.jpg,x\n3.jpg,x\n")
    assert pairs(contest.test(BY_TABLE)) == [("10.jpg", "test/10.jpg"), ("2.jpg", "test/2.jpg"), ("3.jpg", "")]


def test_test_rows_come_from_their_own_table_if_there_is_one(contest: Contest) -> None:
    contest.files("test/2.jpg", "test/1.jpg").table("test.csv", "image_id,age\n1,50\n2,60\n")
    rows = contest.test(replace(BY_TABLE, files=Files(train="train.csv", test="test.csv")))
    assert pairs(rows, ID, "path", "age") == [("1", "test/1.jpg", 50), ("2", "test/2.jpg", 60)]


def test_without_any_table_test_rows_are_the_files(contest: Contest) -> None:
    contest.files("test/b.jpg", "test/a.png")
    assert pairs(contest.test(BY_FOLDER)) == [("a", "test/a.png"), ("b", "test/b.jpg")]


def test_a_folder_a_class_gives_labels_and_strays_are_left_out(
    contest: Contest, capsys: pytest.CaptureFixture[str]
) -> None:
    contest.files("train/cat/1.jpg", "train/dog/2.jpg", "train/dog/deep/3.jpg", "train/no ending/4")
    contest.files("train/cat/Thumbs.db", "train/.DS_Store", "train/dog/notes.txt", "train/__MACOSX/cat/._1.jpg")
    rows = contest.train(BY_FOLDER)
    assert rows["label"].tolist() == ["cat", "dog", "dog", "no ending"]
    assert rows[ID].tolist() == ["1", "2", "3", "4"]
    assert "train: 3 other files are left out (the first: train/.DS_Store)" in capsys.readouterr().err


def test_ids_are_stems_unless_two_files_share_one(contest: Contest) -> None:
    rows = contest.files("train/cat/1.jpg", "train/dog/1.jpg").train(BY_FOLDER)
    assert rows[ID].tolist() == rows["image_id"].tolist() == ["cat/1", "dog/1"]
    assert contest.files("train/cat/1.png").train(BY_FOLDER)[ID].tolist() == ["cat/1.jpg", "cat/1.png", "dog/1.jpg"]


def test_a_stray_picture_is_left_out_and_many_are_refused(contest: Contest, capsys: pytest.CaptureFixture[str]) -> None:
    contest.files(*(f"train/{kind}/{i}.jpg" for kind in ("cat", "dog") for i in range(5)), "train/stray.jpg")
    rows = contest.train(BY_FOLDER)
    assert len(rows) == 10 and set(rows["label"]) == {"cat", "dog"} and rows.index.tolist() == list(range(10))
    assert "1 of 11 pictures are left out: train/stray.jpg lies in no class folder" in capsys.readouterr().err
    contest.files("train/other.jpg")
    with pytest.raises(KglError, match=r"train/other\.jpg lies in no class folder"):
        contest.train(BY_FOLDER)


def test_labels_and_ids_in_file_names(contest: Contest) -> None:
    contest.files("train/cat.0.jpg", "train/dog.1.jpg", "test/7.jpg").table("sample.csv", "id,label\n7,0.5\n")
    assert pairs(contest.train(BY_NAME), ID, "label") == [("0", "cat"), ("1", "dog")]
    rows = contest.test(replace(BY_NAME, files=Files(sample_submission="sample.csv")))
    assert pairs(rows) == [("7", "test/7.jpg")]
    contest.files("train/dog.0.jpg")  # now the number alone does not tell them apart
    assert contest.train(BY_NAME)[ID].tolist() == ["cat.0", "dog.0", "dog.1"]


def test_a_name_that_does_not_fit_the_pattern_is_refused(contest: Contest) -> None:
    contest.files("train/cat.0.jpg", "train/bird.1.jpg")
    with pytest.raises(KglError, match=r"train/bird\.1\.jpg does not fit images\.pattern"):
        contest.train(BY_NAME)


def test_no_pictures_and_unknown_facts_are_told(contest: Contest) -> None:
    with pytest.raises(KglError, match=r"no pictures in .*train"):
        contest.train(BY_FOLDER)
    with pytest.raises(KglError, match=r"images\.layout, images\.train_dir not known yet") as caught:
        contest.train(Competition())
    assert caught.value.status == 2


def test_the_same_names_in_train_and_test_are_told_apart_by_folder(contest: Contest) -> None:
    contest.files("train/1.jpg", "test/1.jpg").table("train.csv", "image_id,label\n1,a\n").table(
        "sample.csv", "image_id,label\n1,a\n"
    )
    assert pairs(contest.train(BY_TABLE)) == [("1", "train/1.jpg")]
    assert pairs(contest.test(BY_TABLE)) == [("1", "test/1.jpg")]


def test_equal_files_share_a_code_and_missing_ones_do_not(contest: Contest) -> None:
    names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]
    for name, content in zip(names, (b"one", b"two", b"one", b"three", b"two"), strict=True):
        contest.files(name).raw.joinpath(name).write_bytes(content)
    codes = equal_files([*names, "", "", "none.jpg"], root=contest.raw)
    assert {(j, k) for j in range(8) for k in range(j) if codes[j] == codes[k]} == {(2, 0), (4, 1)}


def test_a_table_that_names_files_is_found(contest: Contest) -> None:
    contest.files(*(f"train_images/blight/{i}.jpg" for i in range(9)), *(f"test_images/t{i}.jpg" for i in range(5)))
    contest.table("train.csv", "image_id,label,age\n" + "".join(f"{i}.jpg,blight,40\n" for i in range(9)))
    contest.table("sample_submission.csv", "image_id,label\n" + "".join(f"t{i}.jpg,\n" for i in range(5)))
    assert contest.layout() == {
        "images.train_dir": "train_images",
        "images.test_dir": "test_images",
        "images.layout": "csv",
        "images.column": "image_id",
        "files.train": "train.csv",
        "files.sample_submission": "sample_submission.csv",
        "id": ("image_id",),
    }


def test_a_table_may_repeat_a_row_and_the_one_with_the_labels_is_taken(contest: Contest) -> None:
    names = [*range(30), 7]
    contest.files(*(f"train/{i}.jpg" for i in range(30)), *(f"test/{i}.jpg" for i in range(40, 45)))
    contest.table("train.csv", "id,site\n" + "".join(f"{i},x\n" for i in names))
    contest.table("train_labels.csv", "id,cat,dog\n" + "".join(f"{i},0,1\n" for i in names))
    contest.table("form_of_submission.csv", "id,cat,dog\n" + "".join(f"{i},0,0\n" for i in range(40, 45)))
    assert contest.layout()["files.train"] == "train_labels.csv"
    assert contest.layout(files=Files(train="train.csv"))["files.train"] == "train.csv"


def test_test_pictures_in_two_folders_are_found_from_the_folder_above(contest: Contest) -> None:
    contest.files(*(f"train/{label}/{label}{i}.jpg" for label in "ab" for i in range(4)))
    contest.files(*(f"test/one/x{i}.jpg" for i in range(6)), "test/two/y0.jpg")
    contest.table("sample.csv", "id,label\n" + "".join(f"x{i},a\n" for i in range(6)) + "y0,a\n")
    assert contest.layout()["images.test_dir"] == "test"
    (contest.raw / "test/two").rename(contest.raw / "test_more")
    assert contest.layout()["images.test_dir"] == "."
    contest.files("train/a/y0.jpg")  # a name in both is nobody's proof
    assert contest.layout()["images.test_dir"] == "test"


def test_a_form_called_benchmark_is_the_sample_and_no_test_table(contest: Contest) -> None:
    contest.files(*(f"train/{i}.jpg" for i in range(9)), *(f"test/{i}.jpg" for i in range(20, 25)))
    contest.table("solutions.csv", "GalaxyID,a\n" + "".join(f"{i},0.{i}\n" for i in range(9)))
    for name in ("zeros", "ones"):
        contest.table(f"all_{name}_benchmark.csv", "GalaxyID,a\n" + "".join(f"{i},1\n" for i in range(20, 25)))
    found = contest.layout()
    assert (found["files.sample_submission"], found["files.train"]) == ("all_ones_benchmark.csv", "solutions.csv")
    assert "files.test" not in found


def test_the_id_may_be_spelt_otherwise_in_the_submission(contest: Contest) -> None:
    contest.files(*(f"train/{i}.jpg" for i in range(9)), *(f"test/{i}.jpg" for i in range(20, 25)))
    contest.table("train.csv", "file_name,id,kind\n" + "".join(f"{i}.jpg,n{i},a\n" for i in range(9)))
    contest.table("test.csv", "file_name,id\n" + "".join(f"{i}.jpg,n{i}\n" for i in range(20, 25)))
    contest.table("sample.csv", "Id,Predicted\n" + "".join(f"n{i},a\n" for i in range(20, 25)))
    found = contest.layout()
    assert (found["id"], found["images.column"]) == (("id",), "file_name")


@pytest.mark.parametrize("column", ["rle_mask", "EncodedPixels", "PredictionString", "rle"])
def test_masks_and_boxes_are_refused_and_not_taken_for_classes(column: str, contest: Contest) -> None:
    contest.files(*(f"train/{kind}/{i}.png" for kind in ("images", "masks") for i in range(6)), "test/images/9.png")
    contest.table("train.csv", f"id,{column}\n" + "".join(f"{i},1 2\n" for i in range(6)))
    contest.table("sample.csv", f"id,{column}\n9,1 1\n")
    with pytest.raises(KglError, match=f"asks for {column}: masks and boxes are not supported"):
        contest.layout()


def test_one_folder_for_train_and_test_is_found_with_both_tables(contest: Contest) -> None:
    contest.files(*(f"images/Train_{i}.jpg" for i in range(9)), *(f"images/Test_{i}.jpg" for i in range(5)))
    contest.table("train.csv", "image_id,rust,scab\n" + "".join(f"Train_{i},0,1\n" for i in range(9)))
    contest.table("test.csv", "image_id\n" + "".join(f"Test_{i}\n" for i in range(5)))
    contest.table("sample_submission.csv", "image_id,rust,scab\n" + "".join(f"Test_{i},.5,.5\n" for i in range(5)))
    found = contest.layout()
    assert found["images.train_dir"] == found["images.test_dir"] == "images"
    assert (found["files.train"], found["files.test"]) == ("train.csv", "test.csv")
    assert found["id"] == ("image_id",)


def test_class_folders_are_found(contest: Contest) -> None:
    contest.files(
        *(f"plants/train/{name}/{i}.png" for name in ("Maize", "Black-grass") for i in range(4)), "plants/test/a.png"
    )
    contest.table("sample_submission.csv", "file,species\na.png,Maize\n")
    found = contest.layout()
    assert (found["images.train_dir"], found["images.test_dir"]) == ("plants/train", "plants/test")
    assert (found["images.layout"], found["id"], found["target"]) == ("folder", ("file",), ("species",))


@pytest.mark.parametrize("form", ["{label}.{i}.jpg", "{label}_{i}.png", "{i:04d}-{label}.jpg", "{label}{i}.jpg"])
def test_labels_in_file_names_are_found_and_read(form: str, contest: Contest) -> None:
    contest.files(*(f"train/{form.format(label=label, i=i)}" for label in ("cat", "dog") for i in range(6)))
    contest.files("test/1.jpg").table("sample_submission.csv", "id,label\n1,0.5\n")
    found = contest.layout()
    images = Images(**{key.split(".")[1]: value for key, value in found.items() if key.startswith("images.")})
    assert images.layout == "filename"
    labels = contest.train(replace(BY_NAME, images=images))["label"]
    assert labels.value_counts().to_dict() == {"cat": 6, "dog": 6}


def test_tables_alone_are_no_image_contest(contest: Contest) -> None:
    contest.table("train.csv", "id,label\n1,a\n").table("LICENSE", "text")
    with pytest.raises(KglError, match="has no pictures; run kgl download"):
        contest.layout()


def test_pictures_without_any_label_ask_for_what_is_missing(contest: Contest) -> None:
    contest.files(*(f"train/{i}.jpg" for i in range(6)), "test/7.jpg")
    with pytest.raises(KglError, match=r"no labels found: .*0\.jpg, 1\.jpg.*images\.layout="):
        contest.layout()


def test_folders_that_are_known_are_not_looked_for(contest: Contest) -> None:
    contest.files(
        *(f"{folder}/{label}/{label}{i}.jpg" for folder in ("train", "good") for label in "ab" for i in "123")
    )
    assert contest.layout()["images.train_dir"] == "train"
    found = contest.layout(images=Images(train_dir="good", test_dir="train"))
    assert (found["images.train_dir"], found["images.layout"]) == ("good", "folder")


@pytest.mark.parametrize(
    ("train", "test"), [("Train", "Test"), ("stage1_train", "stage1_test"), ("jpeg/train", "jpeg/test"), ("x", "test")]
)
def test_folders_of_train_and_test_are_told_by_their_names(train: str, test: str, contest: Contest) -> None:
    contest.files(*(f"{train}/{label}/{i}.jpg" for label in "ab" for i in range(3)), f"{test}/contest/7.jpg")
    found = contest.layout()
    assert (found["images.train_dir"], found["images.test_dir"]) == (train, test)
