"""Put the chosen starter in place, drop what it does not use, and say what to type next.

cookiecutter runs this inside the new workspace. It touches no network and installs nothing.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# What a starter does not use, folders and files; what does not exist is no error.
PICTURES = ["kgl/image", "tests/image", "kgl/rehearsal/digits.py"]
UNUSED = {"titanic": PICTURES, "image": [], "tabular": PICTURES}

# What a starter installs beside the tools: groups of pyproject.toml.
GROUPS = {"titanic": [], "image": ["image"], "tabular": ["boosters"]}

# What a starter asks for before its first score, beside the contest's files: titanic's facts are complete at birth.
FIRST_COMMANDS = {
    "titanic": ["uv run kgl baseline"],
    "image": ["uv run kgl init", "uv run kgl baseline"],
    "tabular": ["uv run kgl init", "uv run kgl baseline"],
}


def read_answers() -> dict[str, Any]:
    """The answers as data: cookiecutter puts them here as JSON, in which no answer can end the text."""
    answers: dict[str, Any] = json.loads(r"""{{ cookiecutter | tojson }}""")
    return answers


def move_into(source: Path, target: Path) -> None:
    """Move all that lies in `source` into `target`, merging folders of one name.

    Raises:
        FileExistsError: both hold a file of the same name: a fault of the template, nothing is overwritten.
    """
    for path in sorted(source.iterdir()):
        place = target / path.name
        if path.is_dir() and place.is_dir():
            move_into(path, place)
        elif place.exists():
            raise FileExistsError(f"the starter's {path} would overwrite {place}")
        else:
            path.rename(place)


def put_starter_in_place(root: Path, starter: str) -> None:
    """Move the chosen starter to the workspace's root and delete the others."""
    move_into(root / "_starters" / starter, root)
    shutil.rmtree(root / "_starters")


def choose_facts(root: Path, slug: str) -> None:
    """Take the facts that the starter knows of this contest, if it does; else they stay empty, for `kgl init`."""
    preset = root / "presets" / f"{slug}.toml"
    if preset.is_file():
        preset.replace(root / "competition.toml")
    shutil.rmtree(root / "presets", ignore_errors=True)


def show_example(root: Path) -> None:
    """Put the starter's example of a second experiment into README.md."""
    readme, example = root / "README.md", root / "EXAMPLE.md"
    text = readme.read_text(encoding="utf-8").replace("<!-- example -->\n", example.read_text(encoding="utf-8"))
    readme.write_text(text, encoding="utf-8", newline="\n")
    example.unlink()


def drop_unused(root: Path, starter: str) -> None:
    """Delete what the starter does not use."""
    for name in UNUSED[starter]:
        if (root / name).is_dir():
            shutil.rmtree(root / name)
        else:
            (root / name).unlink(missing_ok=True)


def install_groups(root: Path, groups: Sequence[str]) -> None:
    """Let `uv sync` install these groups of pyproject.toml as well."""
    project = root / "pyproject.toml"
    text = project.read_text(encoding="utf-8")
    names = ", ".join(f'"{name}"' for name in ["dev", *groups])
    changed = text.replace('default-groups = ["dev"]', f"default-groups = [{names}]")
    project.write_text(changed, encoding="utf-8", newline="\n")


def next_steps(root: Path, starter: str) -> str:
    """What to type next, each command on a line of its own, indented by two blanks."""
    start = ["", f"Workspace {root.name}/ is ready.", f"  cd {root.name}", "  uv sync"]
    if (root / "kgl" / "rehearsal").is_dir():
        return "\n".join([*start, "  uv run kgl rehearse      # the whole loop on a sample contest, no account needed"])
    then = [f"  {command}" for command in FIRST_COMMANDS[starter]]
    return "\n".join([*start, f"Put the contest's files into {root.name}/data/raw, then:", *then])


def main() -> None:
    """Finish the workspace in the current folder."""
    root, answers = Path.cwd(), read_answers()
    starter = answers["starter"]
    put_starter_in_place(root, starter)
    choose_facts(root, answers["__slug"])
    show_example(root)
    drop_unused(root, starter)
    install_groups(root, GROUPS[starter])
    (root / "data" / "raw").mkdir(parents=True)
    print(next_steps(root, starter))


if __name__ == "__main__":
    main()
