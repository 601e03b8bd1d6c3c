"""Sample submissions that do not fit: what was trained is kept, and it is said before it is trained."""

import pandas as pd

from tests.conftest import Tiny


def test_a_sample_of_another_form_is_told_first_and_the_run_is_kept(tiny: Tiny) -> None:
    tiny.save("sample.csv", tiny.frame("sample.csv").assign(rank="1"))
    tiny.replace("competition.toml", '"accuracy"', '"auc"')
    done = tiny.kgl("train", "constant")
    said = done.err.splitlines()
    first = next(i for i, line in enumerate(said) if line.startswith("no submission.csv will come of it"))
    assert "'label' is not one of" in said[first] and first < next(i for i, line in enumerate(said) if "fold 0" in line)
    assert done.status == 0 and (tiny.root / "runs/constant-001/test.parquet").is_file()
    assert '"complete"' in (tiny.root / "runs/constant-001/run.json").read_text()
    assert "submission.csv is missing" in tiny.kgl("submit", "constant-001", "--dry-run").err


def test_a_sample_of_a_header_alone_asks_for_the_rows_of_test(tiny: Tiny) -> None:
    tiny.save("sample.csv", tiny.frame("sample.csv")[:0])
    done = tiny.kgl("baseline")
    assert done.status == 0 and "rows, checked" in done.err and "differ" not in done.err, done.err
    assert len(pd.read_csv(tiny.root / "runs/blend-001/submission.csv")) == 20


def test_a_column_of_lists_is_one_sentence(tiny: Tiny) -> None:
    contest = (tiny.root / "contest.py").read_text()
    tiny.write(
        "contest.py",
        contest.replace("return read_train(), read_test()", "return listed(read_train()), listed(read_test())"),
    )
    tiny.write("contest.py", (tiny.root / "contest.py").read_text() + LISTED)
    done = tiny.kgl("train", "constant")
    assert done.status == 1 and "a column of lists or the like" in done.err, done.err


LISTED = """

def listed(rows):
    return rows.assign(words=[[1, 2]] * len(rows))
"""
