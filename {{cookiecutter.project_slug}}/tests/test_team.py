"""Predictions of a team mate: taken as a run like any other, or refused in a sentence."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Tiny

Change = Callable[[pd.DataFrame], pd.DataFrame]


def read(tiny: Tiny, run: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tiny.root / "runs" / run / "run.json").read_text())
    return found


@pytest.fixture
def mate(tiny: Tiny) -> Path:
    """A folder with the files of a run that a team mate made on the same folds, far from this workspace."""
    tiny.kgl("train", "logistic")
    folder = tiny.root.parent / "anna" / "logistic-001"
    folder.mkdir(parents=True)
    for name in ("run.json", "oof.parquet", "test.parquet"):
        shutil.copy(tiny.root / "runs/logistic-001" / name, folder)
    shutil.rmtree(tiny.root / "runs")
    return folder


def as_csv(folder: Path, part: str, change: Change = lambda rows: rows) -> str:
    """A table of the team mate, changed, as csv in a folder without run.json."""
    path = folder.parent / f"{part}.csv"
    change(pd.read_parquet(folder / f"{part}.parquet")).to_csv(path, index=False)
    return str(path)


def story(folder: Path, **changes: Any) -> None:
    """Change what the team mate's run.json says."""
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_folder_becomes_a_run_that_board_blend_and_submit_take(tiny: Tiny, mate: Path) -> None:
    theirs = json.loads((mate / "run.json").read_text())
    done = tiny.kgl("import", str(mate), "--name", "anna")
    assert (done.status, done.name) == (0, "anna-001"), done.err
    run = read(tiny, "anna-001")
    assert (run["kind"], run["status"], run["experiment"]) == ("import", "complete", "anna")
    assert run["cv_score"] == theirs["cv_score"] and run["fold_scores"] == theirs["fold_scores"]
    assert run["note"].startswith("from logistic-001") and run["identity"]["folds"] == theirs["identity"]["folds"]
    hashes = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in mate.glob("*.parquet")}
    assert run["config"]["sha256"] == hashes and "is one in logs?" not in done.err
    for part in ("oof", "test"):
        ours, sent = (pd.read_parquet(folder / f"{part}.parquet") for folder in (tiny.root / "runs/anna-001", mate))
        pd.testing.assert_frame_equal(ours, sent, check_exact=True)
    assert tiny.kgl("board").out.splitlines()[1].startswith("1  anna-001")
    assert tiny.kgl("submit", "--dry-run").status == 0
    tiny.kgl("train", "constant")
    assert tiny.kgl("blend").status == 0 and "anna-001" in read(tiny, "blend-001")["blend"]["members"]


def test_the_same_files_are_one_run_and_others_the_next(tiny: Tiny, mate: Path) -> None:
    files = [str(path) for path in sorted(mate.iterdir())]  # run.json among them, as a shell's * gives them
    first, again = tiny.kgl("import", *files), tiny.kgl("import", str(mate / "run.json"))
    assert first.name == again.name == "team_logistic-001" and "has these very predictions" in again.err
    rows = pd.read_parquet(mate / "test.parquet").assign(p_0=0.25, p_1=0.75)
    rows.to_parquet(mate / "test.parquet", index=False)
    second = tiny.kgl("import", str(mate), "-m", "her second try")
    assert second.name == "team_logistic-002"
    run = read(tiny, second.name)
    assert (run["note"], run["parent"]) == ("her second try", "team_logistic-001")


def test_bare_tables_in_any_order_with_the_second_label_alone_are_enough(tiny: Tiny, mate: Path) -> None:
    def bare(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.drop(columns="p_0").sample(frac=1, random_state=0)

    files = as_csv(mate, "oof", bare), as_csv(mate, "test", bare)
    done = tiny.kgl("import", *files)
    assert (done.status, done.name) == (0, "team_oof-001"), done.err
    for part in ("oof", "test"):
        ours, sent = (pd.read_parquet(f / f"{part}.parquet") for f in (tiny.root / "runs/team_oof-001", mate))
        assert ours["id"].tolist() == sent["id"].tolist()
        np.testing.assert_allclose(ours[["p_0", "p_1"]], sent[["p_0", "p_1"]], atol=1e-12)


def test_without_a_column_of_folds_the_hash_in_run_json_must_be_ours(tiny: Tiny, mate: Path) -> None:
    pd.read_parquet(mate / "oof.parquet").drop(columns="fold").to_parquet(mate / "oof.parquet", index=False)
    assert tiny.kgl("import", str(mate)).status == 0
    story(mate, identity={"folds": "0123456789abcdef"})
    refused = tiny.kgl("import", str(mate), "--name", "other")
    assert refused.status == 1 and "no run.json beside it says that the folds are ours" in refused.err
    assert "agree on one data/folds.parquet" in refused.err


def test_a_rosy_run_stays_rosy_and_another_score_is_told(tiny: Tiny, mate: Path) -> None:
    story(mate, config={"choose": "fold"}, cv_score=0.123)
    done = tiny.kgl("import", str(mate))
    assert read(tiny, done.name)["config"]["choose"] == "fold"
    assert "0.12300 there: other labels or another metric?" in done.err


def shifted(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(fold=(rows["fold"] + 1) % 3)


FAULTS: list[tuple[str, Change, str]] = [
    ("oof", lambda rows: rows.iloc[1:], "oof.csv: 1 ids validated in train are lacking (such as '0000')"),
    ("oof", lambda rows: pd.concat([rows, rows.iloc[:2]]), "oof.csv: 2 ids come twice (such as '0000')"),
    ("oof", lambda rows: rows.assign(id="x" + rows["id"]), "oof.csv: 60 ids are not validated in train"),
    ("oof", lambda rows: rows.rename(columns={"id": "row"}), "oof.csv has no column id"),
    ("oof", shifted, "oof.csv: 60 of 60 rows are of another fold than here; agree on one data/folds.parquet"),
    ("oof", lambda rows: rows.drop(columns="fold"), "oof.csv has no column 'fold', and no run.json beside it"),
    ("oof", lambda rows: rows.rename(columns={"p_1": "p_yes"}), "oof.csv has no column 'p_1'; wanted are p_0, p_1"),
    ("oof", lambda rows: rows.assign(p_1=1.5), "oof.csv: 60 rows have a probability below 0 or above 1"),
    ("oof", lambda rows: rows.assign(p_1=0.0, p_0=0.0), "60 rows have probabilities that do not sum to 1"),
    ("test", lambda rows: rows.assign(p_1=np.nan), "test.csv: 20 rows have a value that is missing, infinite or no"),
    ("test", lambda rows: rows.assign(p_1="many"), "test.csv: 20 rows have a value that is missing, infinite or no"),
    ("test", lambda rows: rows.assign(p_1=np.inf), "test.csv: 20 rows have a value that is missing, infinite or no"),
    ("test", lambda rows: rows.iloc[:-1], "test.csv: 1 ids in test are lacking (such as 't19')"),
    ("test", lambda rows: rows.assign(id="0" + rows["id"]), "test.csv: 20 ids are not in test (such as '0t0')"),
]


@pytest.mark.parametrize(("part", "change", "sentence"), FAULTS, ids=[fault[2] for fault in FAULTS])
def test_what_does_not_fit_is_refused_and_leaves_no_run(
    tiny: Tiny, mate: Path, part: str, change: Change, sentence: str
) -> None:
    usual: dict[str, Change] = {"oof": lambda rows: rows, "test": lambda rows: rows}
    done = tiny.kgl("import", *(as_csv(mate, name, how) for name, how in (usual | {part: change}).items()))
    assert (done.status, sentence in done.err, len(done.err.splitlines())) == (1, True, 1), done.err
    assert not list(tiny.root.glob("runs/*/run.json"))


def test_files_in_the_wrong_number_a_wrong_name_and_another_metric_are_refused(tiny: Tiny, mate: Path) -> None:
    alone = tiny.kgl("import", str(mate / "oof.parquet"))
    assert alone.status == 2 and "expected a run's folder, or two tables: out-of-fold predictions first" in alone.err
    for name in ("logistic", "blend", "../x"):
        assert tiny.kgl("import", str(mate), "--name", name).status == 2
    assert tiny.kgl("import", "nowhere.csv", "test.csv").status == 2
    (mate / "test.parquet").unlink()
    assert "test.parquet is missing" in tiny.kgl("import", str(mate)).err
    story(mate, metric="auc")
    assert "has metric auc, this workspace accuracy" in tiny.kgl("import", str(mate)).err


def test_a_regression_needs_numbers_alone(tiny: Tiny) -> None:
    tiny.replace("competition.toml", 'task = "binary"\nmetric = "accuracy"', 'task = "regression"\nmetric = "rmse"')
    tiny.replace("competition.toml", 'scheme = "stratified"', 'scheme = "kfold"')
    tiny.kgl("folds")
    folds = pd.read_parquet(tiny.root / "data/folds.parquet")
    tiny.write("mate/oof.csv", folds.assign(label=-3.5).to_csv(index=False))
    tiny.write("mate/test.csv", tiny.frame("test.csv")[["id"]].assign(label=7).to_csv(index=False))
    done = tiny.kgl("import", "mate/oof.csv", "mate/test.csv")
    assert done.status == 0, done.err
    assert "test.csv has a median of 7.00000, oof.csv lies from -3.50000 to -3.50000: is one in logs?" in done.err
    assert set(pd.read_csv(tiny.root / "runs" / done.name / "submission.csv")["label"]) == {7.0}


def test_an_imported_run_is_not_predicted_again(tiny: Tiny, mate: Path) -> None:
    name = tiny.kgl("import", str(mate)).name
    refused = tiny.kgl("predict", name)
    assert refused.status == 1 and "was imported, its models are elsewhere" in refused.err
