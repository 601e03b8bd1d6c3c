"""Real contests from their files to a checked submission, by the commands that a user types."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.baking import BakedProject
from tests.conftest import Played

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
    assert project.succeed("uv", "run", "kgl", "submit", "--dry-run").returncode == 0


@pytest.mark.parametrize("slug", SAMPLES)
def test_each_run_keeps_what_the_contract_names(played: Play, slug: str) -> None:
    runs = runs_of(played(slug).project)
    assert "blend-001" in runs and len(runs) > 4
    for name, run in runs.items():
        assert set(run) == RUN_KEYS, name
        assert run["status"] == "complete" and run["cv_score"] is not None


@pytest.mark.parametrize("slug", FLOORS)
def test_the_best_run_stands_clear_of_the_floor(played: Play, slug: str) -> None:
    best = json.loads(played(slug).project.succeed("uv", "run", "kgl", "board", "--json").stdout)[0]
    assert best["cv_score"] > FLOORS[slug]


def test_titanic_takes_less_than_a_minute(played: Play) -> None:
    assert played("titanic").seconds < 60


def test_a_second_baseline_trains_nothing_again(played: Play) -> None:
    project = played("titanic").project
    before = {path: path.stat().st_mtime_ns for path in (project.path / "runs").rglob("*.parquet")}
    again = project.succeed("uv", "run", "kgl", "baseline")
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
