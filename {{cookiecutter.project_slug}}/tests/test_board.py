"""The board: ranked from run.json alone, with a verdict that luck is counted in."""

import json
import statistics
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from scipy import stats

from kgl.board import best_run, make_board, rank
from kgl.changes import all_changes, change_in_words, differences, members_of, what_changed
from kgl.competition import load_competition
from kgl.journal import Event, append
from kgl.metrics import get_metric
from kgl.paths import Workspace
from kgl.runs import Run, holding
from kgl.verdicts import chance, compare
from tests.conftest import Tiny, takes_less_than

ACCURACY, RMSE = get_metric("accuracy"), get_metric("rmse")


def run(name: str, *fold_scores: float | None, **values: Any) -> Run:
    known = [score for score in fold_scores if score is not None]
    settings: dict[str, Any] = {"experiment": name, "kind": "tabular", "status": "complete", "metric": "accuracy"}
    settings |= {"fold_scores": list(fold_scores), "cv_score": statistics.fmean(known) if known else None}
    return Run(run=f"{name}-001", **(settings | values))


def write(tiny: Tiny, *runs: Run) -> None:
    for one in runs:
        tiny.write(f"runs/{one.run}/run.json", json.dumps(asdict(one)))


@pytest.mark.parametrize(
    ("new", "old", "word"),
    [
        ((0.81, 0.83, 0.82, 0.84, 0.80), (0.70, 0.72, 0.71, 0.73, 0.70), "better"),
        ((0.70, 0.72, 0.71, 0.73, 0.70), (0.81, 0.83, 0.82, 0.84, 0.80), "worse"),
        ((0.81, 0.70, 0.75, 0.78, 0.79), (0.79, 0.72, 0.77, 0.74, 0.80), "noise"),
        ((0.8, 0.9, 0.7), (0.8, 0.9, 0.7), "noise"),
        ((0.75, 0.5), (0.5, 0.25), "better"),  # by the same everywhere
        ((0.8, None, 0.82, 0.81), (0.7, 0.9, 0.71, 0.72), "better"),  # by the folds that both have
    ],
)
def test_the_verdict_weighs_the_difference_against_its_spread_over_folds(new: Any, old: Any, word: str) -> None:
    verdict = compare(ACCURACY, run("new", *new), run("old", *old))
    assert verdict is not None and verdict.word == word


def test_smaller_is_better_where_the_metric_says_so() -> None:
    low, high = run("low", 0.11, 0.12, 0.13), run("high", 0.21, 0.22, 0.235)
    verdict = compare(RMSE, low, high)
    assert verdict is not None and verdict.word == "better" and verdict.gain > 0
    assert [one.run for one in rank([high, low], "rmse")] == ["low-001", "high-001"]
    assert [one.run for one in rank([low, high], "accuracy")] == ["high-001", "low-001"]


def test_the_error_counts_that_folds_share_training_rows() -> None:
    new, old = (0.81, 0.80, 0.85, 0.79, 0.84), (0.79, 0.80, 0.81, 0.78, 0.80)
    verdict = compare(ACCURACY, run("new", *new), run("old", *old))
    gains = np.subtract(new, old)
    plain = stats.ttest_1samp(gains, 0).pvalue
    t = gains.mean() / np.sqrt(gains.var(ddof=1) * (1 / 5 + 1 / 4))  # Nadeau and Bengio: test part / training part
    assert verdict is not None and verdict.p == pytest.approx(stats.t.sf(t, 4)) and verdict.p > plain / 2


@pytest.mark.parametrize("df", [1, 2, 3, 4, 9, 10, 50])
@pytest.mark.parametrize("t", [0.0, 0.3, 1.0, 2.5, 20.0, 1e6])
def test_thechance_is_that_of_students_t(t: float, df: int) -> None:
    assert chance(t, df) == pytest.approx(2 * stats.t.sf(t, df), abs=1e-12)


@pytest.mark.parametrize(("new", "old"), [((0.8,), (0.7,)), ((0.8, 0.7), (0.8, 0.7, 0.6)), ((0.8, None), (0.8, 0.7))])
def test_too_few_folds_in_common_are_not_compared(new: Any, old: Any) -> None:
    assert compare(ACCURACY, run("new", *new), run("old", *old)) is None


def test_runs_of_other_folds_or_metrics_are_not_compared() -> None:
    here = run("a", 0.8, 0.7, 0.9, identity={"folds": "1"})
    assert compare(ACCURACY, here, run("b", 0.6, 0.5, 0.7, identity={"folds": "1"})) is not None
    assert compare(ACCURACY, here, run("b", 0.6, 0.5, 0.7, identity={"folds": "2"})) is None
    assert compare(ACCURACY, here, run("b", 0.6, 0.5, 0.7, identity={"folds": "1"}, metric="auc")) is None


def test_equal_scores_put_the_simpler_first() -> None:
    blend = {"members": ["a-001", "b-001"], "weights": [1.0, 0.0]}
    runs = [
        run("blend", 0.5, 0.7, blend=blend, seconds=0.1),
        run("slow", 0.6, 0.6, seconds=9),
        run("fast", 0.5, 0.7, seconds=1),
    ]
    assert [one.run for one in rank(runs, "accuracy")] == ["fast-001", "slow-001", "blend-001"]


def test_runs_of_other_folds_or_metrics_are_left_out_and_counted(tiny: Tiny) -> None:
    here, there = {"folds": "1"}, {"folds": "2"}
    write(
        tiny,
        run("good", 0.8, 0.9, identity=here),
        run("poor", 0.3, 0.4, identity=here),
        run("other_folds", 0.9, 0.95, identity=there),
        run("other_metric", 0.99, 0.99, identity=here, metric="auc"),
        run("trial", 0.99, identity=here, status="partial"),
        run("broken", identity=here, status="failed"),
        run("unscored", None, None, identity=here),
    )
    board = make_board(tiny.workspace, "accuracy", "1")
    assert [line.run.run for line in board.lines] == ["good-001", "poor-001"]
    assert {one.run for one in board.unranked} == {"trial-001", "unscored-001"}
    assert [one.run for one in board.failed] == ["broken-001"]
    assert board.left_out == 2
    assert len(make_board(tiny.workspace, "accuracy", None).lines) == 3  # no folds yet: all that there is


def test_the_command_shows_it_all(tiny: Tiny) -> None:
    assert "No complete run yet: uv run kgl baseline" in tiny.kgl("board").out
    write(
        tiny, run("good", 0.8, 0.9, 0.85, note="my idea"), run("poor", 0.3, 0.4, 0.35), run("other", 0.5, metric="auc")
    )
    append(tiny.workspace, Event(1, "poor-001", "", "", "", public_score=0.0))
    append(tiny.workspace, Event(2, "", "", "", ""))
    lines = tiny.kgl("board").out.splitlines()
    assert lines[0].split() == ["#", "run", "CV", "accuracy", "vs", "best", "public", "time", "what", "changed"]
    assert lines[1].startswith("1  good-001") and lines[1].endswith("my idea") and "best" in lines[1]
    assert "worse~" in lines[2] and "0.0" in lines[2]
    assert lines[3].startswith("~: by fold scores alone")
    assert lines[4] == "1 runs of other folds or not scored by accuracy as it is now are left out."
    assert "worse~ -0.50000 p < .001" in tiny.kgl("board", "--wide").out
    ranked = json.loads(tiny.kgl("board", "--json").out)
    assert [one["run"] for one in ranked] == ["good-001", "poor-001"] and ranked[1]["against_best"]["word"] == "worse"


def test_one_run_in_full_and_two_side_by_side(tiny: Tiny) -> None:
    old = run("a", 0.8, 0.9, 0.7, config={"kind": "tabular", "params": {"C": 1.0}, "drop": []})
    new = run("b", 0.9, 0.95, config={"kind": "tabular", "params": {"C": 0.5, "tol": 1}, "drop": ["x"]})
    write(tiny, old, new)
    one = tiny.kgl("board", "a-001").out
    assert one.startswith("run             a-001: tabular, complete\n") and "0.80000  0.90000  0.70000" in one
    two = tiny.kgl("board", "b-001", "a-001").out
    assert "changed: params.C 1.0 -> 0.5" in two and "changed: params.tol=1" in two and "changed: drop +x" in two
    assert two.startswith("not compared: they are of other folds\n")
    assert two.splitlines()[-1].split() == ["2", "-", "0.70000"]  # the fold that one of them lacks
    assert [r["run"] for r in json.loads(tiny.kgl("board", "b-001", "a-001", "--json").out)] == ["b-001", "a-001"]
    assert tiny.kgl("board", "a-001", "b-001", "a-001").status == 2
    assert (
        "no run 'c-001' in runs/. Did you mean" in (missing := tiny.kgl("board", "c-001")).err and missing.status == 2
    )


def test_a_rosy_run_stands_behind_honest_ones_with_a_mark(tiny: Tiny) -> None:
    write(tiny, run("honest", 0.8, 0.9), run("poor", 0.6, 0.5), run("peeked", 0.9, 0.95, config={"choose": "fold"}))
    lines = tiny.kgl("board").out.splitlines()
    assert lines[1].startswith("1  honest-001") and "rosy" in lines[3] and lines[3].startswith("3  peeked-001")
    assert "rosy: the labels of a fold chose the epoch for it (choose=fold); honest runs stand first." in lines
    assert tiny.kgl("board", "peeked-001", "honest-001").out.startswith(
        "rosy: +0.07500 ± 0.04330 in accuracy (by fold scores alone, p "
    )
    assert best_run(tiny.workspace, load_competition(tiny.workspace), "submit").run == "honest-001"


def test_runs_of_other_data_are_compared_with_a_mark(tiny: Tiny) -> None:
    here, before = ({"folds": "1", "data": data} for data in "ab")
    write(tiny, run("good", 0.8, 0.9, identity=here), run("poor", 0.6, 0.5, identity=here))
    assert "*" not in tiny.kgl("board").out
    write(tiny, run("old", 0.7, 0.5, identity=before))
    lines = tiny.kgl("board").out.splitlines()
    words = {line.split()[1]: line.split()[3] for line in lines[2:4]}
    assert words["old-001"].endswith("~*") and words["poor-001"].endswith("e~")
    assert any(line.startswith("*: the data have changed between the two") for line in lines)
    assert "(by fold scores alone, on other data, p " in tiny.kgl("board", "old-001", "good-001").out


def test_a_damaged_line_of_the_journal_is_told_beside_the_board(tiny: Tiny) -> None:
    write(tiny, run("good", 0.8, 0.9))
    append(tiny.workspace, Event(1, "good-001", "", "", "", public_score=0.75))
    journal = tiny.write("submissions.jsonl", tiny.workspace.submissions.read_bytes() + b"<<<<<<< HEAD\n")
    before = journal.read_bytes()
    for words in (("board",), ("board", "--json"), ("board", "good-001")):
        shown = tiny.kgl(*words)
        assert shown.status == 0 and "0.75" in shown.out
        assert shown.err.startswith("submissions.jsonl line 2 is no event (") and "mend or delete" in shown.err
    assert journal.read_bytes() == before
    assert "submissions.jsonl line 2 is no event" in tiny.kgl("submit", "good-001", "--final").err


def test_a_stopped_run_says_how_it_goes_on(tiny: Tiny) -> None:
    write(tiny, run("stopped", status="running", command="kgl train stopped"), run("going", status="running"))
    with holding(tiny.root / "runs/going-001", "going-001"):
        out = tiny.kgl("board").out
    stopped, going = (next(line for line in out.splitlines() if name in line) for name in ("stopped-001", "going-001"))
    assert stopped.split()[1] == "stopped" and "goes on with: kgl train stopped" in stopped
    assert going.split()[1] == "running"


def test_failed_runs_are_one_line_until_their_experiment_works(tiny: Tiny) -> None:
    write(tiny, run("a", status="failed", started="1"), run("b", status="failed", started="1"))
    assert "failed: a-001, b-001; why: log.txt" in tiny.kgl("board").out
    assert "delete" in tiny.kgl("board").out
    write(tiny, run("a2", 0.5, 0.6, experiment="a", started="2"))
    assert "failed: b-001; why" in tiny.kgl("board").out


def test_two_runs_are_compared_in_words_not_by_sign(tiny: Tiny) -> None:
    tiny.replace("competition.toml", '"accuracy"', '"rmse"')
    write(tiny, run("low", 0.11, 0.12, metric="rmse"), run("high", 0.21, 0.215, metric="rmse"))
    assert tiny.kgl("board", "low-001", "high-001").out.startswith("better: +0.09750 ± ")
    assert "by fold scores alone, p 0.014, + is less), 2 of 2 folds" in tiny.kgl("board", "low-001", "high-001").out
    assert tiny.kgl("board", "high-001", "low-001").out.startswith("worse: -0.09750 ± ")
    write(tiny, run("near", 0.12, 0.111, metric="rmse"))
    assert tiny.kgl("board", "near-001", "low-001").out.startswith("noise: -0.00050 ± ")


def test_what_changed_is_the_members_or_the_settings(tiny: Tiny) -> None:
    def changed(one: Run, before: Run | None = None) -> str:
        return what_changed(tiny.workspace, one, before)

    old = {"kind": "tabular", "params": {"shift": -0.5, "C": 1}, "features": ["features.title", "features.deck"]}
    new = {"kind": "tabular", "params": {"shift": -1.5, "tol": 2}, "features": ["features.deck", "features.family"]}
    parent = run("a", config=old)
    assert changed(run("b", config=new), parent) == (
        "params.shift -0.5 -> -1.5; -params.C; params.tol=2; features +family -title"
    )
    assert changed(run("c", config=old, identity={"code": "2"}), parent) == "code"
    assert changed(run("c", config=old, identity={"data": "2"}), parent) == "data"
    assert changed(run("e")) == ""
    weights: dict[str, Any] = {"members": ["x-001", "y-001", "z-001"], "weights": [0.25, 0.75, 0.0]}
    assert changed(run("blend", blend=weights)) == "3 members: y-001 0.75, x-001 0.25"
    weights["weights"] = [0.0, 1.0, 0.0]
    assert changed(run("blend", blend=weights)) == "3 members, no gain over y-001 alone"
    assert members_of(run("blend", blend={"members": ["x-001"], "weights": [1.0]})) == "x-001 alone"
    (model,) = differences({"model": {"class": "sklearn.svm._classes.SVC", "C": 1}}, {"model": "ridge"})
    assert change_in_words(*model) == "model SVC -> ridge"


def test_functions_that_changed_are_named_from_the_saved_sources(tiny: Tiny) -> None:
    before, after = run("a", identity={"code": "1"}), run("b", identity={"code": "2"})
    for one, features in ((before, "def deck(x):\n    return 1\n\n\ndef cabin(x):\n    return 1\n"), (after, None)):
        text = features or "def deck(x):\n    # Words\n    return 2\n\n\ndef title(x):\n    return 1\n"
        tiny.write(f"runs/{one.run}/source/features.py", text)
        tiny.write(f"runs/{one.run}/source/experiments/{one.experiment}.py", "experiment = 1\n")
    assert all_changes(tiny.workspace, after, before) == ["features.py: deck +title -cabin"]
    tiny.write("runs/b-001/source/features.py", (tiny.root / "runs/a-001/source/features.py").read_text() + "# words\n")
    assert all_changes(tiny.workspace, after, before) == ["code"]


@pytest.fixture
def two(tiny: Tiny) -> Tiny:
    """Two runs with predictions."""
    tiny.kgl("train", "constant", "logistic")
    return tiny


def test_rows_decide_where_predictions_are_here_and_are_read_once(two: Tiny) -> None:
    def of_rows(folder: Workspace, seconds: float) -> int:
        against = make_board(folder, "accuracy", None, seconds=seconds).lines[1].against_best
        assert against is not None
        return against.rows

    assert of_rows(two.workspace, 0) == 0
    assert of_rows(two.workspace, 10) == 60
    assert of_rows(two.workspace, 0) == 60  # from data/cache
    for file in two.root.glob("runs/*/oof.parquet"):
        file.unlink()
    assert of_rows(two.workspace, 0) == 60
    out = two.kgl("board", "logistic-001", "constant-001").out
    assert out.startswith("noise: +0.") and "(paired, 60 rows, p 0.0" in out and "3 of 3 folds" in out


def test_two_runs_show_the_rows_where_they_differ_most(two: Tiny) -> None:
    lines = two.kgl("board", "logistic-001", "constant-001").out.splitlines()
    start = lines.index("where they differ most in the probability of the right label:")
    assert lines[start + 1].split() == ["id", "fold", "target", "logistic-001", "constant-001"]
    label = two.frame("train.csv").set_index("id")["label"]
    rows = [line.split() for line in lines[start + 2 : start + 7]]
    assert [row[2] for row in rows] == [label[row[0]] for row in rows]
    apart = [abs(float(row[3]) - float(row[4])) for row in rows]
    assert apart == sorted(apart, reverse=True) and apart[0] > 0.3


def test_without_the_contests_files_fold_scores_decide(two: Tiny) -> None:
    (two.root / "data/raw/train.csv").unlink()
    result = two.kgl("board")
    assert result.status == 0 and "worse~" in result.out


def test_a_board_fits_into_a_hundred_columns(two: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert max(map(len, two.kgl("board").out.splitlines())) <= 100


def test_a_metric_of_ones_own_is_found(tiny: Tiny) -> None:
    tiny.replace("competition.toml", '"accuracy"', '"contest:mine"')
    own = "mine = Metric(lambda y, p: float((y == p).mean()), True, 'labels', 'logloss')"
    tiny.replace("contest.py", "\n\ndef load", f"\nfrom kgl.metrics import Metric\n\n{own}\n\n\ndef load")
    tiny.kgl("train", "constant", "logistic")
    assert tiny.kgl_process("board", "logistic-001", "constant-001").out.split(":")[0] in ("better", "noise")
    board = tiny.kgl_process("board")
    assert board.status == 0 and board.out.splitlines()[1].startswith("1  logistic-001")


def test_five_hundred_runs_are_listed_in_two_seconds(tiny: Tiny) -> None:
    tiny.kgl("train", "logistic")
    values = json.loads((tiny.root / "runs/logistic-001/run.json").read_text())
    for i in range(499):
        scores = [0.7 + i / 1000, 0.71, 0.72]
        changed: dict[str, Any] = {"run": f"many-{i:03d}", "experiment": "many", "parent": f"many-{max(i - 1, 0):03d}"}
        changed |= {"fold_scores": scores, "cv_score": statistics.fmean(scores)}
        tiny.write(f"runs/many-{i:03d}/run.json", json.dumps(values | changed))
    assert takes_less_than(2, lambda: tiny.kgl_process("board"))
    result = tiny.kgl("board")
    assert result.status == 0 and len(result.out.splitlines()) == 503
