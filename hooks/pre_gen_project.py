"""Refuse answers that would break a workspace, before any of its files is written.

cookiecutter runs this in the new, still empty folder, and removes that folder when the status is not 0. The folder is
made before this runs, so cookiecutter.json (`__folder`) has already given a wrong `project_slug` a harmless folder name
and kept the answer in `__typed`: nothing lands in `../x`, or in a folder that Windows cannot make.
"""

import json
import re
import sys
import unicodedata
from collections.abc import Collection
from pathlib import Path
from typing import Any

SLUG = re.compile(r"[a-z0-9][a-z0-9-]*")


def read_answers() -> dict[str, Any]:
    """The answers as data: cookiecutter puts them here as JSON, in which no answer can end the text."""
    answers: dict[str, Any] = json.loads(r"""{{ cookiecutter | tojson }}""")
    return answers


def quoted(text: str) -> str:
    """`text` in quotes and in ASCII, cut after 60 characters, for any terminal."""
    return json.dumps(text if len(text) <= 60 else f"{text[:57]}...")


def nearest_slug(text: str, longest: int) -> str:
    """The slug nearest to `text`; empty when nothing of it can be kept."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:longest].strip("-")


def nearest_folder(text: str, *, longest: int, reserved: Collection[str]) -> str:
    """The folder name nearest to `text` that would be taken."""
    slug = nearest_slug(text, longest)
    return f"{slug}-contest" if slug in reserved else slug or "my-contest"


def slug_problem(slug: str, longest: int) -> str | None:
    """What is wrong with `slug`, as a clause, or None."""
    if len(slug) > longest:
        return f"that has {len(slug)} characters, {longest} are allowed"
    if not SLUG.fullmatch(slug):
        return "allowed are the letters a to z, digits and dashes, the first of them no dash"
    return None


def competition_problem(typed: str, slug: str, *, longest: int) -> str | None:
    """The sentence that refuses the contest, or None. `slug` is what cookiecutter.json cut out of `typed`."""
    problem = slug_problem(slug, longest)
    if problem is None:
        return None
    nearest = nearest_slug(slug, longest)
    advice = f"type {nearest} instead"
    if not nearest or "/" in typed:
        advice = "type the word that follows /competitions/ in its address instead, such as titanic"
    return f"competition: got {quoted(typed)}; {problem}; {advice}."


def folder_problem(typed: str, *, longest: int, reserved: Collection[str]) -> str | None:
    """The sentence that refuses the name of the workspace's folder, or None."""
    problem = "Windows keeps that name for a device" if typed in reserved else slug_problem(typed, longest)
    if problem is None:
        return None
    advice = f"type {nearest_folder(typed, longest=longest, reserved=reserved)} instead"
    return f"project_slug: got {quoted(typed)}; {problem}; {advice}."


def target_problem(folder: Path) -> str | None:
    """The sentence that refuses a folder with files in it (cookiecutter -f), or None."""
    if not any(folder.iterdir()):
        return None
    return f"project_slug: the folder {quoted(folder.name)} is not empty; type another name or empty it first."


def first_problem(answers: dict[str, Any], folder: Path) -> str | None:
    """The first reason to refuse these answers, as one sentence, or None."""
    longest, reserved = answers["_longest"], answers["_reserved"]
    return (
        competition_problem(answers["competition"], answers["__slug"], longest=longest)
        or folder_problem(answers["__typed"], longest=longest, reserved=reserved)
        or target_problem(folder)
    )


def main() -> int:
    """Print why the answers are refused, if they are. Returns the exit status."""
    problem = first_problem(read_answers(), Path.cwd())
    if problem:
        print(f"\n{problem}\n", file=sys.stderr)
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
