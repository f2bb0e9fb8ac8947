"""Lines of code of the four packages, without blank lines, comments and docstrings: `python -m tests.size`.

Also lists the modules and functions that are longer than they may be, docstrings and blanks included.
"""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("flows", "tasks", "expectations", "infra")
MODULE_LINES = 350
FUNCTION_LINES = 60

LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def code_lines(source: str) -> int:
    """The number of lines that hold a token of code; a string that stands as a statement is documentation."""
    documentation: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            documentation.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - documentation)


def long_functions(source: str) -> list[tuple[str, int]]:
    """Names and lengths in lines of the functions that are longer than `FUNCTION_LINES`."""
    functions = (one for one in ast.walk(ast.parse(source)) if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)))
    lengths = ((one.name, (one.end_lineno or one.lineno) - one.lineno + 1) for one in functions)
    return [(name, length) for name, length in lengths if length > FUNCTION_LINES]


def main() -> None:
    """Print the table."""
    total, too_long = 0, []
    for package in PACKAGES:
        lines = 0
        for path in sorted((ROOT / package).rglob("*.py")):
            source, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT)
            lines += code_lines(source)
            length = len(source.splitlines())
            too_long += [f"{name}: {length} lines"] if length > MODULE_LINES else []
            too_long += [f"{name}: {function} has {length} lines" for function, length in long_functions(source)]
        total += lines
        print(f"{package:<14}{lines:>7,}")
    print(f"{'in all':<14}{total:>7,}")
    print(f"modules over {MODULE_LINES} lines and functions over {FUNCTION_LINES}: {len(too_long) or 'none'}")
    for line in too_long:
        print(f"  {line}")


if __name__ == "__main__":
    main()
