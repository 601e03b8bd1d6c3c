"""Real contests from their files to a checked submission, by the commands that a user types."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.baking import BakedProject
from tests.conftest import Bake, Played

Play = Callable[[str], Played]

RUN_KEYS = (
    {"run", "experiment", "parent", "note", "kind", "status", "config", "label_order", "metric", "seeds", "blend"}
    | {"cv_score", "cv_std", "oof_score", "fold_scores", "identity", "git", "versions"}
    | {"seconds", "peak_memory_mb", "command", "started", "ended"}
)
# what the one-column rule reaches out of fold; a baseline below it is an alarm
FLOORS = {"titanic": 0.83, "spaceship-titanic": 0.78}
SAMPLES = {
    "titanic": "gender_submission.csv",
    "spaceship-titanic": "sample_submission.csv",
    "house-prices-advanced-regression-techniques": "sample_submission.csv",
}


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))


def runs_of(project: BakedProject) -> dict[str, dict[str, object]]:
    return {
        path.parent.name: json.loads(path.read_text("utf-8")) for path in (project.path / "runs").glob("*/run.json")
    }


@pytest.mark.parametrize("slug", SAMPLES)
def test_a_baseline_ends_in_a_checked_submission(played: Play, slug: str) -> None:
    project = played(slug).project
    name = played(slug).baseline.stdout.splitlines()[-1]
    sample = rows_of(project.path / "data" / "raw" / SAMPLES[slug])
    submission = rows_of(project.path / "runs" / name / "submission.csv")
    id_column, target = sample[0]
    assert [row[id_column] for row in submission] == [row[id_column] for row in sample]
    if slug != "house-prices-advanced-regression-techniques":
        assert {row[target] for row in submission} >= {row[target] for row in sample}
    assert project.kgl("submit", "--dry-run").returncode == 0


@pytest.mark.parametrize("slug", SAMPLES)
def test_each_run_keeps_what_the_contract_names(played: Play, slug: str) -> None:
    runs = runs_of(played(slug).project)
    assert "blend-001" in runs and len(runs) > 4
    for name, run in runs.items():
        assert set(run) == RUN_KEYS, name
        assert run["status"] == "complete" and run["cv_score"] is not None


@pytest.mark.parametrize("slug", FLOORS)
def test_the_best_run_stands_clear_of_the_floor(played: Play, slug: str) -> None:
    best = json.loads(played(slug).project.kgl("board", "--json").stdout)[0]
    assert best["cv_score"] > FLOORS[slug]


def test_titanic_takes_less_than_a_minute(played: Play) -> None:
    assert played("titanic").seconds < 60


def test_a_second_baseline_trains_nothing_again(played: Play) -> None:
    project = played("titanic").project
    before = {path: path.stat().st_mtime_ns for path in (project.path / "runs").rglob("*.parquet")}
    again = project.kgl("baseline")
    assert again.stdout.splitlines()[-1] == "blend-001"
    assert {path: path.stat().st_mtime_ns for path in (project.path / "runs").rglob("*.parquet")} == before


def test_git_keeps_what_explains_a_run_and_none_of_its_bulk(played: Play) -> None:
    project = played("titanic").project
    project.succeed("git", "init", "--quiet")
    listed = project.succeed("git", "status", "--porcelain", "--untracked-files=all").stdout
    names = {line[3:] for line in listed.splitlines()}
    assert {"data/folds.parquet", "runs/blend-001/run.json"} <= names
    assert not [
        name for name in names if name.startswith(("data/raw", ".venv")) or name.endswith((".csv", ".joblib", "/.lock"))
    ]
    assert {name for name in names if name.startswith("runs/")} == {f"runs/{run}/run.json" for run in runs_of(project)}


@pytest.mark.parametrize("slug", ["titanic", "spaceship-titanic"])
def test_other_labels_in_a_fold_leave_its_predictions_as_they_are(played: Play, bake: Bake, slug: str) -> None:
    """The test of honesty, for every experiment that the baseline of a starter trains."""
    first = played(slug).project
    second = bake(starter="titanic" if slug == "titanic" else "tabular", competition=slug).borrow(first)
    shutil.copytree(first.path / "data", second.path / "data", dirs_exist_ok=True)
    shutil.copy(first.path / "competition.toml", second.path)
    id_column, target = first.read(f"data/raw/{SAMPLES[slug]}").splitlines()[0].split(",")
    folds = pd.read_parquet(first.path / "data" / "folds.parquet").set_index("id")["fold"]
    train = pd.read_csv(second.path / "data" / "raw" / "train.csv", dtype="str", keep_default_na=False)
    inside = train[id_column].map(folds) == 0
    labels = train[target].copy()
    train.loc[inside, target] = labels[inside].sample(frac=1, random_state=0).to_numpy()
    assert (train[target] != labels).sum() > 50
    train.to_csv(second.path / "data" / "raw" / "train.csv", index=False)

    names = [name for name in runs_of(first) if not name.startswith("blend")]
    second.kgl("train", *(name.rpartition("-")[0] for name in names), "folds=0")

    assert len(names) >= 5
    for name in names:
        honest, shuffled = (pd.read_parquet(p.path / "runs" / name / "oof.parquet") for p in (first, second))
        pd.testing.assert_frame_equal(honest[honest["fold"] == 0].reset_index(drop=True), shuffled, check_exact=True)
