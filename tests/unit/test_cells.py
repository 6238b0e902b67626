"""Reading the cells of a CSV by what the upstream's own check takes."""

from typing import Any

import pytest

from models.request import Kind
from tests.tiny_dialect import TinyDialect
from worker.intake.cells import Cells


def settle(spec: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    settled, faults = Cells().settle(TinyDialect(), Kind.PROVISION, spec)
    return settled, [fault.pointer for fault in faults]


@pytest.mark.parametrize(
    ("text", "meant"),
    [("true", True), ("TRUE", True), ("yes", True), ("1", True), ("false", False), ("No", False), ("0", False)],
)
def test_a_boolean_may_be_written_as_people_write_it(text: str, meant: bool) -> None:
    settled, faults = settle({"name": "x", "inner": {"recorded": text}})
    assert settled["inner"]["recorded"] is meant
    assert faults == []


@pytest.mark.parametrize("text", ["0280740801", "61280740801", "1", "true", "1e5", "[x]"])
def test_text_stays_text_where_text_is_wanted(text: str) -> None:
    settled, faults = settle({"name": text, "inner": {"phone": text}})
    assert settled == {"name": text, "inner": {"phone": text}}
    assert faults == []


@pytest.mark.parametrize(
    ("field", "text", "meant"),
    [
        ("seconds", "15", 15),
        ("seconds", "1", 1),
        ("seconds", "-3", -3),
        ("latitude", "-33.86", -33.86),
        ("emails", '["a@example.com", "b@example.com"]', ["a@example.com", "b@example.com"]),
    ],
)
def test_numbers_and_lists_are_read_where_they_are_wanted(field: str, text: str, meant: Any) -> None:
    settled, faults = settle({"name": "x", "inner": {field: text}})
    assert settled["inner"][field] == meant
    assert type(settled["inner"][field]) is type(meant)
    assert faults == []


@pytest.mark.parametrize(("field", "text"), [("recorded", "maybe"), ("seconds", "soon"), ("emails", "[1")])
def test_a_cell_that_cannot_mean_what_is_wanted_is_left_and_is_a_fault(field: str, text: str) -> None:
    settled, faults = settle({"name": "x", "inner": {field: text}})
    assert settled["inner"][field] == text
    assert faults == [f"/spec/inner/{field}"]


def test_a_list_with_a_wrong_item_is_read_and_the_item_is_the_fault() -> None:
    settled, faults = settle({"name": "x", "inner": {"emails": '["a@example.com", 1]'}})
    assert settled["inner"]["emails"] == ["a@example.com", 1]
    assert faults == ["/spec/inner/emails/1"]


def test_faults_that_are_not_about_cells_are_told_beside_cells_that_were_read() -> None:
    settled, faults = settle({"inner": {"recorded": "yes", "colour": "red"}})
    assert settled["inner"]["recorded"] is True
    assert sorted(faults) == ["/spec/inner/colour", "/spec/name"]


def test_a_column_is_learnt_once_and_then_costs_one_check_a_row() -> None:
    dialect, cells = TinyDialect(), Cells()
    cells.settle(dialect, Kind.PROVISION, {"name": "x", "inner": {"recorded": "yes"}})
    dialect.asked = 0
    for _ in range(10):
        settled, _ = cells.settle(dialect, Kind.PROVISION, {"name": "x", "inner": {"recorded": "no"}})
        assert settled["inner"]["recorded"] is False
    assert dialect.asked == 10


def test_a_column_that_was_learnt_as_whole_numbers_may_hold_a_fraction_later() -> None:
    class _Degrees(TinyDialect):
        def check(self, kind: Kind, spec: Any) -> list[Any]:
            value = spec["inner"]["latitude"]
            return [] if type(value) in (int, float) else super().check(kind, spec)

    dialect, cells = _Degrees(), Cells()
    read = []
    for text in ("7", "7.5", "8"):
        settled, _ = cells.settle(dialect, Kind.PROVISION, {"name": "x", "inner": {"latitude": text}})
        read.append(settled["inner"]["latitude"])
    assert read == [7, 7.5, 8.0]
