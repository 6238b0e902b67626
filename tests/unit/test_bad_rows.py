"""Gathering the faults of a file: all are counted, those that say something are told."""

from worker.bulk import Row, RowFault
from worker.fault import Fault
from worker.intake.bad_rows import MOST_ALIKE, MOST_TOLD, Findings

COLUMNS = frozenset({"upstream", "spec.name", "spec.service.type"})


def row(line: int) -> Row:
    return Row(line, {}, columns=COLUMNS)


def test_a_fault_names_the_column_as_the_file_does() -> None:
    findings = Findings()
    findings.add_row(row(3), [Fault("/spec/service/type", "is wrong")])
    assert findings.told() == [RowFault(3, "spec.service.type", "is wrong")]


def test_a_column_that_is_missing_is_one_fault_of_the_header_however_many_rows_need_it() -> None:
    findings = Findings()
    for line in range(2, 10_002):
        findings.add_row(row(line), [Fault("/spec/answer_point", "Field required")])
    (told,) = findings.told()
    assert (told.line, told.field) == (1, "spec.answer_point")
    assert "there is no column with this name" in told.detail
    assert "10,000 rows need it, first line 2" in told.detail
    assert findings.total_bad == 10_000


def test_an_empty_cell_of_a_column_that_is_there_is_a_fault_of_its_row() -> None:
    findings = Findings()
    findings.add_row(row(4), [Fault("/spec/name", "Field required"), Fault("/spec/service", "Field required")])
    assert [(told.line, told.field) for told in findings.told()] == [(4, "spec.name"), (4, "spec.service")]


def test_in_json_a_missing_field_is_a_fault_of_its_row() -> None:
    findings = Findings()
    findings.add_row(Row(7, {}), [Fault("/spec/answer_point", "Field required")])
    assert findings.told() == [RowFault(7, "spec.answer_point", "Field required")]


def test_a_thousand_faults_alike_leave_room_for_one_of_another_kind() -> None:
    findings = Findings()
    for line in range(2, 1_002):
        findings.add_row(row(line), [Fault("/upstream", "unknown")])
    findings.add_row(row(1_002), [Fault("/spec/name", "too long")])
    told = findings.told()
    assert [one.line for one in told] == [*range(2, 2 + MOST_ALIKE), 1_002]
    assert told[MOST_ALIKE - 1].detail == f"unknown (and {1_000 - MOST_ALIKE:,} more like this)"
    assert findings.total_bad == 1_001


def test_no_more_than_a_hundred_faults_are_told_and_all_bad_rows_counted() -> None:
    findings = Findings()
    for line in range(2, 502):
        findings.add_row(row(line), [Fault("/spec/name", f"is wrong: {line}")])
    assert len(findings.told()) == MOST_TOLD
    assert findings.total_bad == 500
