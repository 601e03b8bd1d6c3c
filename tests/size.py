"""Print what the engine weighs, and fail above the budget: size is a cost for people who own the code.

Run with `make size`.
"""

import ast
import io
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ROOT / "{{cookiecutter.project_slug}}" / "kgl"

TABLE_LINES = 4500  # of code, without blank lines, comments and docstrings; the engine without kgl/image
TABLE_CEILING = 5400  # where it stands today, above its budget: it may shrink, it must not grow
ALL_LINES = 6000
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
LONG_FILE = 350
LONG_FILES = 2
SHOWN_FUNCTIONS = 10


def python_files() -> list[Path]:
    """All Python files that git keeps or would keep."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.py"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode("utf-8")
    return [ROOT / name for name in sorted(set(listed.split("\0"))) if name and (ROOT / name).is_file()]


def count_lines(path: Path) -> tuple[int, int]:
    """Lines of a file: all, and those of code, without blank lines, comments and docstrings."""
    text = path.read_text(encoding="utf-8")
    words = (token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type not in NO_CODE)
    code = {line for token in words for line in range(token.start[0], token.end[0] + 1)}
    return len(text.splitlines()), len(code - docstring_lines(text))


def docstring_lines(text: str) -> set[int]:
    """The numbers of the lines that docstrings take."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, documented)]
    first = [node.body[0] for node in nodes if ast.get_docstring(node, clean=False) is not None]
    return {line for node in first for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}


def functions(path: Path) -> Iterator[tuple[int, str]]:
    """Length in lines and place of every function in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield lines, f"{path.relative_to(ROOT).as_posix()}:{node.lineno} {node.name}"


def main() -> int:
    """Print the budget and what uses it. Returns 1 when it is exceeded."""
    lines = {path: count_lines(path) for path in python_files()}
    engine = {path: code for path, (_, code) in lines.items() if path.is_relative_to(ENGINE)}
    tables = sum(code for path, code in engine.items() if not path.is_relative_to(ENGINE / "image"))
    long = sorted(((count, path) for path, (count, _) in lines.items() if count > LONG_FILE), reverse=True)
    print(f"engine for tables  {tables:>6,} lines of code of {TABLE_LINES:,}")
    print(f"engine in all      {sum(engine.values()):>6,} lines of code of {ALL_LINES:,}, {len(engine)} files")
    print(f"                   {sum(lines[path][0] for path in engine):>6,} with blank lines, comments and docstrings")
    print(f"files over {LONG_FILE}     {len(long):>6} of {LONG_FILES} allowed")
    for count, path in long:
        print(f"    {count:>4} {path.relative_to(ROOT).as_posix()}")
    print("largest functions of the engine, in lines")
    for count, place in sorted((found for path in engine for found in functions(path)), reverse=True)[:SHOWN_FUNCTIONS]:
        print(f"    {count:>4} {place.removeprefix(ENGINE.parent.name + '/')}")
    if tables > TABLE_LINES:
        print(f"the engine for tables is {tables - TABLE_LINES:,} lines over its budget (docs/design_decisions.md)")
    exceeded = tables > TABLE_CEILING or sum(engine.values()) > ALL_LINES or len(long) > LONG_FILES
    if exceeded:
        print("the size limit is exceeded: delete, or prefer a library", file=sys.stderr)
    return int(exceeded)


if __name__ == "__main__":
    sys.exit(main())
