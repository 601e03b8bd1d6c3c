"""`kgl baseline` beside AutoGluon (best_quality): the same files, the same time, rows that neither has seen.

    CONTEST_DATA=folder python bench/automl.py [--seconds 300] [--contests titanic ...]

The folder has one folder a contest, as downloaded from Kaggle. A third of each train.csv is held out and plays the
test file, without its target. AutoGluon is installed by uv into an environment of its own, in a temporary folder
(--environment keeps it); wheels that lie elsewhere are named by UV_FIND_LINKS. Both sides run one after the other on
the raw files with the same limit: `--minutes` here, `time_limit` there, which AutoGluon needs a minute of at least.
Intervals are of the difference, by a paired bootstrap over the held-out rows. Run it on an idle machine: both sides go
by the clock.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

Array = NDArray[Any]
HERE = Path(__file__).resolve()
WORKSPACE = HERE.parents[1] / "{{cookiecutter.project_slug}}"
HELD_OUT = 1 / 3
RESAMPLES = 2000


@dataclass(frozen=True)
class Contest:
    """A contest: its id and target columns, its metric by our name."""

    slug: str
    id: str
    target: str
    metric: str


@dataclass(frozen=True)
class Answer:
    """What a side predicts for the held-out rows, and the seconds it took."""

    values: Array
    seconds: float


CONTESTS = (
    Contest("titanic", "PassengerId", "Survived", "accuracy"),
    Contest("house-prices-advanced-regression-techniques", "Id", "SalePrice", "rmse_log"),
    Contest("spaceship-titanic", "PassengerId", "Transported", "accuracy"),
    Contest("nlp-getting-started", "id", "target", "f1"),
)
METRICS: dict[str, Callable[[Array, Array], float]] = {
    "accuracy": lambda truth, found: float((truth == found).mean()),
    "f1": lambda truth, found: float(f1_score(truth == "1", found == "1")),
    "rmse_log": lambda truth, found: -float(np.sqrt(np.mean((np.log(found) - np.log(truth)) ** 2))),
}


def split(contest: Contest, data: Path, folder: Path) -> Array:
    """Write train.csv, test.csv and sample_submission.csv of a contest into `folder`; the truth of test.csv."""
    rows = pd.read_csv(data / "train.csv", dtype="str", keep_default_na=False)
    labels = None if contest.metric == "rmse_log" else rows[contest.target]
    train, test = train_test_split(rows, test_size=HELD_OUT, random_state=0, stratify=labels)
    folder.mkdir(parents=True)
    train.to_csv(folder / "train.csv", index=False)
    test.drop(columns=contest.target).to_csv(folder / "test.csv", index=False)
    sample = test[[contest.id]].assign(**{contest.target: train[contest.target].iloc[0]})
    sample.to_csv(folder / "sample_submission.csv", index=False)
    return comparable(contest, test[contest.target])


def comparable(contest: Contest, values: pd.Series) -> Array:
    """Numbers where they are scored as such, else text."""
    return values.astype(float if contest.metric == "rmse_log" else "str").to_numpy()


def with_kgl(contest: Contest, files: Path, seconds: float) -> Answer:
    """The starter for tables, with nobody editing anything; the metric is what Kaggle would have told."""
    folder = files.parent / "workspace"
    shutil.copytree(WORKSPACE / "_starters" / "tabular", folder)
    shutil.copytree(files, folder / "data" / "raw")
    facts = folder / "competition.toml"
    facts.write_text(facts.read_text(encoding="utf-8").replace("{{ cookiecutter.__slug }}", contest.slug), "utf-8")
    began = time.perf_counter()
    kgl(folder, "init", "--yes", f"metric={contest.metric}")
    named = re.sub(r"(?m)^experiments = \[.*?\]", "experiments = []", facts.read_text(encoding="utf-8"))
    facts.write_text(named, encoding="utf-8")  # all that suits the data
    run = kgl(folder, "baseline", "--minutes", f"{seconds / 60:.4f}").splitlines()[-1]
    taken = time.perf_counter() - began
    submission = pd.read_csv(folder / "runs" / run / "submission.csv", dtype="str", keep_default_na=False)
    return Answer(comparable(contest, submission[contest.target]), taken)


def kgl(folder: Path, *arguments: str) -> str:
    """Run a command of the workspace; what it prints."""
    environment = os.environ | {"PYTHONPATH": str(WORKSPACE), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "kgl", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, encoding="utf-8"
    ).stdout


def with_autogluon(contest: Contest, files: Path, seconds: float, python: Path) -> Answer | None:
    """AutoGluon in its own environment, told the target and the metric; None where it fails, as in too little time."""
    began = time.perf_counter()
    told = [contest.target, contest.metric, str(seconds)]
    command = [str(python), str(HERE.with_name("automl_autogluon.py")), str(files), *told]
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
        return None
    found = pd.read_csv(files / "autogluon.csv", dtype="str")[contest.target]
    return Answer(comparable(contest, found), time.perf_counter() - began)


def make_environment(folder: Path) -> Path:
    """An environment with AutoGluon, made unless it is there; its Python."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.is_file():
        uv = shutil.which("uv") or sys.exit("uv is needed to install AutoGluon; see https://docs.astral.sh/uv/")
        subprocess.run([uv, "venv", "--python", "3.11", folder], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, "autogluon.tabular[all]"], check=True)
    return python


def interval(contest: Contest, truth: Array, ours: Array, theirs: Array) -> tuple[float, float]:
    """The middle 95 % of how much better ours is, over resampled held-out rows."""
    measure, generator = METRICS[contest.metric], np.random.default_rng(0)
    differences = []
    for _ in range(RESAMPLES):
        rows = generator.integers(len(truth), size=len(truth))
        differences.append(measure(truth[rows], ours[rows]) - measure(truth[rows], theirs[rows]))
    low, high = np.quantile(differences, [0.025, 0.975])
    return float(low), float(high)


def compare(contest: Contest, data: Path, base: Path, seconds: float, python: Path) -> str:
    """One line of the table."""
    files = base / contest.slug / "files"
    truth = split(contest, data, files)
    ours = with_kgl(contest, files, seconds)
    theirs = with_autogluon(contest, files, seconds, python)
    if theirs is None:
        score = abs(METRICS[contest.metric](truth, ours.values))
        return f"| {contest.slug} | {len(truth)} | {contest.metric} | {score:.4f} ({ours.seconds:.0f} s) | failed | | |"
    scores = [METRICS[contest.metric](truth, answer.values) for answer in (ours, theirs)]
    low, high = interval(contest, truth, ours.values, theirs.values)
    verdict = "ahead" if low > 0 else "behind" if high < 0 else "noise"
    pairs = zip(scores, (ours, theirs), strict=True)
    shown = " | ".join(f"{abs(score):.4f} ({answer.seconds:.0f} s)" for score, answer in pairs)
    return (
        f"| {contest.slug} | {len(truth)} | {contest.metric} | {shown} | "
        f"{scores[0] - scores[1]:+.4f} ({low:+.4f} to {high:+.4f}) | {verdict} |"
    )


def main() -> None:
    """Compare on each contest that is there, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    slugs = [contest.slug for contest in CONTESTS]
    parser.add_argument("--seconds", type=float, default=300, help="for each side on each contest")
    parser.add_argument("--contests", nargs="*", choices=slugs, default=slugs, metavar="SLUG", help=", ".join(slugs))
    parser.add_argument("--environment", type=Path, help="a folder that keeps AutoGluon's environment")
    options = parser.parse_args()
    data = Path(os.environ.get("CONTEST_DATA", ""))
    there = [c for c in CONTESTS if c.slug in options.contests and (data / c.slug / "train.csv").is_file()]
    if not there:
        sys.exit("Skipped: CONTEST_DATA should be a folder with titanic/train.csv and the like, as downloaded.")
    with tempfile.TemporaryDirectory() as name:
        python = make_environment(options.environment or Path(name, "environment"))
        print(
            "| contest | held-out rows | metric | kgl | AutoGluon | better by (95 %) | |\n|---|---|---|---|---|---|---|"
        )
        for contest in there:
            print(compare(contest, data / contest.slug, Path(name), options.seconds, python), flush=True)


if __name__ == "__main__":
    main()
