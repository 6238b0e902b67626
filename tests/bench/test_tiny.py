"""The benchmark still runs: every contender orders a few numbers, and its books are right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.__main__ import main
from tests.bench.end_to_end import OTHERS
from tests.bench.row import Aim, Row, as_json, as_table

PNG = b"\x89PNG"


@pytest.mark.timeout(400)
def test_it_measures_draws_and_tells(tmp_path: Path) -> None:
    assert main(["--size", "tiny", "--rounds", "1", "--out", str(tmp_path)]) == 0
    rates = [row for row in json.loads((tmp_path / "results.json").read_text()) if row["name"] == "end to end"]
    assert [row["peer"] for row in rates] == [entry.label for entry in OTHERS]
    assert all(row["value"] > 0 and row["ratio"] > 0 for row in rates)
    assert "| end to end |" in (tmp_path / "table.md").read_text()
    assert (tmp_path / "picture.png").read_bytes().startswith(PNG)


def test_a_row_is_a_median_beside_a_median() -> None:
    row = Row("end to end", [90.0, 100.0, 300.0], "requests/s", "plain", [10.0, 5.0, 20.0], Aim("\u2265", 12))
    assert (row.value, row.ratio, row.is_met) == (100.0, 10.0, False)
    assert json.loads(as_json([row]))[0] | {"name": "end to end", "aim": "\u2265 12 times", "met": False}
    shown = "| end to end | 100 requests/s | 90 to 300 | plain | 10 requests/s | 10.00 | \u2265 12 times | no |"
    assert shown in as_table([row])


@pytest.mark.parametrize(
    ("aim", "value", "is_met"),
    [
        (Aim("\u2264", 2.0, of_ratio=False), 2.0, True),
        (Aim("<", 2.0, of_ratio=False), 2.0, False),
        (Aim("\u2265", 2.0), 2.0, None),
    ],
)
def test_an_aim_is_of_the_figure_or_of_its_ratio(aim: Aim, value: float, is_met: bool | None) -> None:
    assert aim.is_met(value, None) is bool(is_met)
