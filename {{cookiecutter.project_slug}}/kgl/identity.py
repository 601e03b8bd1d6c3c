"""What a run is made of: the hashes that tell runs apart, and a copy of the source that each run keeps."""

import ast
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from kgl import __version__
from kgl.metrics import OWN
from kgl.paths import Workspace, write_text

ALWAYS_KEPT = ("features.py", "contest.py")
PART = re.compile(r"^(?:def |class )?(\w+)\b(?! \w)(.*(?:\n+ .*)*)", re.MULTILINE)  # a name and what it stands for


def identity(workspace: Workspace, name: str, config: dict[str, Any], *, data: str, folds: str) -> dict[str, str]:
    """The four hashes of a run of experiment `name`; the code's is over syntax, so that comments do not count."""
    return {
        "config": short_hash(json.dumps(config, sort_keys=True)),
        "code": code_hash(workspace, name),
        "data": data,
        "folds": folds,
    }


def code_hash(workspace: Workspace, name: str) -> str:
    """A hash of the experiment's file, the workspace's modules that it imports, and the engine's version."""
    parts = [ast.dump(plain_syntax(path)) for path in source_files(workspace, name)]
    return short_hash("\n".join([__version__, *parts]))


def metric_hash(workspace: Workspace, metric: str) -> str:
    """A hash of what makes a metric of one's own in contest.py; empty for any other metric.

    It is over the syntax of the Metric and of all that it leads to there, such as its function and its loss; load(),
    comments, and what is imported do not count.
    """
    path, name = workspace.root / "contest.py", metric.removeprefix(OWN)
    if name == metric or not path.is_file():
        return ""
    parts, words = PART.findall(ast.unparse(plain_syntax(path))), {name}
    while more := {word for part, text in parts if part in words for word in re.findall(r"\w+", text)} - words:
        words |= more  # those in texts too, for "contest:my_loss"
    return short_hash(repr([part for part in parts if part[0] in words]))


def plain_syntax(path: Path) -> ast.Module:
    """What a file does: neither its comments nor its docstrings."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
            del node.body[0]
    return tree


def short_hash(text: str) -> str:
    """Sixteen hexadecimal digits of SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def source_files(workspace: Workspace, name: str) -> list[Path]:
    """The experiment's file and, through its imports, every file of the workspace outside the engine that it uses."""
    found: dict[Path, None] = {}
    waiting = _module_files(workspace.root, ["experiments", name])
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = None
            waiting += _imported_files(workspace.root, path)
    return sorted(found)


def _imported_files(root: Path, path: Path) -> list[Path]:
    package = path.parent.relative_to(root).parts
    files = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            modules = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            base += node.module.split(".") if node.module else []
            modules = [base, *([*base, alias.name] for alias in node.names)]
        else:
            continue
        files += [file for parts in modules if parts and parts[0] != "kgl" for file in _module_files(root, parts)]
    return files


def _module_files(root: Path, parts: list[str]) -> list[Path]:
    """The file of a module, and those of the packages that it lies in."""
    stems = [root.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
    return [path for stem in stems for path in (Path(f"{stem}.py"), stem / "__init__.py") if path.is_file()]


def headline(source: str) -> str:
    """The first line of a file's docstring, up to a colon: what the first run of an experiment says about itself."""
    first, _, _ = (ast.get_docstring(ast.parse(source)) or "").partition("\n")
    return first.partition(": ")[0].rstrip(".")


def save_source(workspace: Workspace, name: str, folder: Path) -> None:
    """Copy the experiment, what it imports, features.py and contest.py into `folder`, as they are now."""
    kept = [workspace.root / file for file in ALWAYS_KEPT if (workspace.root / file).is_file()]
    for path in {*source_files(workspace, name), *kept}:
        write_text(folder / path.relative_to(workspace.root), path.read_text(encoding="utf-8"))
