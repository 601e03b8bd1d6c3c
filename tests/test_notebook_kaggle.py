"""kgl notebook push, submit and train, through the real client, against a Kaggle that runs what is pushed."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kgl.rehearsal import digits, titanic
from kgl.rehearsal.contest import PracticeContest
from tests.baking import ROOT, Finished
from tests.conftest import Bake
from tests.kaggle_faults import FaultyExchange
from tests.kaggle_kernels import NotebookKaggle
from tests.notebook_table import RUN, TROUBLES, NotebookDesk, Trouble, markdown
from tests.online_desk import assert_one_sentence

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="notebooks run on Linux at Kaggle; needs links here")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[NotebookDesk]:
    with NotebookKaggle(titanic.sample_contest(), tmp_path / "kaggle") as there:
        yield NotebookDesk(there, tmp_path)


def test_the_table_of_the_documentation_is_the_one_that_is_tested() -> None:
    assert markdown() in (ROOT / "docs" / "code_competitions.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("row", TROUBLES, ids=lambda row: row.trouble)
def test_trouble_is_one_sentence(desk: NotebookDesk, row: Trouble) -> None:
    row.setup(desk)
    done = desk.kgl(*row.command.split()[1:])
    assert_one_sentence(done, row.sees, row.status)
    assert desk.made() == row.made


def hold(exchange: FaultyExchange) -> bool:
    """The request is carried out, then no answer comes."""
    exchange.lost, exchange.end = True, exchange.hang
    return False


def test_killed_after_any_request_and_started_again_nothing_is_doubled(desk: NotebookDesk) -> None:
    asked = ("StartBlobUpload", "upload", "CreateDataset", "GetDatasetStatus", "SaveKernel", "CreateCodeSubmission")
    for endpoint in asked:
        desk.there.play(endpoint, hold)
        with desk.start("notebook", "submit", "--yes") as process:
            desk.there.wait(endpoint, desk.there.count(endpoint) + 1)
            while desk.there.plays and desk.there.plays[0].times:
                assert process.poll() is None, process.communicate()
            process.kill()
        desk.there.plays.clear()
    done = desk.kgl("notebook", "submit", "--yes")  # what was sent before is found there, and recorded
    assert "the same content was sent already" in done.stderr
    assert desk.made() == (1, 1, 1)
    assert desk.kgl("status").returncode == 0
    (event,) = {event["ref"]: event for event in desk.events()}.values()
    assert (event["run"], event["status"]) == (RUN, "complete")


def test_what_is_there_is_not_pushed_again_and_what_changed_is(desk: NotebookDesk) -> None:
    assert desk.kgl("notebook", "push").returncode == 0
    again = desk.kgl("notebook", "push")
    assert "version 1 has this content" in again.stderr
    assert desk.made() == (1, 1, 0)
    (desk.build / "source" / "answers" / "fixed.py").write_text('LABEL = "1"\n')
    assert "version 2" in desk.kgl("notebook", "push").stdout
    assert desk.made() == (2, 2, 0)
    assert (desk.build / "output" / "submission.csv").read_text().splitlines()[1].endswith(",1")


def test_a_version_that_failed_is_pushed_again(desk: NotebookDesk) -> None:
    desk.there.killed = "out of luck"
    assert desk.kgl("notebook", "push").returncode == 1
    desk.there.killed = ""
    assert desk.kgl("notebook", "push").returncode == 0
    assert desk.made() == (1, 2, 0)


# From a trained run to a score


class Workspace:
    """A generated workspace whose Kaggle has a code competition; commands are typed as by a user."""

    def __init__(self, root: Path, kaggle: NotebookKaggle, home: Path) -> None:
        self.root, self.kaggle = root, kaggle
        quiet = {"PYTHONPATH": str(root), "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1"}
        self.env = {**kaggle.environment(home), **quiet}

    def start(self, *arguments: str) -> Finished:
        command = [sys.executable, "-m", "kgl", *arguments]
        return subprocess.run(
            command, cwd=self.root, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )

    def kgl(self, *arguments: str) -> str:
        """The last line of standard output of a command that must end well."""
        done = self.start(*arguments)
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout.rstrip().rpartition("\n")[2]

    def set(self, *changes: tuple[str, str]) -> None:
        """Replace settings of competition.toml, each a pattern."""
        path = self.root / "competition.toml"
        for pattern, line in changes:
            text, count = re.subn(pattern, line, path.read_text("utf-8"), flags=re.MULTILINE)
            assert count == 1, pattern
            path.write_text(text, "utf-8")

    def run(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.root / "runs" / name / "run.json").read_text("utf-8"))
        return content

    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.root / "submissions.jsonl").read_text("utf-8").splitlines()]


def log_loss(labels: "list[str]", predictions: "list[tuple[str, ...]]") -> float:
    chances = [float(cells[0]) for cells in predictions]
    return -sum(log(p if label == "1" else 1 - p) for label, p in zip(labels, chances, strict=True)) / len(labels)


@pytest.fixture
def passengers(bake: Bake, tmp_path: Path) -> Iterator[Workspace]:
    contest = titanic.sample_contest()
    contest.scorer, contest.greater_is_better = log_loss, False  # type: ignore[assignment]
    with NotebookKaggle(contest, tmp_path / "kaggle") as kaggle:
        made = Workspace(bake(starter="titanic").path, kaggle, tmp_path / "home")
        made.set(('^metric = "accuracy"', 'metric = "logloss"'), ("^n_splits = 5", "n_splits = 3"))
        made.set(("^experiments = .*", 'experiments = ["logistic", "by_hand"]'))
        made.kgl("download")
        yield made


def rows_of(content: bytes) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(content), index_col=0, dtype={0: str})


def test_a_baseline_of_tables_becomes_a_scored_notebook(passengers: Workspace) -> None:
    run = passengers.kgl("baseline")
    assert passengers.kgl("notebook", "build", run, "--no-wheels").endswith(run)
    assert "public 0." in passengers.kgl("notebook", "submit", "--yes")
    (sent,) = passengers.kaggle.submissions
    assert len(rows_of(sent.content)) == 318
    assert sent.public is not None and sent.public < 0.65
    wrote = pd.read_csv(passengers.root / "build" / run / "output" / "submission.csv", dtype={"PassengerId": str})
    known = pd.read_parquet(passengers.root / "runs" / run / "test.parquet")
    np.testing.assert_allclose(wrote["Survived"], known.set_index("id").loc[wrote["PassengerId"], "p_1"], atol=1e-6)
    assert [event["status"] for event in passengers.events()] == ["pending", "complete"]
    assert passengers.events()[1]["public_score"] == pytest.approx(sent.public, abs=1e-5)


HELD = """
import time
from pathlib import Path

from sklearn.linear_model import LogisticRegression

from kgl.tabular import Tabular

FIRST = Path("runs/held-001/folds/0/seed-0")
SECOND_SESSION = FIRST.is_dir()


class Held(LogisticRegression):
    def fit(self, X, y):
        time.sleep(600 if FIRST.is_dir() and not SECOND_SESSION else 0)
        return super().fit(X, y)


experiment = Tabular(model=Held(), columns=("Fare", "Parch"))
"""
WRONG = HELD.replace("time.sleep(", "print(1 / 0) or (")


def trained_folds(passengers: Workspace) -> list[str]:
    """The folds that each session trained, in order."""
    sessions = [versions[-1].text for _, versions in sorted(passengers.kaggle.kernels.items())]
    return ["".join(re.findall(r"^fold (\d)", text, re.MULTILINE)) for text in sessions]


def test_a_second_session_goes_on_from_the_output_of_the_first(passengers: Workspace) -> None:
    assert passengers.kgl("notebook", "train", "logistic", "folds=0,1") == "logistic-001"
    first = passengers.run("logistic-001")
    assert (first["status"], first["fold_scores"][2]) == ("partial", None)
    assert passengers.kgl("notebook", "train", "logistic") == "logistic-001"
    assert trained_folds(passengers) == ["01", "2"]
    there = passengers.run("logistic-001")
    here = passengers.run(passengers.kgl("train", "logistic", "--again"))
    assert (there["identity"], there["status"]) == (here["identity"], "complete")
    np.testing.assert_allclose(there["fold_scores"], here["fold_scores"], atol=1e-9)


def test_a_session_that_is_too_short_keeps_what_is_finished(passengers: Workspace) -> None:
    (passengers.root / "experiments" / "held.py").write_text(HELD, "utf-8")
    assert passengers.kgl("notebook", "train", "held", "--hours", "0.005") == "held-001"
    assert passengers.run("held-001")["status"] == "partial"
    assert passengers.kgl("notebook", "train", "held") == "held-001"
    assert passengers.run("held-001")["status"] == "complete"
    assert trained_folds(passengers) == ["0", "12"]


def test_a_failed_training_is_told_by_its_own_sentence(passengers: Workspace) -> None:
    (passengers.root / "experiments" / "wrong.py").write_text(WRONG, "utf-8")
    done = passengers.start("notebook", "train", "wrong")
    assert done.returncode == 1
    assert "failed on Kaggle, cell 2: RuntimeError: kgl train: wrong: fold 0" in done.stderr.splitlines()[-1]


def few_digits() -> PracticeContest:
    """240 pictures to learn from, and 150 to tell."""
    contest = digits.sample_contest()
    lines = contest.files["train.csv"].decode().splitlines(keepends=True)[:241]
    contest.solution = dict(list(contest.solution.items())[:150])
    kept = {f"test/{key}" for key in contest.solution} | {"train/" + line.split(",")[0] for line in lines}
    contest.files = {name: content for name, content in contest.files.items() if "/" not in name or name in kept}
    contest.files["train.csv"] = "".join(lines).encode()
    head, *rows = contest.files["sample_submission.csv"].decode().splitlines(keepends=True)
    shown = (row for row in rows if "test/" + row.split(",")[0] in kept)
    contest.files["sample_submission.csv"] = "".join([head, *shown]).encode()
    return contest


def test_a_baseline_of_pictures_becomes_a_scored_notebook(bake: Bake, tmp_path: Path) -> None:
    with NotebookKaggle(few_digits(), tmp_path / "kaggle") as kaggle:
        kaggle.older_mounts = True
        workspace = Workspace(bake(starter="image", competition="digits").path, kaggle, tmp_path / "home")
        workspace.set(("^experiments = .*", 'experiments = ["tiny"]'))
        workspace.kgl("download")
        workspace.kgl("init", "--yes", "folds.n_splits=2")
        tiny = workspace.root / "experiments" / "tiny.py"
        tiny.write_text(tiny.read_text("utf-8").replace("epochs=10", "epochs=2"), "utf-8")
        run = workspace.kgl("baseline")
        workspace.kgl("notebook", "build", run, "--no-wheels")
        assert "public 0." in workspace.kgl("notebook", "submit", "--yes")
        (sent,) = kaggle.submissions
        assert len(rows_of(sent.content)) == 50
        output = workspace.root / "build" / run / "output" / "submission.csv"
        assert output.read_bytes() == (workspace.root / "runs" / run / "submission.csv").read_bytes()
