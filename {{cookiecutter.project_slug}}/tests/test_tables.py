"""Files are read with their ids as text, exactly; load() of contest.py is checked; what is seen is hashed."""

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.api.types import is_numeric_dtype

from kgl import table_file
from kgl.errors import KglError
from kgl.table_file import read_parsed, read_table
from kgl.tables import ID, load_data, read_sample_submission, read_test, read_train
from tests.conftest import Tiny

CSV = "id,x\n0001,1\n0002,\n"
LOAD = "from kgl.tables import read_test, read_train\n\n\ndef load():\n    train, test = read_train(), read_test()\n"


def zipped(text: str, *names: str) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name in names:
            file.writestr(name, text)
    return archive.getvalue()


def parquet(text: str) -> bytes:
    return pd.read_csv(io.StringIO(text), dtype={"id": "str"}).to_parquet()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", CSV.encode()),
        ("t.csv", b"\xef\xbb\xbf" + CSV.encode()),
        ("t.csv", CSV.replace("\n", "\r\n").encode()),
        ("t.csv", CSV.replace("1\n", "1,\n").replace(",\n0", ",\n0").encode()),
        ("t.tsv", CSV.replace(",", "\t").encode()),
        ("t.txt", CSV.encode()),
        ("t.csv.gz", gzip.compress(CSV.encode())),
        ("t.csv.zip", zipped(CSV, "t.csv")),
        ("T.CSV.ZIP", zipped(CSV, "t.csv")),
        ("t.json", b'[{"id": "0001", "x": 1}, {"id": "0002", "x": null}]'),
        ("t.jsonl", b'{"id": "0001", "x": 1}\n{"id": "0002", "x": null}\n'),
        ("t.parquet", parquet(CSV)),
    ],
    ids=["csv", "BOM", "CRLF", "comma at the end", "tsv", "txt", "gz", "zip", "ZIP", "json", "jsonl", "parquet"],
)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    rows = read_table(tmp_path / name, text=["id"])
    assert list(rows.columns) == ["id", "x"]
    assert list(rows["id"]) == ["0001", "0002"]
    assert rows["x"].iloc[0] == 1 and pd.isna(rows["x"].iloc[1])


CELL = st.text(st.characters(codec="utf-8", exclude_characters='\r\n\x00",', exclude_categories=["Cs"]), max_size=12)
ODD = st.sampled_from(
    ["0001", "8353e4690948", "1_01", "123456789012345678901", "NA", "None", "2024-01-05", "1.0", "True"]
)


@given(ids=st.lists(ODD | CELL.filter(str.strip), min_size=1, max_size=8))
def test_ids_are_the_text_of_the_file_whatever_they_look_like(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str]
) -> None:
    path = tmp_path_factory.mktemp("ids") / "t.csv"
    path.write_bytes(("id,x\n" + "".join(f"{i},1\n" for i in ids)).encode())
    assert list(read_table(path, text=["id"])["id"]) == ids
    assert list(read_table(path, text="all")["id"]) == ids


def test_a_blank_in_a_column_of_large_numbers_costs_no_digit(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,x\n9007199254740993,1\n,2\n", encoding="utf-8")
    assert list(read_table(tmp_path / "t.csv", text=["id"])["id"]) == ["9007199254740993", ""]


@pytest.mark.parametrize(("early", "late"), [("1", "x"), ("1", ""), ("True", ""), ("", "x"), ("1", "0.5"), ("1", "-1")])
def test_a_large_file_is_read_in_pieces_as_if_it_were_read_as_a_whole(tmp_path: Path, early: str, late: str) -> None:
    path = tmp_path / "large.csv"
    path.write_text(
        "x,y\n" + "".join(f"{early if i < 39_990 else late},{i}\n" for i in range(40_000)), encoding="utf-8"
    )
    pd.testing.assert_frame_equal(read_table(path), pd.read_csv(path, low_memory=False))


def test_a_file_of_a_windows_code_page_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("id,x\né1,ü\n".encode("cp1252"))
    assert read_table(tmp_path / "t.csv", text=["id"]).to_dict("list") == {"id": ["é1"], "x": ["ü"]}


def test_semicolons_part_columns_whose_numbers_have_decimal_commas(tmp_path: Path) -> None:
    lines = "".join(f"{i};{i},5;{i},25;a, b\n" for i in range(1, 40))
    (tmp_path / "t.csv").write_text(f"id;half;some;said\n{lines}40;40,5;unknown;c\n")
    rows = read_table(tmp_path / "t.csv")
    assert rows["half"].tolist() == [i + 0.5 for i in range(1, 41)]
    assert rows.iloc[0].tolist() == [1, 1.5, "1.25", "a, b"] and rows["some"].iloc[-1] == "unknown"
    assert read_table(tmp_path / "t.csv", text="all")["half"].iloc[0] == "1,5"
    assert read_table(tmp_path / "t.csv", text=("half",))["half"].iloc[0] == "1,5"


def test_dates_and_codes_of_a_json_file_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text('[{"date": "2020-01-01", "code": "007"}]', encoding="utf-8")
    assert read_table(tmp_path / "t.json").to_dict("list") == {"date": ["2020-01-01"], "code": ["007"]}


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("t.csv", b"", "is empty; download or make it again"),
        ("t.csv", b"id,x\n1,2\n3,4,5\n", "cannot be read"),
        ("t.csv", b"id,x\n1,2,3\n4,5,6\n", "cannot be read"),
        ("t.csv", b'id,x\n1,"a\n', "cannot be read"),
        ("t.csv.gz", b"no archive", "cannot be read"),
        ("t.csv.zip", b"no archive", "cannot be read"),
        ("t.csv.zip", zipped(CSV, "a.csv", "b.csv"), "cannot be read: Multiple files found"),
        ("t.json", b"{", "cannot be read"),
        ("t.parquet", b"no parquet", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(KglError) as refused:
        read_table(tmp_path / name, text=["id"])
    assert str(tmp_path / name) in refused.value.message and sentence in refused.value.message
    assert (refused.value.status, len(refused.value.message.splitlines())) == (1, 1)


def test_a_missing_file_is_named_with_its_nearest_neighbour(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(CSV, encoding="utf-8")
    with pytest.raises(KglError, match=r"trian.csv is missing; run kgl download.*Did you mean 'train.csv'\?"):
        read_table(tmp_path / "trian.csv")


def test_rows_carry_their_id_as_text_and_keep_the_id_column(tiny: Tiny) -> None:
    train, test = read_train(), read_test()
    assert list(train[ID])[:2] == ["0000", "0001"] == list(train["id"])[:2]
    assert list(test[ID]) == [f"t{i}" for i in range(20)]
    assert train["size"].dtype == float


def test_several_id_columns_are_one_json_list(tiny: Tiny) -> None:
    tiny.replace("competition.toml", 'id = ["id"]', 'id = ["family", "day"]')
    assert list(read_train()[ID])[3:5] == ['["f1", "3"]', '["f1", "4"]']


def test_without_id_columns_rows_are_numbered(tiny: Tiny) -> None:
    tiny.replace("competition.toml", 'id = ["id"]', "id = []")
    assert list(read_train()[ID])[:2] == ["r0000001", "r0000002"] == list(read_test()[ID])[:2]


def test_a_train_file_with_ids_twice_or_none_is_numbered(tiny: Tiny) -> None:
    tiny.save("train.csv", tiny.frame("train.csv").assign(id="same"))
    assert list(read_train()[ID])[:2] == ["same #0", "same #1"]
    tiny.save("train.csv", tiny.frame("train.csv").drop(columns="id"))
    assert read_train()[ID].is_unique
    assert list(load_data(tiny.workspace).test[ID])[:2] == ["t0", "t1"]


def test_a_sample_submission_is_read_as_it_stands(tiny: Tiny) -> None:
    tiny.write("data/raw/sample.csv", "id,label\nNA,1.0\n0001,\n")
    sample = read_sample_submission()
    assert sample is not None and sample.to_dict("list") == {"id": ["NA", "0001"], "label": ["1.0", ""]}
    tiny.replace("competition.toml", 'sample_submission = "sample.csv"', "")
    assert read_sample_submission() is None


def test_experiments_see_what_train_and_test_share_without_the_target(tiny: Tiny) -> None:
    tiny.save("train.csv", tiny.frame("train.csv").assign(casual="1", registered="2"))
    data = load_data(tiny.workspace)
    assert list(data.train.columns) == list(data.test.columns) == [ID, "id", "size", "letter", "gaps", "family", "day"]
    assert data.train_only == ("casual", "registered")
    assert {"label", "casual"} <= set(data.full)
    assert "left out, since test lacks them or has no value: casual, registered" in tiny.kgl("train", "constant").err


def test_the_hash_sees_cells_target_labels_and_order(tiny: Tiny) -> None:
    def changed(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> str:
        before = tiny.frame(name)
        tiny.save(name, change(before))
        made = load_data(tiny.workspace).hash()
        tiny.save(name, before)
        return made

    known = load_data(tiny.workspace).hash()
    assert changed("train.csv", lambda rows: rows) == known
    others = [
        changed("train.csv", lambda rows: rows.assign(day=["7", *rows["day"][1:]])),
        changed("test.csv", lambda rows: rows.assign(size=["7", *rows["size"][1:]])),
        changed("train.csv", lambda rows: rows.assign(label=["0", *rows["label"][1:]])),
        changed("train.csv", lambda rows: rows.assign(label=rows["label"].map({"0": "no", "1": "yes"}))),
        changed("train.csv", lambda rows: rows[::-1]),
        changed("train.csv", lambda rows: rows.rename(columns={"day": "time"})),
    ]
    assert len({known, *others}) == 7


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("    return train", "load() should return two tables (train, test), got DataFrame"),
        ("    return train, test.drop(columns='__id__')", "load() lost the column __id__ of test"),
        ("    return train.merge(train[['family', 'day']], on='family'), test", "train has the id '0000' twice"),
        (
            "    train['__id__'] = train['__id__'].where(train['day'] > 1)\n    return train, test",
            "2 rows of train have no",
        ),
        ("    return train[:0], test", "train has no rows"),
        ("    return train.set_axis([*train.columns[:-2], 'a', 'a'], axis=1), test", "train has the column 'a' twice"),
        ("    return train['nix'], test", "contest.py: load(): KeyError: 'nix'"),
        ("    return 1 / 0", "contest.py: load(): ZeroDivisionError"),
        ("    return (", "contest.py: load(): SyntaxError"),
    ],
)
def test_a_load_that_breaks_the_rows_is_told(tiny: Tiny, body: str, sentence: str) -> None:
    tiny.write("contest.py", LOAD + body + "\n")
    result = tiny.kgl("train", "constant")
    assert (result.status, sentence in result.err, len(result.err.splitlines())) == (1, True, 1), result.err


def test_rows_of_another_index_and_ids_as_numbers_are_taken(tiny: Tiny) -> None:
    tiny.write("contest.py", LOAD + "    train['__id__'] = train['day'] + 1000\n    return train[::2], test\n")
    data = load_data(tiny.workspace)
    assert list(data.ids)[:2] == ["1000", "1002"]
    assert list(data.train.index) == list(range(30))


def test_external_rows_are_counted_on_their_own(tiny: Tiny) -> None:
    extra = "pd.concat([train, train.assign(external=True, __id__=None)])"
    tiny.write("contest.py", "import pandas as pd\n" + LOAD + f"    return {extra}, test\n")
    data = load_data(tiny.workspace)
    assert list(data.ids)[59:62] == ["0059", "x0000001", "x0000002"]
    assert (~data.external).sum() == data.external.sum() == 60
    assert "external" not in data.train


@pytest.mark.parametrize(
    ("path", "old", "new", "status", "sentence"),
    [
        ("competition.toml", 'id = ["id"]', 'id = ["idd"]', 1, "test.csv has no column 'idd', named by id"),
        ("competition.toml", 'target = ["label"]', 'target = ["lable"]', 1, "Did you mean 'label'?"),
        ("competition.toml", 'train = "train.csv"', 'train = "trian.csv"', 1, "Did you mean 'train.csv'?"),
        ("competition.toml", 'train = "train.csv"', "", 2, "files.train not known yet; run kgl init"),
        ("competition.toml", 'target = ["label"]', "", 2, "target not known yet; run kgl init"),
        ("data/raw/train.csv", "id,size", "id,size,size2", 1, "train.csv cannot be read"),
    ],
)
def test_facts_that_the_files_do_not_bear_out_are_refused(
    tiny: Tiny, path: str, old: str, new: str, status: int, sentence: str
) -> None:
    if path.endswith(".csv"):
        tiny.write(path, "id,size\n1,2,3\n4,5,6\n")
    else:
        tiny.replace(path, old, new)
    result = tiny.kgl("train", "constant")
    assert (result.status, sentence in result.err, len(result.err.splitlines())) == (status, True, 1), result.err


def test_a_test_file_without_rows_is_told(tiny: Tiny) -> None:
    tiny.save("test.csv", tiny.frame("test.csv")[:0])
    result = tiny.kgl("train", "constant")
    assert (result.status, "test has no rows" in result.err) == (1, True), result.err


def test_rows_of_test_that_share_an_id_are_submitted_as_their_mean(tiny: Tiny) -> None:
    test, sample = tiny.frame("test.csv"), tiny.frame("sample.csv")
    tiny.save("test.csv", pd.concat([test, test.iloc[:5]]))
    run = tiny.kgl("train", "constant")
    assert "several rows of test share an id" in run.err
    assert pd.read_csv(tiny.root / "runs/constant-001/submission.csv").id.tolist() == sample.id.tolist()


def test_a_column_all_missing_and_infinite_values_are_no_hindrance(tiny: Tiny) -> None:
    for name in ("train.csv", "test.csv"):
        rows = tiny.frame(name)
        tiny.save(name, rows.assign(gaps="", size=["inf", "-inf", *rows["size"][2:]]))
    result = tiny.kgl("train", "logistic")
    assert result.status == 0, result.err
    assert "Warning" not in result.err


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("", "text"),
        ("1.5", ["", "2"]),
        ("text", ["", "a"]),
        ("text", "1.5"),
        ("True", ["", "False"]),
        (["", "False"], "True"),
    ],
)
def test_columns_that_pandas_reads_otherwise_in_train_and_test_are_made_alike(
    tiny: Tiny, train: Any, test: Any
) -> None:
    for name, cell in (("train.csv", train), ("test.csv", test)):
        rows = tiny.frame(name)
        tiny.save(name, rows.assign(gaps=cell * (len(rows) // 2) if isinstance(cell, list) else cell))
    data = load_data(tiny.workspace)
    assert is_numeric_dtype(data.train["gaps"]) == is_numeric_dtype(data.test["gaps"])
    assert tiny.kgl("train", "logistic").status == 0


def test_numbers_in_train_that_are_text_in_test_are_told(tiny: Tiny) -> None:
    rows = tiny.frame("test.csv")
    tiny.save("test.csv", rows.assign(size=["?", "few", *rows["size"][2:]]))  # a question mark is a missing value
    result = tiny.kgl("train", "constant")
    assert (result.status, "column 'size' holds numbers in train, but 'few' in test" in result.err) == (1, True)


def test_duplicate_ids_train_as_a_group(tiny: Tiny) -> None:
    rows = tiny.frame("train.csv")
    tiny.save("train.csv", rows.assign(id=rows["family"]))
    assert tiny.kgl("train", "constant").status == 0
    fold = pd.read_parquet(tiny.workspace.folds)["fold"]
    assert (fold.groupby(rows["family"]).nunique() == 1).all()


def test_a_large_file_is_parsed_once_and_comes_back_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_file, "WORTH_KEEPING", 0)
    path, cache = tmp_path / "raw" / "train.csv", tmp_path / "cache"
    path.parent.mkdir()
    path.write_text("id,age,awake,name,n\n001,1.5,True,é,1\n002,,,,2\n003,0.1,False,NA,3\n", encoding="utf-8")
    parsed = read_table(path, text=("id",))
    for _ in range(2):  # kept by the first, read by the second
        pd.testing.assert_frame_equal(read_parsed(path, text=("id",), cache=cache), parsed)
    (kept,) = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:100])
    assert list(read_parsed(path, text=("id", "n"), cache=cache)["n"]) == ["1", "2", "3"]  # read otherwise
    path.write_text("id,age\n1,2\n1,x\n", encoding="utf-8")
    assert list(read_parsed(path, text=("id",), cache=cache)["age"]) == ["2", "x"]
    assert len([*cache.iterdir()]) == 1, "the file as it was is not kept for ever"
