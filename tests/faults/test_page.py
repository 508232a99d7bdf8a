"""docs/faults.md: every row of its table says what to see and to do, and names a test that is there."""

from __future__ import annotations

import ast
import re

from tests.copies import ROOT

ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| fault |", "| **"))
]


def functions(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_row_of_the_faults_names_a_test_that_is_there():
    assert len(ROWS) > 15 and all(len(row) == 4 and all(row) for row in ROWS)
    names = [re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", shown) for *_, shown in ROWS]
    assert all(names)
    assert [(file, test) for found in names for file, test in found if test not in functions(file)] == []


def test_every_test_of_real_faults_is_in_the_table():
    text = " ".join(shown for *_, shown in ROWS)
    for path in sorted((ROOT / "tests" / "faults").glob("test_*.py")):
        if path.stem != "test_page":
            tests = {name for name in functions(path) if name.startswith("test_")}
            assert [name for name in tests if f"{path.name}::{name}" not in text] == []
