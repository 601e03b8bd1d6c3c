"""What the documentation says is so: its commands exist, its links lead somewhere, its examples and output are real."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

from tests.baking import ROOT, STARTERS, WORKSPACE, BakedProject
from tests.conftest import Bake, Played

PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *WORKSPACE.glob("*.md"), *WORKSPACE.glob("_starters/*/*.md")]
)
GUIDES = {starter: WORKSPACE / "_starters" / starter / "GUIDE.md" for starter in STARTERS}
LATER = {
    "data/folds.parquet",
    "runs/",
    "submissions.jsonl",
    "reports/",
    "RESULTS.md",
}  # what a workspace has only when it has been used
OF_OTHERS = {"titanic": {"networks.py"}, "tabular": {"networks.py"}}  # what the tree has for other starters
TOLERANCE = 0.004  # other versions of the libraries may tell three passengers otherwise
SCORE = re.compile(r"(\w+-\d{3})\s+(?:CV )?(0\.\d{5}) ± ")

in_pages = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
in_guides = pytest.mark.parametrize("starter", STARTERS)


def python_blocks(page: Path, folder: str) -> dict[str, str]:
    """The whole files that a page shows: by their name in `folder`, which their first line gives."""
    blocks = re.findall(rf"```python\n# {folder}(\w+\.py)\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    return dict(blocks)


def commands(page: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Every `kgl command`, in a code line or between backticks, with the word behind it, and the options after it."""
    for line in page.read_text("utf-8").splitlines():
        for code in [line] if line.startswith("    ") else re.findall(r"`([^`]+)`", line):
            for name, rest in re.findall(r"\bkgl ([a-z]+)\b([^|#]*)", code):
                yield [name, *rest.split()[:1]], re.findall(r"(?<!\S)--?[a-z][a-z-]*", rest)


@in_pages
def test_every_command_and_option_that_is_named_exists(page: Path) -> None:
    from kgl.cli.main import cli

    for words, options in commands(page):
        command = cli.get_command(click.Context(cli), words[0])
        if isinstance(command, click.Group) and words[1:]:
            command = command.get_command(click.Context(command), words[1])
        assert command, f"kgl {' '.join(words)} does not exist"
        allowed = {option for parameter in command.params for option in parameter.opts}
        assert set(options) <= allowed | {"--debug", "--help"}, f"kgl {' '.join(words)}"


@in_pages
def test_links_to_files_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8"))
    assert [target for target in targets if not (page.parent / unquote(target)).exists()] == []


@in_guides
def test_the_tree_in_a_workspaces_readme_is_what_is_there(bake: Bake, starter: str) -> None:
    project = bake(starter=starter)
    tree = project.read("README.md").split("## What is where")[1].split("\n## ")[0]
    named = set(re.findall(r"^    (\S+)  ", tree, re.MULTILINE))
    assert len(named) > 10
    assert {name for name in named if not (project.path / name).exists()} == LATER | OF_OTHERS.get(starter, set())
    top = {path.name for path in project.path.iterdir() if not path.name.startswith(".")} - {"README.md", "data"}
    assert top <= {name.rstrip("/") for name in named}


@in_guides
def test_pasted_experiments_are_in_the_style_of_the_workspace(bake: Bake, starter: str) -> None:
    project, blocks = bake(starter=starter), python_blocks(GUIDES[starter], "experiments/")
    assert blocks
    for name, text in blocks.items():
        (project.path / "experiments" / name).write_text(text, "utf-8")
    for check in (["check"], ["format", "--check", "--diff"]):
        command = [sys.executable, "-m", "ruff", *check, "--no-cache", "experiments"]
        done = subprocess.run(command, cwd=project.path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@dataclass(frozen=True)
class Walk:
    """A Titanic workspace in which the guide was followed, and what its commands printed."""

    project: BakedProject
    baseline: str
    board: str

    def cv(self, run: str) -> float:
        """The CV that the board has for a run."""
        told = self.project.kgl("board", "--json").stdout
        found = re.search(rf'"run": "{run}".*?"cv_score": ([\d.]+)', told, re.DOTALL)
        assert found, f"{run} is not on the board"
        return float(found[1])


@pytest.fixture(scope="module")
def walk(played: Callable[[str], Played], tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """Baseline and board on the real files; then the experiments of the guide stand in experiments/."""
    done, folder = played("titanic"), tmp_path_factory.mktemp("walk") / "titanic"
    shutil.copytree(done.project.path, folder)
    project = BakedProject(folder).borrow(done.project)
    board = project.kgl("board", COLUMNS="140")
    for name, text in python_blocks(GUIDES["titanic"], "experiments/").items():
        (project.path / "experiments" / name).write_text(text, "utf-8")
    return Walk(project, done.baseline.stdout + done.baseline.stderr, board.stdout)


def without_numbers(text: str) -> set[str]:
    """Its lines without scores, times, places and the width of columns."""
    lines = (re.sub(r"^\d+ +|0\.\d{3,5}|\d+\.\d s", " ", line) for line in text.splitlines())
    return {" ".join(line.split()) for line in lines}


def shown_in_readme() -> tuple[str, str]:
    """What the README shows for baseline and for board."""
    text = (ROOT / "README.md").read_text("utf-8")
    found = re.search(r"```text\n\$ uv run kgl baseline\n(.*?)\n\$ uv run kgl board\n(.*?)```", text, re.DOTALL)
    assert found
    return found[1], found[2]


def assert_same_output(shown: str, printed: str) -> None:
    assert without_numbers(shown) == without_numbers(printed), f"the README should show\n{printed}"
    ours, theirs = (dict(SCORE.findall(text)) for text in (shown, printed))
    assert ours.keys() == theirs.keys()
    apart = {run: (ours[run], theirs[run]) for run in ours if abs(float(ours[run]) - float(theirs[run])) > TOLERANCE}
    assert not apart, f"the README should show\n{printed}"


def test_the_readme_shows_what_baseline_prints(walk: Walk) -> None:
    shown = shown_in_readme()[0]
    assert_same_output(shown, walk.baseline)
    assert [run for run, _ in SCORE.findall(shown)] == [run for run, _ in SCORE.findall(walk.baseline)]


def test_the_readme_shows_what_board_prints(walk: Walk) -> None:
    shown = shown_in_readme()[1]
    assert_same_output(shown, walk.board)
    scores = [float(score) for _, score in SCORE.findall(shown)]
    assert len(scores) == 8 and scores == sorted(scores, reverse=True)


def test_the_guide_has_the_scores_that_its_experiments_reach(walk: Walk) -> None:
    table = re.findall(r"^\| `([^`]+)` \| (\.\d{3}) \|", GUIDES["titanic"].read_text("utf-8"), re.MULTILINE)
    new = [name for name, _ in table if name != "blend" and " " not in name]
    walk.project.kgl("train", *new)
    reached = {}
    for name, _ in table:
        if " " in name:
            reached[name] = walk.cv(walk.project.kgl("train", *name.split()).stdout.split()[-1])
        else:
            reached[name] = walk.cv(f"{name}-001")
    assert len(table) == 15
    assert {name: score for name, score in table if abs(float(score) - reached[name]) > TOLERANCE} == {}, reached


def test_the_leaky_experiment_of_the_guide_looks_wonderful_and_the_guides_test_finds_it(walk: Walk) -> None:
    project, train = walk.project, ("train", "leaky_groups", "logistic_groups")
    project.kgl(*train)
    assert walk.cv("leaky_groups-001") > 0.95
    contest = project.path / "contest.py"
    before = contest.read_text("utf-8")
    shuffled = python_blocks(GUIDES["titanic"], "")["contest.py"]
    contest.write_text(re.sub(r"def load\(\).*?\n\n\n", f"{shuffled}\n\n", before, flags=re.DOTALL), "utf-8")
    project.kgl(*train)
    contest.write_text(before, "utf-8")
    (verdict,) = re.findall(
        r'```python\n(import pandas as pd\n\nfor name in \("leaky.*?)```',
        GUIDES["titanic"].read_text("utf-8"),
        re.DOTALL,
    )
    told = project.python("-c", verdict).stdout
    assert told.splitlines() == ["leaky_groups LEAK", "logistic_groups honest"]


def test_the_log_losses_of_the_guide_are_real(walk: Walk) -> None:
    text = GUIDES["titanic"].read_text("utf-8")
    (snippet,) = re.findall(r"```python\n(import pandas as pd\nfrom sklearn.*?)```", text, re.DOTALL)
    walk.project.kgl("train", "large")
    printed = walk.project.python("-c", snippet).stdout.split()
    large, small = float(printed[1]), float(printed[3])
    found = re.search(r"^(\.\d{3}) against (\.\d{3}): the large model is worse", text, re.MULTILINE)
    assert found and abs(float(found[1]) - large) < TOLERANCE and abs(float(found[2]) - small) < TOLERANCE


def test_the_example_of_the_tabular_guide_is_noise_as_it_says(
    bake: Bake, contest_data: Path, installed: Callable[[str], BakedProject]
) -> None:
    project, page = bake(starter="tabular").borrow(installed("tabular")), GUIDES["tabular"]
    shutil.copytree(contest_data / "spaceship-titanic", project.path / "data" / "raw", dirs_exist_ok=True)
    for name, text in python_blocks(page, "experiments/").items():
        (project.path / "experiments" / name).write_text(text, "utf-8")
    with (project.path / "features.py").open("a", encoding="utf-8") as features:
        features.write("\n\n" + python_blocks(page, "")["features.py"])
    facts = ("metric=accuracy", "folds.scheme=stratified_group", "folds.group=features:travel_group")
    project.kgl("init", *facts, "--yes")
    # fixed rounds: the same in half the time
    project.kgl("train", "lightgbm", "lightgbm_spending", "params.n_estimators=300")
    told = project.kgl("board", "lightgbm_spending-001", "lightgbm-001").stdout
    gain = re.match(r"noise: ([+-]0\.\d+) ± 0\.\d+ in accuracy", told)
    assert gain and abs(float(gain[1])) < 0.006, told
