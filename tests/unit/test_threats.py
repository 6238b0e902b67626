"""The table of threats names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = [
    [cell.strip() for cell in line.strip().strip("|").split(" | ")]
    for line in (ROOT / "deploy" / "threats.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith(("| threat ", "| ---"))
]
NODE = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_the_table_has_rows_of_a_threat_a_control_and_a_test() -> None:
    assert len(ROWS) > 30
    assert {len(row) for row in ROWS} == {3}
    assert len({threat for threat, *_ in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_threats_test_exists(row: list[str]) -> None:
    named = NODE.findall(row[2])
    assert named, f"no test is named: {row[2]}"
    for file, name in named:
        found = ast.parse((ROOT / file).read_text()).body
        assert name in {one.name for one in found if isinstance(one, ast.FunctionDef)}, f"{file} has no {name}"
