"""What compares: runs scored by one formula, on the same rows, on a fold that both have; the rest says why not."""

import json
from typing import Any

import pytest

from kgl.board import best_run
from kgl.competition import load_competition
from kgl.identity import metric_hash
from tests.conftest import Tiny

OWN = """\
from kgl.metrics import Metric

SHARE = 1.0


def helper(y, p):
    return SHARE * (y == p).mean()


def right(y, p):
    return float(helper(y, p))


mine = Metric(right, True, "labels", "contest:smooth")
smooth = Metric(lambda y, p: float(abs(y - p).mean()), False, "values", "contest:smooth")


def load"""


def read(tiny: Tiny, run: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((tiny.root / "runs" / run / "run.json").read_text())
    return values


@pytest.fixture
def own(tiny: Tiny) -> Tiny:
    """A workspace with a metric of its own."""
    tiny.replace("competition.toml", '"accuracy"', '"contest:mine"')
    tiny.replace("contest.py", "def load", OWN)
    return tiny


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("SHARE * (y", "2 * SHARE * (y", True),  # what the function calls
        ("SHARE = 1.0", "SHARE = 0.5", True),
        ('right, True, "labels"', 'right, False, "labels"', True),
        ("abs(y - p)", "abs(p - y)", True),  # the loss, named in a text
        ("    return float(", '    """Words."""\n    return float(  # words\n        ', False),
        ("return read_train(), read_test()", "right = read_train()\n    return right, read_test()", False),
        ("from kgl.tables", "import json\nfrom kgl.tables", False),
    ],
)
def test_the_hash_of_a_metric_is_of_all_that_makes_it_and_of_nothing_else(
    own: Tiny, old: str, new: str, changes: bool
) -> None:
    before = metric_hash(own.workspace, "contest:mine")
    own.replace("contest.py", old, new)
    assert before and (metric_hash(own.workspace, "contest:mine") != before) == changes
    assert metric_hash(own.workspace, "accuracy") == ""


def test_another_formula_is_another_metric(own: Tiny) -> None:
    own.kgl("train", "logistic", "constant")
    own.replace("contest.py", "SHARE = 1.0", "SHARE = 0.5")
    assert "2 runs of other folds or not scored by contest:mine as it is now are left out." in own.kgl("board").out
    refused = own.kgl("blend", "constant-001").err
    assert "constant-001 cannot be blended: contest.py has changed contest:mine since. Train it again" in refused
    again = own.kgl("train", "logistic")
    assert again.name == "logistic-002" and read(own, "logistic-002")["cv_score"] < 0.5
    assert [line["run"] for line in json.loads(own.kgl("board", "--json").out)] == ["logistic-002"]
    assert own.kgl("board", "logistic-002", "logistic-001").out.startswith(
        "not compared: contest:mine in contest.py has changed between the two\n"
    )
    assert read(own, own.kgl("blend").name)["blend"]["members"] == ["logistic-002"]


def test_a_metric_of_the_catalogue_leaves_run_json_as_it_was(tiny: Tiny) -> None:
    tiny.kgl("train", "constant")
    run = read(tiny, "constant-001")
    assert "lacks" not in run and sorted(run["identity"]) == ["code", "config", "data", "folds"]


def test_a_run_that_lacks_rows_stands_behind_complete_ones(tiny: Tiny) -> None:
    tiny.kgl("train", "constant", "logistic")
    tiny.replace("contest.py", "return read_train()", "return read_train().query('size < 0.5 or label == 1')")
    assert tiny.kgl("train", "logistic").name == "logistic-002"
    lacks = read(tiny, "logistic-002")["lacks"]
    assert lacks > 5 and read(tiny, "logistic-002")["cv_score"] > read(tiny, "logistic-001")["cv_score"]
    board = tiny.kgl("board").out.splitlines()
    assert board[1].startswith("1  logistic-001") and board[3].startswith("3  logistic-002")
    assert "fewer rows" in board[3] and any(line.startswith("fewer rows: train lacked some of data/") for line in board)
    assert best_run(tiny.workspace, load_competition(tiny.workspace), "submit").run == "logistic-001"
    assert tiny.kgl("board", "logistic-002", "logistic-001").out.startswith(
        f"not compared: of the rows of their folds logistic-002 lacks {lacks}, logistic-001 0\n"
    )
    blend = tiny.kgl("blend")
    assert "left out: logistic-002; train lacked rows of the folds (blend them by name if you must)" in blend.err
    assert read(tiny, blend.name)["blend"]["members"] == ["logistic-001", "constant-001"]


def test_runs_that_lack_the_same_rows_compare_and_blend(tiny: Tiny) -> None:
    tiny.kgl("folds")
    tiny.replace("contest.py", "return read_train()", "return read_train().iloc[6:]")
    tiny.kgl("train", "constant", "logistic")
    assert read(tiny, "constant-001")["lacks"] == 6
    assert "(paired, 54 rows, p " in tiny.kgl("board", "logistic-001", "constant-001").out
    assert tiny.kgl("blend").status == 0


def test_a_partial_run_shows_its_score_its_changes_and_a_verdict_on_the_fold_that_both_have(tiny: Tiny) -> None:
    first = tiny.kgl("train", "logistic", "folds=0")
    score = f"{read(tiny, 'logistic-001')['cv_score']:.5f}, 1 of 3 folds"
    assert first.out.startswith(f"logistic-001           CV {score}")
    tiny.kgl("train", "logistic", "folds=0", "params.C=0.001")
    tiny.kgl("train", "logistic", "--quick")
    rows = {line.split()[0]: line for line in tiny.kgl("board").out.splitlines()}
    assert score in rows["logistic-001"] and rows["logistic-003"].split()[1] == "quick"
    assert "1 of 3 folds" in rows["logistic-002"] and rows["logistic-002"].split()[6] in ("noise", "worse")
    assert rows["logistic-002"].endswith("params.C=0.001")
    assert f"CV accuracy     {score}" in tiny.kgl("board", "logistic-001").out
    two = ("board", "logistic-002", "logistic-001")
    verdict = tiny.kgl(*two).out.splitlines()[0]
    assert "(paired, 20 rows, p " in verdict and verdict.endswith(" of 1 folds")
    assert [run["fold_scores"][1:] for run in json.loads(tiny.kgl(*two, "--json").out)] == [[None, None]] * 2
    assert tiny.kgl("board", "--json").out == "[]\n"
    for file in tiny.root.glob("runs/*/oof.parquet"):
        file.unlink()
    (tiny.root / "data/cache/verdicts.json").unlink(missing_ok=True)
    for file in tiny.root.glob("data/cache/draws/*"):
        file.unlink()
    assert tiny.kgl(*two).out.startswith("not compared: they share one fold, and its rows are not on this machine\n")


def test_the_one_reason_why_partial_runs_do_not_compare_is_named(tiny: Tiny) -> None:
    tiny.replace("competition.toml", '"accuracy"', '"f1"')
    tiny.kgl("train", "logistic", "folds=0")
    tiny.kgl("train", "constant", "folds=1,2")
    tiny.kgl("train", "logistic", "--quick")
    apart = {run: tiny.kgl("board", "logistic-001", run).out.split("\n")[0] for run in ("constant-001", "logistic-002")}
    assert apart["constant-001"] == "not compared: no fold has a score of both"
    assert apart["logistic-002"] == "not compared: a quick run is of few rows"
    tiny.kgl("train", "constant")
    assert tiny.kgl("board", "logistic-001", "constant-001").out.startswith(
        "not compared: labels are decided by a rule of all folds, which one of them lacks\n"
    )
