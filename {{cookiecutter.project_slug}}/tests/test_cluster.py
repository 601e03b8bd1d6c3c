"""Folds trained by dask workers that share nothing with this machine but the code."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import ENGINE, Tiny

pytest.importorskip("distributed", reason="dask.distributed is not installed (uv sync --group cluster)")

MARKED = '''
import os
import pathlib
import time

from sklearn.linear_model import LogisticRegression

from kgl.tabular import Tabular

MARKS = pathlib.Path(r"{marks}")


class Marked(LogisticRegression):
    """Leaves a mark each time it is trained; the first of all waits to be killed."""

    def fit(self, X, y):
        try:
            (MARKS / "victim").open("x").write(str(os.getpid()))
        except FileExistsError:
            (MARKS / f"{{os.getpid()}}-{{time.time_ns()}}").touch()
        else:
            time.sleep({wait})
        return super().fit(X, y)


experiment = Tabular(model=Marked(), columns=("size", "gaps"), seeds=(0, 1))
'''


@dataclass(frozen=True)
class Cluster:
    """A scheduler without workers; `there` is the workers' own copy of the workspace, `join` starts one in it."""

    address: str
    there: Path
    join: Callable[[], None]


def dask(*words: str, cwd: Path) -> subprocess.Popen[bytes]:
    """A dask command in a process group of its own."""
    env = {**os.environ, "PYTHONPATH": str(ENGINE), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "dask", *words]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=cwd, env=env, stdout=quiet, stderr=quiet, start_new_session=True)


@pytest.fixture
def cluster(tiny: Tiny, tmp_path: Path) -> Iterator[Cluster]:
    """Started in a copy of the tiny workspace without its data."""
    there = tmp_path / "there"
    shutil.copytree(tiny.root, there, ignore=shutil.ignore_patterns("data"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    port = address.rpartition(":")[2]
    processes = [dask("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard", cwd=there)]
    plain = ("--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path))
    yield Cluster(address, there, lambda: processes.append(dask("worker", address, *plain, cwd=there)))
    for process in reversed(processes):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")
def test_a_worker_of_other_code_is_refused_one_may_come_late_and_one_that_is_killed_costs_its_task_alone(
    tiny: Tiny, cluster: Cluster, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    tiny.write("experiments/marked.py", MARKED.format(marks=marks, wait=120))
    cluster.join()
    refused = tiny.kgl_process("train", "marked", "--cluster", cluster.address)
    assert "has other code for marked" in refused.err
    assert not list(marks.iterdir())

    shutil.copy(tiny.root / "experiments" / "marked.py", cluster.there / "experiments")
    training = tiny.start("train", "marked", "--cluster", cluster.address)
    victim = marks / "victim"

    def wait_until(met: Callable[[], bool]) -> None:
        while not met():
            assert training.poll() is None, training.communicate()
            time.sleep(0.05)

    wait_until(lambda: victim.is_file() and victim.read_text() != "")
    cluster.join()
    wait_until(lambda: len(list(marks.iterdir())) >= 3)  # the other one goes on meanwhile
    os.kill(int(victim.read_text()), signal.SIGKILL)
    out, err = training.communicate(timeout=200)
    assert training.returncode == 0, err
    assert len(list(marks.iterdir())) - 1 == 6, "3 folds, 2 seeds: each trained once, but for the one that was killed"

    here = tiny.kgl("train", "marked", "--again").name
    for part in ("oof", "test"):
        first, second = (
            pd.read_parquet(tiny.root / "runs" / run / f"{part}.parquet") for run in (out.split()[-1], here)
        )
        pd.testing.assert_frame_equal(first, second)


def test_a_baseline_and_a_search_train_on_the_cluster(tiny: Tiny, cluster: Cluster) -> None:
    cluster.join()
    found = tiny.kgl_process("tune", "logistic", "--trials", "2", "--cluster", cluster.address)
    assert "what matters" in found.out, found.err
    shutil.rmtree(tiny.root / "runs")
    alone = tiny.kgl_process("baseline", "--minutes", "0")
    shutil.rmtree(tiny.root / "runs")
    shared = tiny.kgl_process("baseline", "--minutes", "0", "--cluster", cluster.address)
    words = [re.sub(r"  +[\d.]+ s", "", result.out) for result in (alone, shared)]
    assert words[0] == words[1]
    assert "blend-001" in words[1], shared.err


def test_a_scheduler_that_does_not_answer_is_one_sentence(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kgl.cluster.PATIENCE", 1)
    result = tiny.kgl("train", "logistic", "--cluster", "tcp://127.0.0.1:9")
    assert result.status == 1
    assert "no scheduler with a worker answers within 1 s" in result.err
