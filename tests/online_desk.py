"""A competitor's desk for the tests of the Kaggle side: a workspace, a home, and a Kaggle that plays faults."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from tests.baking import WORKSPACE
from tests.kaggle_faults import FaultyKaggle

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
# `kgl` as installed, with two differences: pauses pass quickly, and a silent server is given up after a second.
KGL = """
import sys, time
real = time.sleep
time.sleep = lambda seconds: real(seconds / 500)
import kgl.online.checks, kgl.online.client, kgl.online.fetch
kgl.online.checks.PATIENCE = 4.0
say, timeout, attempts = kgl.online.client.Kaggle.__init__.__defaults__
kgl.online.client.Kaggle.__init__.__defaults__ = (say, {patience}, attempts)
kgl.online.fetch.TIMEOUT = {patience}
{more}
from kgl.cli.main import main
main(sys.argv[1:])
"""

Finished = subprocess.CompletedProcess[str]


class Desk:
    """Runs kgl in a workspace of its own, without a terminal; `env` and `more` (Python) change what it runs in."""

    def __init__(self, kaggle: FaultyKaggle, home: Path) -> None:
        self.kaggle, self.home = kaggle, home
        self.root, self.raw = home / "titanic", home / "titanic" / "data" / "raw"
        self.root.mkdir()
        (self.root / "competition.toml").write_text(FACTS)
        (self.root / "contest.py").write_text(CONTEST)
        self.env = kaggle.environment(home)
        self.more, self.patience = "", 1.0
        self.outputs: list[str] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        env = {**self.env, "PYTHONPATH": str(WORKSPACE), "PYTHONUTF8": "1"}
        command = [sys.executable, "-c", KGL.format(more=self.more, patience=self.patience), *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command,
            cwd=self.root,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            text=True,
            encoding="utf-8",
        )

    def kgl(self, *arguments: str) -> Finished:
        with self.start(*arguments) as process:
            out, error = process.communicate(timeout=120)
        self.outputs.append(out + error)
        return Finished(process.args, process.returncode, out, error)

    def add_run(self, name: str = "everybody-001", label: str = "0") -> None:
        """A complete run whose submission says `label` of everybody."""
        folder = self.root / "runs" / name
        folder.mkdir(parents=True)
        run = {"run": name, "experiment": "everybody", "status": "complete", "metric": "accuracy", "cv_score": 0.6}
        (folder / "run.json").write_text(json.dumps({**run, "label_order": ["0", "1"]}))
        rows = "".join(f"{key},{label}\n" for key in self.kaggle.contest.solution)
        (folder / "submission.csv").write_text("PassengerId,Survived\n" + rows)
        self.raw.mkdir(parents=True, exist_ok=True)
        for name, content in self.kaggle.contest.files.items():
            (self.raw / name).write_bytes(content)

    def events(self) -> list[dict[str, object]]:
        """The lines of submissions.jsonl."""
        path = self.root / "submissions.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def data(self) -> dict[str, str]:
        """The hash of each data file, by its path; what kgl keeps for itself is left out."""
        files = [path for path in self.raw.rglob("*") if path.is_file() and not path.name.startswith(".kgl")]
        return {path.relative_to(self.raw).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def expected(self) -> dict[str, str]:
        """The hash of each file of the contest."""
        return {name: hashlib.sha256(content).hexdigest() for name, content in self.kaggle.contest.files.items()}


def assert_one_sentence(done: subprocess.CompletedProcess[str], sees: str, status: int) -> None:
    """A command ended with this status, said so much, and no more than a sentence where it failed."""
    assert done.returncode == status, done.stdout + done.stderr
    assert sees in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert status == 0 or len(done.stderr.rstrip().splitlines()[-1]) < 400
