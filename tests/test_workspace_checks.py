"""A fresh workspace passes its own checks, with no fix, after the commands that are printed."""

import os
import tomllib
from collections.abc import Callable

import pytest

from tests.baking import ROOT, STARTERS, WORKSPACE, BakedProject
from tests.conftest import Bake

Installed = Callable[[str], BakedProject]

CHECKS = {
    "lint": ("ruff", "check"),
    "format": ("ruff", "format", "--check"),
    "types": ("mypy",),
}


@pytest.fixture(scope="session")
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """That of `make lint`, or one for all starters: mypy goes by the content of files, most of them of libraries."""
    return os.environ.get("MYPY_CACHE_DIR") or str(tmp_path_factory.mktemp("mypy"))


@pytest.mark.parametrize("check", ["lint", "format", "types"])
@pytest.mark.parametrize("starter", STARTERS)
def test_a_fresh_workspace_passes_its_own_checks(
    installed: Installed, starter: str, check: str, mypy_cache: str
) -> None:
    installed(starter).succeed("uv", "run", *CHECKS[check], MYPY_CACHE_DIR=mypy_cache)


def test_tests_pass_without_the_libraries_that_a_starter_does_without(installed: Installed) -> None:
    """The files are those of the other table starter; what these ask for may be absent."""
    files = ("test_baseline", "test_tabular_models", "test_predict")
    installed("titanic").succeed("uv", "run", "pytest", *(f"tests/{name}.py" for name in files))


def test_a_fresh_image_workspace_finds_its_own_tests(installed: Installed) -> None:
    """They are those that ran in the template already; a few are run again."""
    project = installed("image")
    found = project.succeed("uv", "run", "pytest", "--collect-only").stdout
    assert "tests/image/test_train.py" in found and "tests/test_cli.py" in found
    project.succeed("uv", "run", "pytest", "tests/image/test_network.py", "tests/image/test_digits.py")


def test_what_is_yours_is_checked_too(installed: Installed, mypy_cache: str) -> None:
    """The plain commands look at features.py, contest.py and the experiments, not at the engine alone."""
    project = installed("titanic")
    broken = project.path / "experiments" / "broken.py"
    broken.write_text("import os\n\nrounds: int = 'many'\n", "utf-8")
    try:
        assert "broken.py" in project.run("uv", "run", "mypy", MYPY_CACHE_DIR=mypy_cache).stdout
        assert "broken.py" in project.run("uv", "run", "ruff", "check", "--output-format=concise").stdout
    finally:
        broken.unlink()


@pytest.mark.parametrize("starter", STARTERS)
def test_the_command_is_installed(installed: Installed, starter: str) -> None:
    assert "baseline" in installed(starter).succeed("uv", "run", "kgl", "--help").stdout


@pytest.mark.parametrize("starter", ["tabular", "titanic"])
def test_table_starters_install_without_torch(installed: Installed, starter: str) -> None:
    names = [line.split()[0] for line in installed(starter).succeed("uv", "pip", "list").stdout.splitlines() if line]
    assert "lightgbm" in names
    assert [name for name in names if name.startswith(("torch", "nvidia"))] == []


@pytest.mark.parametrize("starter", STARTERS)
def test_git_keeps_facts_and_split_but_no_data_and_no_models(bake: Bake, starter: str) -> None:
    project = bake(starter=starter)
    kept = ["data/folds.parquet", "runs/one-001/run.json", "submissions.jsonl", "uv.lock", "experiments/new.py"]
    ignored = ["data/raw/train.csv", "data/cache/x.parquet", "runs/one-001/oof.parquet", "runs/one-001/folds/0/m.txt"]
    ignored += [".venv/x", "kaggle.json", "kgl/__pycache__/x.pyc", ".submissions.jsonl.x.tmp"]
    project.succeed("git", "init", "--quiet")
    told = project.run("git", "check-ignore", "--no-index", *kept, *ignored).stdout.split()
    assert told == ignored


def test_the_template_is_checked_with_the_tools_of_the_workspace() -> None:
    """The two lists cannot be one: a dependency group does not travel with a dependency."""
    ours, theirs = (
        tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
        for folder in (ROOT, WORKSPACE)
    )
    assert set(theirs["dev"]) <= set(ours["dev"])
    assert {name: theirs[name] for name in ("boosters", "image")} == {
        name: ours[name] for name in ("boosters", "image")
    }
