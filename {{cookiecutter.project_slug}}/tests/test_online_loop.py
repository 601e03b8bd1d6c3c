"""Download, submit, status and doctor, as typed, through the real client, against the practice Kaggle."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kgl.rehearsal.server import PracticeKaggle
from kgl.rehearsal.titanic import sample_contest

ENGINE = Path(__file__).resolve().parent.parent
FACTS = """slug = "titanic"
task = "binary"
metric = "accuracy"
id = ["PassengerId"]
target = ["Survived"]
[files]
train = "train.csv"
test = "test.csv"
sample_submission = "gender_submission.csv"
"""
CONTEST = """from kgl.tables import read_test, read_train

def load():
    return read_train(), read_test()
"""


@dataclass
class Desk:
    """A workspace, a home and a practice Kaggle; `kgl("download")` types a command there, without a terminal."""

    kaggle: PracticeKaggle
    home: Path

    @property
    def root(self) -> Path:
        return self.home / "titanic"

    @property
    def raw(self) -> Path:
        return self.root / "data" / "raw"

    def kgl(self, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        env = {**self.kaggle.environment(self.home), "PYTHONPATH": str(ENGINE), "PYTHONUTF8": "1"}
        command = [sys.executable, "-m", "kgl", *arguments]
        done = subprocess.run(command, cwd=self.root, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == status, done.stdout + done.stderr
        return done

    def add_run(self, name: str, label: str) -> None:
        """A complete run whose submission says `label` of everybody, and the contest's files."""
        folder = self.root / "runs" / name
        folder.mkdir(parents=True)
        run = {"run": name, "experiment": "everybody", "status": "complete", "metric": "accuracy", "cv_score": 0.6}
        (folder / "run.json").write_text(json.dumps(run | {"label_order": ["0", "1"]}))
        rows = "".join(f"{key},{label}\n" for key in self.kaggle.contest.solution)
        (folder / "submission.csv").write_text("PassengerId,Survived\n" + rows)
        self.raw.mkdir(parents=True, exist_ok=True)
        for file, content in self.kaggle.contest.files.items():
            (self.raw / file).write_bytes(content)

    def events(self) -> list[dict[str, Any]]:
        """The lines of submissions.jsonl."""
        return [json.loads(line) for line in (self.root / "submissions.jsonl").read_text().splitlines()]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with PracticeKaggle(sample_contest()) as kaggle:
        desk = Desk(kaggle, tmp_path)
        desk.root.mkdir()
        (desk.root / "competition.toml").write_text(FACTS)
        (desk.root / "contest.py").write_text(CONTEST)
        yield desk


def test_download_brings_every_file_as_it_is_and_skips_it_the_next_time(desk: Desk) -> None:
    assert "3 fetched now" in desk.kgl("download").stdout
    for name, content in desk.kaggle.contest.files.items():
        assert (desk.raw / name).read_bytes() == content
    manifest = json.loads((desk.raw / ".kgl-manifest.json").read_text())
    train = (desk.raw / "train.csv").read_bytes()
    assert manifest["train.csv"]["sha256"] == hashlib.sha256(train).hexdigest()
    again = desk.kgl("download").stdout
    assert "0 fetched now" in again
    assert "Next: uv run kgl baseline" in again
    assert not list(desk.raw.glob("*.part*"))


def test_download_and_doctor_know_the_home_folder(desk: Desk) -> None:
    facts = desk.root / "competition.toml"
    facts.write_text(FACTS.replace("[files]", '[files]\nroot = "~/elsewhere"'), encoding="utf-8")
    desk.kgl("download")
    assert (desk.home / "elsewhere" / "train.csv").is_file() and not (desk.root / "~").exists()
    assert str(desk.home / "elsewhere") in desk.kgl("doctor").stdout


def test_download_leaves_an_edited_file_alone_until_it_is_told(desk: Desk) -> None:
    desk.kgl("download")
    edited = desk.raw / "test.csv"
    edited.write_text("mine")
    assert "--force" in desk.kgl("download", status=2).stderr
    assert edited.read_text() == "mine"
    desk.kgl("download", "--force")
    assert edited.read_bytes() == desk.kaggle.contest.files["test.csv"]


def test_download_takes_patterns_and_says_what_there_is_otherwise(desk: Desk) -> None:
    desk.kgl("download", "t*.csv")
    assert sorted(path.name for path in desk.raw.glob("*.csv")) == ["test.csv", "train.csv"]
    assert "Did you mean 'train.csv'" in desk.kgl("download", "trian.csv", status=2).stderr


def test_download_fetches_again_what_is_missing_or_new_at_kaggle(desk: Desk) -> None:
    desk.kgl("download")
    (desk.raw / "train.csv").unlink()
    assert "1 fetched now" in desk.kgl("download").stdout
    desk.kaggle.contest.files["train.csv"] = b"PassengerId,Survived\n1,0\n"
    assert "1 fetched now" in desk.kgl("download").stdout
    assert (desk.raw / "train.csv").read_bytes() == b"PassengerId,Survived\n1,0\n"


def test_a_submission_is_checked_sent_scored_and_recorded_and_not_sent_twice(desk: Desk) -> None:
    desk.add_run("everybody-001", "0")
    desk.kgl("submit", "everybody-001", "--dry-run")
    assert not desk.kaggle.submissions
    done = desk.kgl("submit", "everybody-001", "--yes", "-m", "nobody | lives / all die: 100%").stdout
    (sent,) = desk.kaggle.submissions
    assert f"public {sent.public:.5f}" in done
    assert "9 left today" in done
    content = (desk.root / "runs" / "everybody-001" / "submission.csv").read_bytes()
    assert sent.content == content
    mark = hashlib.sha256(content).hexdigest()
    assert sent.description == f"everybody-001 cv=0.60000 sha={mark[:12]} nobody lives all die 100"
    pending, scored = desk.events()
    assert (pending["status"], scored["status"]) == ("pending", "complete")
    assert (scored["ref"], scored["file_sha256"]) == (sent.ref, mark)
    assert scored["public_score"] == pytest.approx(sent.public, abs=1e-5)

    (desk.root / "submissions.jsonl").unlink()  # Kaggle still knows the content, and the journal learns it again
    assert "sent already: everybody-001" in desk.kgl("submit", "everybody-001", "--yes", status=1).stderr
    assert len(desk.kaggle.submissions) == 1
    desk.kaggle.close_contest()
    shown = json.loads(desk.kgl("status", "--json").stdout)
    assert shown["submissions"][0]["private_score"] == pytest.approx(sent.private, abs=1e-5)
    assert shown["lines"][0]["name"] == "top"
    assert [event["private_score"] is not None for event in desk.events()] == [False, True]


def test_a_bad_file_and_a_spent_allowance_are_refused_before_anything_is_sent(desk: Desk) -> None:
    desk.add_run("everybody-001", "0")
    desk.add_run("bad-001", "maybe")
    desk.kgl("submit", "bad-001", "--yes", status=1)
    desk.kaggle.contest.daily_limit = 0
    assert "back at 00:00 UTC" in desk.kgl("submit", "everybody-001", "--yes", status=3).stderr
    assert not desk.kaggle.submissions
    assert not desk.kaggle.uploads


def test_doctor_finds_nothing_wrong_or_says_what_mends_it(desk: Desk) -> None:
    desk.add_run("everybody-001", "0")
    findings = json.loads(desk.kgl("doctor", "--json").stdout)
    assert {finding["level"] for finding in findings} <= {"ok", "warn"}
    assert any("rules are accepted" in finding["what"] for finding in findings)
    desk.kaggle.contest.entered = False
    assert "https://www.kaggle.com/competitions/titanic/rules" in desk.kgl("doctor", status=1).stdout


def test_the_client_is_not_imported_by_what_needs_no_kaggle(desk: Desk) -> None:
    code = "import sys, kgl.cli.online, kgl.online.submit, kgl.online.download; print('kaggle' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ENGINE, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
