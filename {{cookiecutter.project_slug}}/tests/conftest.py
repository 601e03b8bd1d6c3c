"""A tiny workspace for tests: twenty lines of facts, made-up rows, and the commands run on them."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import hypothesis.configuration
import numpy as np
import pandas as pd
import pytest

from kgl.cli.main import main
from kgl.errors import KglError
from kgl.paths import Workspace

ENGINE = Path(__file__).resolve().parents[1]
USERS_MODULES = ("contest", "features", "experiments")

hypothesis.settings.register_profile("kgl", database=None, deadline=None, max_examples=40, derandomize=True)
hypothesis.settings.load_profile("kgl")
hypothesis.configuration.set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "hypothesis")  # no folder in here

# A shell that starts this in the background leaves Ctrl-C ignored, and so it would stay in every process below.
signal.signal(signal.SIGINT, signal.default_int_handler)

FACTS = """\
slug = "tiny"
kind = "tabular"
task = "binary"
metric = "accuracy"
id = ["id"]
target = ["label"]

[files]
train = "train.csv"
test = "test.csv"
sample_submission = "sample.csv"

[folds]
scheme = "stratified"
n_splits = 3
seed = 0
group = ""
time = ""
"""
CONTEST = """\
from kgl.tables import read_test, read_train


def load():
    return read_train(), read_test()
"""
EXPERIMENT = """\
from kgl.tabular import Tabular

experiment = Tabular(model="{model}")
"""


@dataclass(frozen=True)
class Result:
    """What a command left: exit status, standard output, and errors with the warnings that a user would see."""

    status: int
    out: str
    err: str

    @property
    def name(self) -> str:
        """The last line of standard output: the run's name."""
        return self.out.splitlines()[-1]


@dataclass(frozen=True)
class Tiny:
    """A workspace of 60 training and 20 test rows; `size` predicts the label."""

    root: Path

    @property
    def workspace(self) -> Workspace:
        """The same, for functions of the engine."""
        return Workspace(self.root)

    def write(self, path: str, text: str | bytes) -> Path:
        """Write a file of the workspace, folders included."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    def replace(self, path: str, old: str, new: str) -> None:
        """Edit a file of the workspace; `old` must stand there."""
        text = (self.root / path).read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {path}"
        self.write(path, text.replace(old, new))

    def frame(self, name: str) -> pd.DataFrame:
        """A file of data/raw as text cells, to be changed and saved with `save`."""
        return pd.read_csv(self.root / "data/raw" / name, dtype="str", keep_default_na=False)

    def save(self, name: str, rows: pd.DataFrame) -> None:
        """Write a file of data/raw."""
        self.write(f"data/raw/{name}", rows.to_csv(index=False, lineterminator="\n"))

    def kgl(self, *arguments: str) -> Result:
        """Run a command in this process, as a fresh one would: the user's modules are imported anew."""
        forget_users_modules()
        out, err = io.StringIO(), io.StringIO()
        with warnings.catch_warnings(record=True) as caught, contextlib.chdir(self.root):
            warnings.simplefilter("always")
            warnings.simplefilter("ignore", DeprecationWarning)
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
                main(list(arguments))
        shown = [f"{w.category.__name__}: {w.message}\n" for w in caught]
        return Result(int(ended.value.code or 0), out.getvalue(), "".join([err.getvalue(), *shown]))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command in a process of its own."""
        env = {**os.environ, "PYTHONPATH": str(ENGINE), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "kgl", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.root, env=env, stdout=pipe, stderr=pipe, text=True, encoding="utf-8")

    def kgl_process(self, *arguments: str) -> Result:
        """Run a command in a process of its own."""
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=120)
        return Result(process.returncode, out, err)


def refused(status: int, action: Callable[[], object]) -> str:
    """The sentence of the refusal, after a check of its exit status."""
    with pytest.raises(KglError) as caught:
        action()
    assert caught.value.status == status
    return caught.value.message


def takes_less_than(seconds: float, action: Callable[[], object]) -> bool:
    """Whether one of five tries does, by the clock or, for the machine may be busy, by the work of processors.

    That is of this process and of those that it starts and awaits; Windows does not count the latter.
    """
    for _ in range(5):
        before, began = sum(os.times()[:4]), time.perf_counter()
        action()
        work, clock = sum(os.times()[:4]) - before, time.perf_counter() - began
        if clock < seconds or (sys.platform != "win32" and max(work, clock / 10) < seconds):
            return True
    return False


def forget_users_modules() -> None:
    """So that the next workspace's contest.py, features.py and experiments are imported."""
    for name in [name for name in sys.modules if name.split(".")[0] in USERS_MODULES]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def clean_imports() -> Iterator[None]:
    """Leave import paths and the user's modules as they were before each test."""
    before = list(sys.path)
    forget_users_modules()
    yield
    sys.path[:] = before
    forget_users_modules()


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """A tiny workspace, which is also the current folder; experiments `constant` and `logistic`."""
    made = Tiny(tmp_path / "tiny")
    made.write("competition.toml", FACTS)
    made.write("contest.py", CONTEST)
    made.write("features.py", "")
    made.write("experiments/__init__.py", "")
    for model in ("constant", "logistic"):
        made.write(f"experiments/{model}.py", EXPERIMENT.format(model=model))
    made.save("train.csv", made_up_rows(60, seed=0))
    test = made_up_rows(20, seed=1).drop(columns="label").assign(id=[f"t{i}" for i in range(20)])
    made.save("test.csv", test)
    made.save("sample.csv", test[["id"]].assign(label=0))
    monkeypatch.chdir(made.root)
    return made


def made_up_rows(n: int, *, seed: int) -> pd.DataFrame:
    """Rows with id, a number that tells the label, a letter, a number with gaps, a group and a day."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 3 == 0
    return pd.DataFrame(
        {
            "id": [f"{i:04d}" for i in range(n)],
            "size": np.round(rng.normal(size=n) + 2 * label, 3),
            "letter": rng.choice(list("abc"), n),
            "gaps": np.where(rng.random(n) < 0.2, np.nan, np.round(rng.normal(size=n), 3)),
            "family": [f"f{i // 3}" for i in range(n)],
            "day": np.arange(n),
            "label": label.astype(int),
        }
    )
