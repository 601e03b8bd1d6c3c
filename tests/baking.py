"""Baking workspaces and running commands in them, so that tests read as sentences."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORKSPACE = ROOT / "{{cookiecutter.project_slug}}"
STARTERS = tuple(sorted(path.name for path in (WORKSPACE / "_starters").iterdir() if path.is_dir()))

# What this repository's own environment and Makefile set, and a user's shell does not.
OURS = ("VIRTUAL_ENV", "PYTHON", "PYTEST", "UV_PROJECT", "UV_RUN", "MYPY", "RUFF", "HYPOTHESIS", "KAGGLE", "MAKE")

Finished = subprocess.CompletedProcess[str]


def users_environment() -> dict[str, str]:
    """The environment as a user's shell would have it."""
    return {key: value for key, value in os.environ.items() if not key.startswith(OURS)}


def find_uv() -> str:
    """The uv that runs these tests, or the one on the path."""
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv, "uv is not to be found: run the tests with `make test` or `uv run pytest`"
    return uv


def copy_template(target: Path) -> Path:
    """Copy what git would keep of this template: cookiecutter itself would copy caches and `.venv` as well."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode("utf-8")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target


def printed_steps(text: str) -> list[list[str]]:
    """The commands among what is printed: lines indented by two blanks, without the remark behind them."""
    return [line.split() for line in re.findall(r"^  (\S.*?)(?: +#.*)?$", text, re.MULTILINE)]


@dataclass(frozen=True)
class BakedProject:
    """A generated workspace; `lender` is an installed one of the same libraries, whose Python it runs with."""

    path: Path
    lender: Path | None = None

    def files(self) -> set[str]:
        """All files, as they would stand in git, relative with slashes."""
        return {path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if path.is_file()}

    def read(self, name: str) -> str:
        """The text of one file."""
        return (self.path / name).read_text(encoding="utf-8")

    def run(self, *command: str, timeout: float = 600, **environment: str) -> Finished:
        """Run a command in the workspace as a user would; `uv` need not be on the path.

        Returns:
            returncode, stdout and stderr, whatever the status is.
        """
        program = find_uv() if command[0] == "uv" else command[0]
        return subprocess.run(
            [program, *command[1:]],
            cwd=self.path,
            env=users_environment() | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
        )

    def succeed(self, *command: str, timeout: float = 600, **environment: str) -> Finished:
        """Run a command that must end with status 0."""
        done = self.run(*command, timeout=timeout, **environment)
        assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def install(self, lock: Path | None = None) -> "BakedProject":
        """Install it as the printed next steps say; `lock` is of a workspace that found the versions already."""
        if lock:
            shutil.copy(lock, self.path)
        self.succeed("uv", "sync")
        return self

    def borrow(self, installed: "BakedProject") -> "BakedProject":
        """The same workspace with the environment of another one, so that it need not be installed."""
        return replace(self, lender=installed.lender or installed.path)

    @property
    def interpreter(self) -> Path:
        """The Python of its environment."""
        return (
            (self.lender or self.path) / ".venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        )

    def python(self, *arguments: str, **environment: str) -> Finished:
        """`uv run python ...`, faster."""
        return self.run(str(self.interpreter), *arguments, timeout=600, PYTHONPATH=str(self.path), **environment)

    def kgl(self, *arguments: str, **environment: str) -> Finished:
        """`uv run kgl ...`, faster, which must end with status 0."""
        done = self.python("-m", "kgl", *arguments, **environment)
        assert done.returncode == 0, f"kgl {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done
