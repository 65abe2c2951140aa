"""Writes tests/FAULTS.md from the marks of the tests: `python tests/fault_table.py`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
TABLE = TESTS / "FAULTS.md"
HEAD = """# Faults

What can break, what follows, and the test that shows it. Written by `python tests/fault_table.py` from the marks of
the tests; a test holds it against them. Each of these tests ends with the ledger, which is also `cifar-search doctor`.

| fault | what follows | test |
|---|---|---|
"""


def table() -> str:
    """The whole page."""
    return HEAD + "".join(f"| {fault} | {then} | `{test}` |\n" for fault, then, test in rows())


def rows() -> Iterator[tuple[str, str, str]]:
    """Fault, what follows, test: of every test with the mark `fault`, by file and place."""
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                yield from ((*words(mark), f"{path.relative_to(TESTS)}::{node.name}") for mark in marks(node))


def marks(test: ast.FunctionDef) -> Iterator[ast.Call]:
    for decorator in test.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.fault":
            yield decorator


def words(mark: ast.Call) -> tuple[str, str]:
    fault, then = (ast.literal_eval(value) for value in (mark.args[0], mark.keywords[0].value))
    return fault, then


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
