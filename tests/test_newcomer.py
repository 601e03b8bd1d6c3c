"""Somebody who has the README of a workspace and nothing else: from nothing to a second, better experiment."""

import csv
import os
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kgl.rehearsal.contest import Answer, PracticeContest
from kgl.rehearsal.server import PracticeKaggle
from kgl.rehearsal.titanic import sample_contest
from tests.baking import STARTERS, BakedProject, find_uv
from tests.conftest import Bake

Installed = Callable[[str], BakedProject]
NO_TERMINAL = {"submit": ["--yes"]}  # what would be asked on one


def contest() -> PracticeContest:
    """The sample contest; with Kaggle's own files, where they are. Who lived there is as good as the gender rule."""
    sample, folder = sample_contest(), Path(os.environ.get("CONTEST_DATA", "nowhere")) / "titanic"
    if not folder.is_dir():
        return sample
    with (folder / "gender_submission.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    solution = {row["PassengerId"]: Answer(row["Survived"], number % 2 == 0) for number, row in enumerate(rows)}
    return replace(sample, files={name: (folder / name).read_bytes() for name in sample.files}, solution=solution)


def typed(readme: str) -> list[list[str]]:
    """The commands of the first two sections, without the remarks behind them."""
    sections = re.findall(r"^## (?:From nothing|A second).*?(?=^## )", readme, re.MULTILINE | re.DOTALL)
    assert len(sections) == 2
    lines = re.findall(r"^    (uv .+?)(?: +#.*)?$", "\n".join(sections), re.MULTILINE)
    return [shlex.split(line) for line in lines]


def save_example(project: BakedProject) -> None:
    """The file that the README shows, under the name that its first line says."""
    ((name, text),) = re.findall(r"```python\n# (\S+)\n(.*?)```", project.read("README.md"), re.DOTALL)
    (project.path / name).write_text(text, "utf-8")


def test_ten_commands_of_the_readme_lead_to_a_second_better_experiment(
    bake: Bake, installed: Installed, tmp_path: Path
) -> None:
    project = bake(starter="titanic")
    shutil.copy(installed("titanic").path / "uv.lock", project.path)  # versions were looked up before
    cache = project.succeed(find_uv(), "cache", "dir").stdout.strip()
    commands = typed(project.read("README.md"))
    assert len(commands) <= 10 and commands[0] == ["uv", "sync"]
    said = []
    with PracticeKaggle(contest()) as kaggle:
        environment = kaggle.environment(tmp_path / "home").items() - os.environ.items()
        for words in commands:
            if "second" in words:
                save_example(project)
            more = NO_TERMINAL.get(words[-1], [])
            said.append(project.succeed(*words, *more, timeout=600, UV_CACHE_DIR=cache, **dict(environment)).stdout)
        assert kaggle.submissions
    verdict, board = said[-2:]
    better = "better" if "CONTEST_DATA" in os.environ else "better|noise"  # made-up people are told apart less well
    assert re.match(rf"({better}): ", verdict) and "second-002" in verdict, verdict
    assert re.search(r"^\d+ +second-002 .*titles, families, groups$", board, re.MULTILINE), board


@pytest.mark.parametrize("starter", STARTERS)
def test_the_example_of_the_readme_is_in_the_style_of_the_workspace(installed: Installed, starter: str) -> None:
    project = installed(starter)
    save_example(project)
    try:
        for check in (["check"], ["format", "--check", "--diff"]):
            project.succeed("uv", "run", "ruff", *check, "--no-cache", "experiments")
        assert len(typed(project.read("README.md"))) <= 10
    finally:
        (project.path / "experiments" / "second.py").unlink()
