"""Print what the engine weighs, and fail above the budget: size is a cost for people who own the code.

Run with `make size`.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ROOT / "{{cookiecutter.project_slug}}" / "kgl"

TABLE_LINES = 4500  # the engine without kgl/image
ALL_LINES = 6000
LONG_FILE = 350
LONG_FILES = 2
SHOWN_FUNCTIONS = 10


def python_files() -> list[Path]:
    """All Python files that git keeps or would keep."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.py"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode("utf-8")
    return [ROOT / name for name in sorted(set(listed.split("\0"))) if name and (ROOT / name).is_file()]


def count_lines(path: Path) -> int:
    """Lines of a file, blank ones included."""
    return len(path.read_text(encoding="utf-8").splitlines())


def functions(path: Path) -> Iterator[tuple[int, str]]:
    """Length in lines and place of every function in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield lines, f"{path.relative_to(ROOT).as_posix()}:{node.lineno} {node.name}"


def main() -> int:
    """Print the budget and what uses it. Returns 1 when it is exceeded."""
    lines = {path: count_lines(path) for path in python_files()}
    engine = {path: count for path, count in lines.items() if path.is_relative_to(ENGINE)}
    tables = sum(count for path, count in engine.items() if not path.is_relative_to(ENGINE / "image"))
    long = sorted(((count, path) for path, count in lines.items() if count > LONG_FILE), reverse=True)
    print(f"engine for tables  {tables:>6,} lines of {TABLE_LINES:,}")
    print(f"engine in all      {sum(engine.values()):>6,} lines of {ALL_LINES:,}, {len(engine)} files")
    print(f"files over {LONG_FILE}     {len(long):>6} of {LONG_FILES} allowed")
    for count, path in long:
        print(f"    {count:>4} {path.relative_to(ROOT).as_posix()}")
    print("largest functions of the engine, in lines")
    for count, place in sorted((found for path in engine for found in functions(path)), reverse=True)[:SHOWN_FUNCTIONS]:
        print(f"    {count:>4} {place.removeprefix(ENGINE.parent.name + '/')}")
    exceeded = tables > TABLE_LINES or sum(engine.values()) > ALL_LINES or len(long) > LONG_FILES
    if exceeded:
        print("the size budget is exceeded: delete, or prefer a library", file=sys.stderr)
    return int(exceeded)


if __name__ == "__main__":
    sys.exit(main())
