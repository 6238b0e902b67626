"""Reading CSV: what a spreadsheet, an editor or a script may leave behind, and the line that an editor shows."""

import io
import itertools
from collections.abc import Iterator

import pytest

from worker import bulk
from worker.bulk import Row, RowFault
from worker.bulk.lines import LONGEST_LINE

HEADER = "upstream,custom_id,spec.name\n"


def read(text: str | bytes) -> list[Row | RowFault]:
    raw = text if isinstance(text, bytes) else text.encode()
    return list(bulk.read(io.BytesIO(raw), "csv"))


def rows(text: str | bytes) -> list[Row]:
    found = read(text)
    assert all(isinstance(one, Row) for one in found), found
    return [one for one in found if isinstance(one, Row)]


def fault(text: str | bytes) -> RowFault:
    """The one fault of a file that has one."""
    (found,) = [one for one in read(text) if isinstance(one, RowFault)]
    return found


def test_dotted_columns_become_nested_fields_and_empty_cells_are_absent() -> None:
    (row,) = rows(
        "upstream,kind,spec.service_number.szu,spec.service_number.country,spec.name\navanser,,sydney,AU,  \n"
    )
    assert row.body == {"upstream": "avanser", "spec": {"service_number": {"szu": "sydney", "country": "AU"}}}


def test_cells_stay_text_so_that_a_phone_number_keeps_its_zero() -> None:
    (row,) = rows("upstream,number\navanser,0280740801\n")
    assert row.body["number"] == "0280740801"


def test_the_idempotency_key_is_beside_the_body() -> None:
    (row,) = rows("upstream,idempotency_key\navanser,order-1\n")
    assert (row.idempotency_key, row.body) == ("order-1", {"upstream": "avanser"})


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_any_line_ending_with_and_without_a_byte_order_mark(end: str, mark: bytes) -> None:
    found = rows(mark + f"upstream,custom_id{end}avanser,a{end}avanser,b".encode())
    assert [(row.line, row.body["custom_id"]) for row in found] == [(2, "a"), (3, "b")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_comma_semicolon_and_tab_are_told_from_the_header(delimiter: str) -> None:
    text = "upstream,custom_id\navanser,a\n".replace(",", delimiter)
    assert rows(text)[0].body == {"upstream": "avanser", "custom_id": "a"}


def test_another_delimiter_is_refused_and_says_which_there_may_be() -> None:
    found = read("upstream|custom_id\navanser|a\n")
    assert all(isinstance(one, RowFault) and one.is_fatal for one in found)
    assert any("comma, semicolon or tab" in one.detail for one in found if isinstance(one, RowFault))


def test_a_cell_of_several_lines_counts_as_the_lines_it_has() -> None:
    found = rows(HEADER + 'avanser,a,"one\r\ntwo\nthree"\navanser,b,x\n')
    assert [(row.line, row.body["custom_id"]) for row in found] == [(2, "a"), (5, "b")]
    assert found[0].body["spec"]["name"] == "one\r\ntwo\nthree"


def test_blank_lines_before_the_header_between_rows_and_at_the_end_are_skipped_and_counted() -> None:
    found = rows("\n\n" + HEADER + "avanser,a,x\n\n,,\navanser,b,x\n\n,,\n")
    assert [row.line for row in found] == [4, 7]


def test_quotes_and_delimiters_inside_quotes() -> None:
    (row,) = rows(HEADER + 'avanser,a,"say ""hi"", then go"\n')
    assert row.body["spec"]["name"] == 'say "hi", then go'


def test_empty_columns_at_the_end_are_what_spreadsheets_leave() -> None:
    (row,) = rows("upstream,custom_id,,\navanser,a,,\n")
    assert row.body == {"upstream": "avanser", "custom_id": "a"}


def test_a_value_in_a_column_without_a_name_is_a_fault_of_its_row() -> None:
    found = fault("upstream,custom_id,\navanser,a,lost\n")
    assert (found.line, found.is_fatal) == (2, False)
    assert "'lost'" in found.detail


def test_a_missing_upstream_column_is_named_and_says_what_to_add() -> None:
    found = fault("custom_id,spec.name\na,x\n")
    assert (found.line, found.field, found.is_fatal) == (1, "upstream", True)
    assert "add it" in found.detail
    assert "avanser" in found.detail


@pytest.mark.parametrize(
    ("column", "hint"),
    [
        ("custom-id", "did you mean custom_id?"),
        ("Upstream", "did you mean upstream?"),
        ("notify_ur", "did you mean notify_url?"),
        ("service.type", "spec.service.type"),
        ("colour", "begin with spec."),
        ("spec..name", "between all of its dots"),
    ],
)
def test_an_unknown_column_is_named_with_what_may_be_meant(column: str, hint: str) -> None:
    found = fault(f"upstream,{column}\navanser,x\n")
    assert (found.line, found.field, found.is_fatal) == (1, column, True)
    assert hint in found.detail


def test_two_columns_of_one_name_are_refused() -> None:
    found = fault("upstream,custom_id,custom_id\navanser,a,b\n")
    assert (found.field, found.detail) == ("custom_id", "two columns have this name")


def test_a_column_with_a_value_and_nested_columns_is_refused() -> None:
    found = fault("upstream,spec.service,spec.service.type\navanser,a,b\n")
    assert found.field == "spec.service"
    assert found.is_fatal


@pytest.mark.parametrize(("row", "cells"), [("avanser,a", 2), ("avanser,a,x,y", 4)])
def test_a_ragged_row_is_a_fault_and_the_next_row_is_read(row: str, cells: int) -> None:
    ragged, good = read(HEADER + f"{row}\navanser,b,x\n")
    assert isinstance(ragged, RowFault)
    assert (ragged.line, ragged.is_fatal) == (2, False)
    assert f"{cells} cells, the header has 3" in ragged.detail
    assert isinstance(good, Row)
    assert good.line == 3


@pytest.mark.parametrize("text", ["", "\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_called_so(text: str | bytes) -> None:
    found = fault(text)
    assert (found.detail, found.is_fatal) == ("the file is empty", True)


def test_a_file_of_zero_rows_is_called_so() -> None:
    found = fault(HEADER)
    assert (found.line, found.detail, found.is_fatal) == (1, "there is no row after the header", True)


def test_another_encoding_is_named_with_line_and_character() -> None:
    first, last = read(HEADER.encode() + b"avanser,a,x\navanser,b,caf\xe9\n")
    assert isinstance(first, Row)
    assert isinstance(last, RowFault)
    assert (last.line, last.is_fatal) == (3, True)
    assert "character 14 is not UTF-8 (byte 0xE9" in last.detail


@pytest.mark.parametrize(
    ("start", "hint"),
    [
        ("upstream\n".encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04\x14\x00", "export it as CSV"),
        (b"\x1f\x8b\x08\x00", "unpack"),
        (b"upstream\x00\n", "not a text file"),
    ],
)
def test_a_file_of_another_kind_is_recognised(start: bytes, hint: str) -> None:
    found = fault(start)
    assert found.is_fatal
    assert hint in found.detail


def test_a_quote_that_is_not_closed_names_the_row_where_it_opens() -> None:
    found = fault(HEADER + 'avanser,a,x\navanser,b,"open\navanser,c,x\n')
    assert (found.line, found.is_fatal) == (3, True)
    assert "does not end" in found.detail


def test_a_quote_that_is_not_closed_in_a_long_file_is_found_before_the_file_is_in_memory() -> None:
    found = read(HEADER + 'avanser,b,"open\n' + "avanser,c,x\n" * 50_000)
    assert isinstance(found[-1], RowFault)
    assert found[-1].line == 2
    assert "does not end" in found[-1].detail


def test_text_after_a_closing_quote_is_refused() -> None:
    found = fault(HEADER + 'avanser,a,"x"y\n')
    assert (found.line, found.is_fatal) == (2, True)
    assert 'written twice ("")' in found.detail


def test_a_line_without_end_is_refused() -> None:
    found = fault(HEADER + "avanser,a," + "x" * LONGEST_LINE)
    assert (found.line, found.is_fatal) == (2, True)
    assert "longer than" in found.detail


class _Endless(io.RawIOBase):
    """A file that has no end, and remembers how much of it was asked for."""

    def __init__(self) -> None:
        self.given = 0
        self._lines: Iterator[bytes] = itertools.chain([HEADER.encode()], itertools.repeat(b"avanser,a,x\n" * 100))

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        block = next(self._lines)
        self.given += len(block)
        return block


def test_rows_are_read_as_they_are_asked_for_whatever_the_size_of_the_file() -> None:
    stream = _Endless()
    found = list(itertools.islice(bulk.read(stream, "csv"), 10_000))  # type: ignore[arg-type]
    assert len(found) == 10_000
    assert stream.given < 10_200 * len(b"avanser,a,x\n")


def test_the_stream_stays_open_for_whoever_gave_it() -> None:
    stream = io.BytesIO((HEADER + "avanser,a,x\n").encode())
    list(bulk.read(stream, "csv"))
    assert not stream.closed
