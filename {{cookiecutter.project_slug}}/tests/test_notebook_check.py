"""kgl notebook check: what runs on Kaggle passes, and each planted fault is found and named with its cell."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from kgl.competition import load_competition
from kgl.errors import KglError
from kgl.notebook.check import forecast
from kgl.notebook.hidden import write_hidden
from kgl.table_file import read_table
from tests.conftest import CONTEST, Result, Tiny

linux = pytest.mark.skipif(sys.platform != "linux", reason="the system has no such limit, or no touch")


def built(tiny: Tiny) -> Tiny:
    assert tiny.kgl("train", "logistic").status == 0
    made = tiny.kgl("notebook", "build", "--no-wheels")
    assert made.status == 0 and made.name == "build/logistic-001", made.err
    return tiny


def add_cell(tiny: Tiny, code: str, *, last: bool = False) -> None:
    path = tiny.root / "build/logistic-001/notebook/submission.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cell = notebook["cells"][0] | {"source": [code]}
    notebook["cells"].insert(len(notebook["cells"]) if last else 0, cell)
    path.write_text(json.dumps(notebook), encoding="utf-8")


def breaks(tiny: Tiny, *options: str) -> str:
    result = tiny.kgl("notebook", "check", *options)
    assert result.status == 1, result
    return result.err


def test_a_build_passes_with_fewer_and_with_more_rows(tiny: Tiny) -> None:
    result: Result = built(tiny).kgl("notebook", "check", "--rows", "1000")
    assert result.status == 0, result.err
    assert result.out.startswith("4 checks passed; ")
    assert " s for 1,000 rows (limit 9 h); no network touched; " in result.out
    assert "\n10 test rows: " in f"\n{result.err}" and "\n40 test rows: " in result.err
    assert "network cut off by " in result.err


@pytest.mark.parametrize(
    ("code", "options", "found"),
    [
        ("import urllib.request; urllib.request.urlopen('http://example.org')", (), "tried to reach example.org"),
        (
            "# A note\nopen('../elsewhere', 'w')",
            (),
            "cell 1 (# A note), line 2: PermissionError: tried to write ../else",
        ),
        ("open('/kaggle.txt', 'w')", (), "tried to write /kaggle.txt, outside the working folder"),
        (
            "import time; time.sleep(60)",
            ("--hours", "0.0005"),
            "too slow: cell 1 (import time; time.sleep(60)) was not",
        ),
        ("raise SystemExit(0)", (), "SystemExit: 0"),
        pytest.param("x = bytearray(3 << 30)", ("--memory", "2"), "line 1: MemoryError", marks=linux),
        pytest.param("import os; os.kill(os.getpid(), 9)", (), "ended the process with status -9", marks=linux),
    ],
)
def test_faults_of_a_cell_are_found(tiny: Tiny, code: str, options: tuple[str, ...], found: str) -> None:
    add_cell(built(tiny), code)
    assert found in breaks(tiny, *options)


def test_the_network_is_cut_off_where_the_system_has_no_way_to(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    add_cell(built(tiny), "import socket; socket.create_connection(('8.8.8.8', 53))")
    monkeypatch.setenv("PATH", "")
    assert "tried to reach 8.8.8.8, which Kaggle does not allow" in breaks(tiny)


@linux
def test_a_process_that_it_starts_is_found_to_write_elsewhere(tiny: Tiny) -> None:
    add_cell(built(tiny), "import os; os.system('touch ../elsewhere')", last=True)
    assert "elsewhere, outside its working folder" in breaks(tiny)


def test_rows_that_are_counted_by_hand_are_found(tiny: Tiny) -> None:
    counted = "def postprocess(predictions):\n    return predictions.assign(place=range(20))\n"
    tiny.write("contest.py", f"{CONTEST}\n\n{counted}")
    found = breaks(built(tiny))
    assert "cell 2 (# The test rows as they are here" in found and "Length of values (20)" in found


def test_a_missing_wheel_is_found(tiny: Tiny) -> None:
    tiny.write("contest.py", f"import hypothesis\n{CONTEST}")  # here, but not on Kaggle
    found = breaks(built(tiny))
    assert "cell 2 (" in found and "No module named 'hypothesis'" in found and "--package hypothesis" in found


def test_predictions_that_depend_on_other_test_rows_are_found(tiny: Tiny) -> None:
    mean = 'read_test().assign(size=lambda rows: rows["size"] - rows["size"].mean())'
    tiny.write("contest.py", CONTEST.replace("read_test()\n", f"{mean}\n"))
    assert "10 of 10 rows are predicted otherwise than in runs/logistic-001/test.parquet" in breaks(built(tiny))


def test_the_forecast_grows_by_rows_and_not_with_what_is_done_once() -> None:
    assert forecast([(100, 10.0), (200, 11.0)], 1200) == pytest.approx(21.0)
    assert forecast([(100, 10.0), (200, 9.0)], 5000) == 9.0
    assert forecast([(100, 10.0), (200, 11.0)], 20) == 11.0
    assert forecast([(100, 10.0), (100, 11.0)], 1000) == 11.0


def hidden(tiny: Tiny, *, more: bool) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, str]]:
    folder = tiny.root / f"hidden-{more}"
    made = write_hidden(tiny.workspace, load_competition(tiny.workspace), folder, more=more)
    test, sample = (read_table(folder / name, text="all") for name in ("test.csv", "sample.csv"))
    assert len(test) == made.rows
    return test, sample, dict(made.kept)


def test_other_rows_and_their_sample_stand_alike(tiny: Tiny) -> None:
    real = tiny.frame("test.csv").set_index("id")
    for more, rows in ((False, 10), (True, 40)):
        test, sample, kept = hidden(tiny, more=more)
        assert test["id"].is_unique and test["id"].tolist() == sample["id"].tolist()
        assert len(test) == rows and test["id"][: len(kept)].tolist() == list(kept)
        assert test["id"].tolist() != real.index[:rows].tolist()
        assert test.set_index("id").loc[list(kept)].equals(real.loc[list(kept.values())])
    assert (tiny.root / "hidden-True/train.csv").read_text() == (tiny.root / "data/raw/train.csv").read_text()


def test_rows_without_an_id_are_told_by_their_place(tiny: Tiny) -> None:
    tiny.replace("competition.toml", 'id = ["id"]', "id = []")
    test, sample, kept = hidden(tiny, more=False)
    assert len(test) == len(sample) == 10 and list(kept)[-1] == "r0000010" and kept["r0000010"] == "r0000010"


def test_a_sample_with_several_lines_a_row_keeps_them_together(tiny: Tiny) -> None:
    lines = tiny.frame("sample.csv")
    tiny.save("sample.csv", pd.concat([lines, lines.assign(label="1")]))
    test, sample, _ = hidden(tiny, more=True)
    assert sample["id"].tolist() == [id for id in test["id"] for _ in range(2)]


def test_a_sample_that_has_nothing_to_do_with_test_is_told(tiny: Tiny) -> None:
    tiny.save("sample.csv", pd.DataFrame({"id": ["a", "b"], "label": 0}))
    with pytest.raises(KglError, match="the sample submission's rows are not those of test"):
        hidden(tiny, more=False)


def test_links_lead_to_the_files_that_lie_there(tiny: Tiny) -> None:
    hidden(tiny, more=False)
    assert Path(tiny.root / "hidden-False/train.csv").resolve() == (tiny.root / "data/raw/train.csv").resolve()
