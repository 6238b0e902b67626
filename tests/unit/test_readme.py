"""The README's table of features names tests; each of them is there, and no capability stands without one."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
README = (TESTS.parent / "README.md").read_text()

FEATURES = README.partition("## What the upstreams can do here")[2].partition("\n## ")[0]
ROWS = [
    line for line in FEATURES.splitlines() if line.startswith("| ") and not line.startswith(("| ---", "| capability"))
]


def test_every_capability_of_each_vendor_has_its_row() -> None:
    assert len(ROWS) >= 35


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_the_test_that_a_row_names_is_there(row: str) -> None:
    found = re.fullmatch(r"(?:(unit|chaos)/)?(test_\w+\.py)::(test_\w+)", row.split("|")[3].strip().strip("`"))
    assert found is not None, "a row names one test"
    folder, file, test = found.groups()
    text = (TESTS / (folder or "integration") / file).read_text()
    assert f"\ndef {test}(" in text
