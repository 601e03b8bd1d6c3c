"""The same experiment is not trained twice; what changes predictions is."""

import json
from pathlib import Path

import pytest

from kgl.identity import code_hash, save_source, source_files
from tests.conftest import Tiny

EXPERIMENT = """\"\"\"The first idea.\"\"\"
from features import double
from kgl.tabular import Tabular

experiment = Tabular(model="logistic", features=(double,))
"""
FEATURES = '''
from helpers.text import NAME


def double(rows):
    """Twice the size."""
    return (2 * rows["size"]).rename(NAME)


def unused(rows):
    return rows["size"]
'''


@pytest.fixture
def mine(tiny: Tiny) -> Tiny:
    """An experiment that imports a feature that imports a helper."""
    tiny.write("experiments/mine.py", EXPERIMENT)
    tiny.write("features.py", FEATURES)
    tiny.write("helpers/__init__.py", "")
    tiny.write("helpers/text.py", 'NAME = "double"\n')
    tiny.write("helpers/unrelated.py", "")
    return tiny


def names(tiny: Tiny, paths: list[Path]) -> list[str]:
    return [path.relative_to(tiny.root).as_posix() for path in paths]


def test_the_source_of_an_experiment_is_its_file_and_what_that_imports(mine: Tiny) -> None:
    expected = [
        "experiments/__init__.py",
        "experiments/mine.py",
        "features.py",
        "helpers/__init__.py",
        "helpers/text.py",
    ]
    assert names(mine, source_files(mine.workspace, "mine")) == expected
    save_source(mine.workspace, "mine", mine.root / "kept")
    kept = sorted(path for path in (mine.root / "kept").rglob("*.py"))
    assert [path.relative_to(mine.root / "kept").as_posix() for path in kept] == sorted([*expected, "contest.py"])


@pytest.mark.parametrize(
    "line", ["import helpers.text", "from helpers import text", "from .other import x", "from . import other"]
)
def test_imports_are_found_however_they_are_written(mine: Tiny, line: str) -> None:
    mine.write("experiments/other.py", "x = 1\n")
    mine.write("experiments/mine.py", f"def late():\n    {line}\n")
    found = names(mine, source_files(mine.workspace, "mine"))
    assert ("helpers/text.py" if "helpers" in line else "experiments/other.py") in found


@pytest.mark.parametrize(
    ("path", "old", "new", "changes"),
    [
        ("features.py", "2 * rows", "3 * rows", True),
        ("helpers/text.py", '"double"', '"twice"', True),
        ("experiments/mine.py", '"logistic"', '"lightgbm"', True),
        ("features.py", "def unused", "# a comment\n\ndef unused", False),
        ("features.py", "2 * rows", "2  *  rows", False),
        ("features.py", "Twice the size.", "Two times the size.", False),
        ("experiments/mine.py", "The first idea.", "An idea.", False),
        ("helpers/unrelated.py", "", "x = 1", False),
        ("contest.py", "def load", "x = 1\n\n\ndef load", False),  # its load() shows in the data
    ],
)
def test_comments_and_other_files_do_not_change_the_code(
    mine: Tiny, path: str, old: str, new: str, changes: bool
) -> None:
    before = code_hash(mine.workspace, "mine")
    mine.replace(path, old, new)
    assert (code_hash(mine.workspace, "mine") != before) == changes


def test_the_same_experiment_is_reported_and_a_changed_one_trained(mine: Tiny) -> None:
    assert mine.kgl("train", "mine").name == "mine-001"
    before = (mine.root / "runs/mine-001/oof.parquet").stat().st_mtime_ns
    again = mine.kgl("train", "mine", "-m", "a note is no change")
    assert (again.status, again.name) == (0, "mine-001")
    assert again.err.startswith("mine-001 is this very experiment, complete since ") and "--again" in again.err
    assert (mine.root / "runs/mine-001/oof.parquet").stat().st_mtime_ns == before
    mine.replace("features.py", "2 * rows", "3 * rows")
    assert mine.kgl("train", "mine").name == "mine-002"
    assert mine.kgl("train", "mine", "params.C=0.5").name == "mine-003"
    assert mine.kgl("train", "mine", "--again").name == "mine-004"


def test_changed_data_or_folds_are_another_run(tiny: Tiny) -> None:
    assert tiny.kgl("train", "constant").name == "constant-001"
    tiny.save("train.csv", tiny.frame("train.csv").iloc[1:])
    assert tiny.kgl("train", "constant").name == "constant-002"
    tiny.replace("competition.toml", "seed = 0", "seed = 1")
    (tiny.root / "data/folds.parquet").unlink()
    assert tiny.kgl("train", "constant").name == "constant-003"
    identities = [json.loads(path.read_text())["identity"] for path in sorted(tiny.root.glob("runs/*/run.json"))]
    assert [len({identity[key] for identity in identities}) for key in ("config", "code", "data", "folds")] == [
        1,
        1,
        2,
        2,
    ]


def test_changes_of_the_command_line_stand_in_the_config(tiny: Tiny) -> None:
    tiny.kgl("train", "logistic", "params.C=0.25", "seeds=3")
    run = json.loads((tiny.root / "runs/logistic-001/run.json").read_text())
    assert run["config"]["params"] == {"C": 0.25} and run["config"]["seeds"] == run["seeds"] == [3]
    assert (tiny.root / "runs/logistic-001/source/experiments/logistic.py").is_file()


def test_another_metric_is_another_run(tiny: Tiny) -> None:
    assert tiny.kgl("train", "logistic").name == "logistic-001"
    tiny.replace("competition.toml", 'metric = "accuracy"', 'metric = "auc"')
    assert tiny.kgl("train", "logistic").name == "logistic-002"
    assert "logistic-002" in tiny.kgl("board").out
