"""The benchmark still runs: every contender orders a few numbers, and its books are right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench import end_to_end
from tests.bench.__main__ import PARTS, main
from tests.bench.alone import Part
from tests.bench.curve import Curve, Look, Span, draw
from tests.bench.end_to_end import EMBEDDED, OTHERS, OURS, TINY, Entry, run
from tests.bench.limits import most_within
from tests.bench.row import Aim, Row, as_json, as_table, percentile
from tests.bench.stage import Stage, stage
from tests.conftest import or_skip

PNG = b"\x89PNG"


pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with or_skip(), stage(tmp_path_factory.mktemp("pictures")) as running:
        yield running


@pytest.mark.parametrize("entry", [OURS, EMBEDDED, *OTHERS], ids=lambda entry: entry.label)
def test_every_contender_still_runs_and_its_books_are_right(on: Stage, entry: Entry) -> None:
    done = run(on, entry.name, TINY, **entry.settings)
    assert done.is_right, str(done)
    assert done.rate > 0


@pytest.mark.parametrize("part", PARTS[1:], ids=lambda part: part.__module__)
def test_every_other_part_still_runs_and_its_books_are_right(on: Stage, part: Part) -> None:
    measured = part(on, is_full=False, rounds=1)
    assert measured
    assert all(len(row.values) == 1 for row in measured)


def test_the_command_leaves_a_table_figures_and_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(end_to_end, "OTHERS", OTHERS[-1:])
    monkeypatch.setattr(bench, "PARTS", PARTS[:1])
    with or_skip():
        assert main(["--size", "tiny", "--rounds", "1", "--out", str(tmp_path)]) == 0
    rates = [row for row in json.loads((tmp_path / "results.json").read_text()) if row["name"] == "end to end"]
    assert [row["peer"] for row in rates] == [OTHERS[-1].label]
    assert all(row["value"] > 0 and row["ratio"] > 0 for row in rates)
    assert "| end to end |" in (tmp_path / "table.md").read_text()
    assert (tmp_path / "picture.png").read_bytes().startswith(PNG)


def test_a_row_is_a_median_beside_a_median() -> None:
    row = Row("end to end", [90.0, 100.0, 300.0], "requests/s", "plain", [10.0, 5.0, 20.0], Aim("\u2265", 12))
    assert (row.value, row.ratio, row.is_met) == (100.0, 10.0, False)
    assert json.loads(as_json([row]))[0] | {"name": "end to end", "aim": "\u2265 12 times", "met": False}
    shown = "| end to end | 100 requests/s | 90 to 300 | plain | 10 requests/s | 10.00 | \u2265 12 times | no |"
    assert shown in as_table([row])


@pytest.mark.parametrize(("share", "expected"), [(0.5, 100), (0.99, 198), (1.0, 200)])
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(share: float, expected: float) -> None:
    assert percentile(range(200, 0, -1), share) == expected


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


@pytest.mark.parametrize(("times", "expected"), [([], 0), ([0.75, 1.0, 1.5, 1.75, 3.0], 3), ([0.0, 1.0, 2.0], 1)])
def test_the_most_within_a_second_is_looked_for_wherever_a_second_begins(times: list[float], expected: int) -> None:
    assert most_within(times, 1.0) == expected


def test_a_rate_is_reached_when_it_has_held_and_a_curve_leaves_a_picture(tmp_path: Path) -> None:
    well, again = Span("well", 0.0, 10.0), Span("well again", 10.0, 30.0)
    arrived = [number / 10 for number in range(100)] + [15 + number / 10 for number in range(150)]
    curve = Curve([well, again], arrived, [Look(at / 4, at % 7, at // 8) for at in range(120)])
    assert curve.rate(well) == 10
    assert curve.reached_after(again, 9) == 8  # they come again after 5 s, and have done so for 3
    assert curve.reached_after(again, 11) == 20
    draw(curve, 10, 7, tmp_path / "pictures" / "limits.png")
    assert (tmp_path / "pictures" / "limits.png").read_bytes().startswith(PNG)
