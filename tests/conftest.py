"""Fixtures: the template as git has it, baked workspaces, installed workspaces, real contest files."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter

from tests.baking import BakedProject, Finished, copy_template

Bake = Callable[..., BakedProject]
# Each library and each kind of preparation on real files once; all that a starter has would take minutes.
SUITES = {
    "spaceship-titanic": ("one_column", "logistic", "text_linear", "xgboost", "catboost"),
    "house-prices-advanced-regression-techniques": ("one_column", "ridge", "svr", "mlp", "lightgbm"),
}

# A shell that starts this in the background leaves Ctrl-C ignored, and so it would stay in every process below.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean copy of the template."""
    return copy_template(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="session")
def cookiecutter_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cookiecutter configuration that reads and writes nothing in the home folder."""
    folder = tmp_path_factory.mktemp("cookiecutter")
    config = folder / "config.yaml"
    config.write_text(f"replay_dir: '{folder / 'replay'}'\ncookiecutters_dir: '{folder / 'cookiecutters'}'\n", "utf-8")
    return config


@pytest.fixture(scope="session")
def bake_into(template: Path, cookiecutter_config: Path) -> Bake:
    """Bake into a given folder: `bake_into(folder, starter="tabular", overwrite_if_exists=True)`."""

    def bake(folder: Path, *, overwrite_if_exists: bool = False, **answers: str) -> BakedProject:
        path = cookiecutter(
            str(template),
            no_input=True,
            extra_context=answers,
            output_dir=str(folder),
            config_file=str(cookiecutter_config),
            overwrite_if_exists=overwrite_if_exists,
        )
        return BakedProject(Path(path))

    return bake


@pytest.fixture
def bake(bake_into: Bake, tmp_path: Path) -> Bake:
    """Bake a workspace that one test may do with what it likes: `bake(starter="titanic").install()`."""

    def bake(**answers: str) -> BakedProject:
        return bake_into(tmp_path, **answers)

    return bake


@pytest.fixture(scope="session")
def installed(bake_into: Bake, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], BakedProject]:
    """A baked and installed workspace of a starter, one for all tests: leave its files as they are.

    The versions of all libraries are found once: the starters differ only in which of them they install.
    """
    locks: list[Path] = []

    @cache
    def install(starter: str) -> BakedProject:
        project = bake_into(tmp_path_factory.mktemp(starter), starter=starter).install(*locks[:1])
        locks.append(project.path / "uv.lock")
        return project

    return install


@pytest.fixture(scope="session")
def contest_data() -> Path:
    """The folder with real contest files, a folder for each contest's slug."""
    folder = os.environ.get("CONTEST_DATA")
    if not folder:
        pytest.skip("needs real contest files: set CONTEST_DATA to a folder with a folder for each contest's slug")
    return Path(folder)


@dataclass(frozen=True)
class Played:
    """A workspace in which `kgl baseline` has run on real files; leave it as it is."""

    project: BakedProject
    baseline: Finished
    seconds: float


@pytest.fixture(scope="session")
def played(
    bake_into: Bake,
    installed: Callable[[str], BakedProject],
    contest_data: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Played]:
    """Bake, take the contest's files, let `kgl init` find open facts, `kgl baseline`: once for all tests."""

    @cache
    def play(slug: str) -> Played:
        starter = "titanic" if slug == "titanic" else "tabular"
        baked = bake_into(tmp_path_factory.mktemp("played"), starter=starter, competition=slug)
        project = baked.borrow(installed(starter))
        shutil.copytree(contest_data / slug, project.path / "data" / "raw", dirs_exist_ok=True)
        if starter == "tabular":
            project.kgl("init", f"baseline.experiments={','.join(SUITES[slug])}", "--yes")
        began = time.perf_counter()
        done = project.kgl("baseline")
        return Played(project, done, time.perf_counter() - began)

    return play
