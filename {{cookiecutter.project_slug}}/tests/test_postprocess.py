"""contest.py's postprocess() changes what is submitted, whenever it was written."""

import os
import time

import pytest

from kgl.table_file import read_table
from tests.conftest import Tiny


def test_postprocess_changes_what_is_submitted(tiny: Tiny) -> None:
    change = "    return predictions.assign(p_1=1.0, p_0=0.0)[::-1]\n"
    contest = (tiny.root / "contest.py").read_text(encoding="utf-8")
    tiny.write("contest.py", contest + "\n\ndef postprocess(predictions):\n" + change)
    run = tiny.kgl("train", "logistic").name
    table = read_table(tiny.root / "runs" / run / "submission.csv", text="all")
    assert set(table["label"]) == {"1"} and table["id"][0] == "t0"


def test_a_postprocess_written_after_training_reaches_the_submission(tiny: Tiny) -> None:
    run = tiny.kgl("train", "logistic").name
    file, contest = tiny.root / "runs" / run / "submission.csv", tiny.root / "contest.py"
    assert tiny.kgl("submit", run, "--dry-run").err.count("has changed since") == 0
    with contest.open("a", encoding="utf-8") as more:
        more.write("\n\ndef postprocess(predictions):\n    return predictions.assign(p_1=1.0, p_0=0.0)\n")
    os.utime(contest, (time.time() + 5,) * 2)
    assert "runs/logistic-001/submission.csv is written anew" in tiny.kgl("submit", run, "--dry-run").err
    assert set(read_table(file, text="all")["label"]) == {"1"}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("return None", "postprocess() should return a table"),
        ("return predictions.drop(columns='p_1')", "columns id, p_0, p_1"),
        ("return predictions.assign(id='same')", "a row an id"),
        ("return predictions[1:]", "1 rows of test have no finite prediction (such as 't0')"),
        ("return 1 / 0", "postprocess(): ZeroDivisionError"),
    ],
)
def test_a_postprocess_that_breaks_predictions_is_told(tiny: Tiny, body: str, sentence: str) -> None:
    contest = (tiny.root / "contest.py").read_text(encoding="utf-8")
    tiny.write("contest.py", f"{contest}\n\ndef postprocess(predictions):\n    {body}\n")
    result = tiny.kgl("train", "constant")
    assert (result.status, sentence in result.err) == (1, True), result.err
