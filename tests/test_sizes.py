"""Files and functions stay small enough to be read at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import dragoman

SOURCES = sorted(Path(dragoman.__file__).parent.rglob("*.py"))
MOST_OF_A_FILE, MOST_OF_A_FUNCTION = 400, 60  # lines; of a function without its docstrings


def functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every function with its lines, those of docstrings in it left out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield f"{node.lineno}: {node.name}", node.end_lineno - node.lineno + 1 - docstrings(node)


def docstrings(tree: ast.AST) -> int:
    found = 0
    for node in ast.walk(tree):
        match node:
            case (
                ast.FunctionDef(body=[ast.Expr(value=ast.Constant(value=str())) as text, *_])
                | ast.AsyncFunctionDef(body=[ast.Expr(value=ast.Constant(value=str())) as text, *_])
                | ast.ClassDef(body=[ast.Expr(value=ast.Constant(value=str())) as text, *_])
            ):
                assert text.end_lineno is not None
                found += text.end_lineno - text.lineno + 1
    return found


def test_no_file_and_no_function_is_long() -> None:
    long = []
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        if (lines := text.count("\n")) > MOST_OF_A_FILE:
            long.append(f"{path}: {lines} lines")
        long += [
            f"{path}:{name}: {lines} lines" for name, lines in functions(ast.parse(text)) if lines > MOST_OF_A_FUNCTION
        ]
    assert not long, "\n".join(long)


def test_docstrings_do_not_count() -> None:
    code = 'def long():\n    """One.\n\n    Two."""\n    def inner():\n        """Three."""\n        return 1\n    return inner\n'
    assert dict(functions(ast.parse(code))) == {"1: long": 4, "5: inner": 2}
