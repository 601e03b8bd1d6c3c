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

# Lines of code, without blank lines, comments and docstrings. A budget is what was meant; a ceiling is where the engine
# stands today, above it: it may sink, it must not rise.
TABLE_LINES, TABLE_CEILING = 4500, 10_169  # the engine without what is for pictures alone
IMAGE_CEILING = 2090  # kgl/image and the contest of digits
ALL_LINES = 6000  # budget of both
PICTURES = (ENGINE / "image", ENGINE / "rehearsal" / "digits.py")
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
LONG_FILE = 350
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
    pictures = sum(code for path, code in engine.items() if any(path.is_relative_to(room) for room in PICTURES))
    tables = sum(engine.values()) - pictures
    long = sorted(((count, path) for path, (count, _) in lines.items() if count > LONG_FILE), reverse=True)
    for name, code, budget, ceiling in (
        ("engine for tables", tables, TABLE_LINES, TABLE_CEILING),
        ("rooms for pictures", pictures, ALL_LINES - TABLE_LINES, IMAGE_CEILING),
        ("engine in all", tables + pictures, ALL_LINES, TABLE_CEILING + IMAGE_CEILING),
    ):
        over = f": {code - budget:,} over" if code > budget else ""
        print(f"{name:<18} {code:>6,} lines of code, budget {budget:,}{over}, ceiling {ceiling:,}")
    print(f"                   {sum(lines[path][0] for path in engine):>6,} with blank lines, comments and docstrings")
    print(f"files over {LONG_FILE}     {len(long):>6}")
    for count, path in long:
        print(f"    {count:>4} {path.relative_to(ROOT).as_posix()}")
    print("largest functions of the engine, in lines")
    for count, place in sorted((found for path in engine for found in functions(path)), reverse=True)[:SHOWN_FUNCTIONS]:
        print(f"    {count:>4} {place.removeprefix(ENGINE.parent.name + '/')}")
    exceeded = tables > TABLE_CEILING or pictures > IMAGE_CEILING or len(long) > 0
    if exceeded:
        print("the size limit is exceeded: delete, or prefer a library", file=sys.stderr)
    return int(exceeded)


if __name__ == "__main__":
    sys.exit(main())
