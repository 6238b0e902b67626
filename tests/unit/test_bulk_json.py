"""Reading NDJSON and JSON documents."""

import io
import json

import pytest

from worker import bulk
from worker.bulk import Media, Row, RowFault
from worker.bulk.document import LARGEST_DOCUMENT


def read(text: str | bytes, media: Media) -> list[Row | RowFault]:
    raw = text if isinstance(text, bytes) else text.encode()
    return list(bulk.read(io.BytesIO(raw), media))


def fault(text: str | bytes, media: Media) -> RowFault:
    (found,) = [one for one in read(text, media) if isinstance(one, RowFault)]
    return found


def lines(text: str, media: Media) -> list[int]:
    return [one.line for one in read(text, media) if isinstance(one, Row)]


def test_ndjson_has_a_row_a_line_and_skips_blank_ones() -> None:
    found = read('{"upstream":"a","n":1}\n\n  \r\n{"upstream":"b","idempotency_key":"k"}', "ndjson")
    assert found == [Row(1, {"upstream": "a", "n": 1}), Row(4, {"upstream": "b"}, "k")]


def test_ndjson_takes_a_byte_order_mark_and_crlf() -> None:
    assert read(b'\xef\xbb\xbf{"a":1}\r\n{"a":2}\r\n', "ndjson") == [Row(1, {"a": 1}), Row(2, {"a": 2})]


def test_malformed_ndjson_names_line_and_column_and_the_next_line_is_read() -> None:
    first, second = read('{"a": }\n{"a":2}\n', "ndjson")
    assert isinstance(first, RowFault)
    assert (first.line, first.is_fatal) == (1, False)
    assert "column 7" in first.detail
    assert second == Row(2, {"a": 2})


@pytest.mark.parametrize("value", ["[]", "3", '"text"', "null"])
def test_an_ndjson_line_that_is_no_object_is_a_fault(value: str) -> None:
    assert fault(f'{{"a":1}}\n{value}\n', "ndjson") == RowFault(2, None, "a request is a JSON object: {…}")


def test_a_key_that_is_no_text_is_a_fault_of_its_field() -> None:
    assert fault('{"idempotency_key": 7}', "ndjson").field == "idempotency_key"


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": 1, "a": 2}', '{"a":' * 100 + "1" + "}" * 100])
@pytest.mark.parametrize("media", ["ndjson", "json"])
def test_json_that_does_not_mean_one_thing_is_a_fault(text: str, media: Media) -> None:
    whole = text if media == "ndjson" else f"[{text}]"
    assert fault(whole, media).line == 1


@pytest.mark.parametrize("text", [r'{"custom_id": "a\u0000b"}', r'{"custom_id": "\ud800"}', '{"custom_id": 1e999}'])
def test_what_no_database_keeps_is_a_fault_of_its_field(text: str) -> None:
    assert fault(text, "ndjson").field == "custom_id"


def test_ndjson_in_another_encoding_names_the_line() -> None:
    found = read(b'{"a":1}\n{"a":"caf\xe9"}\n', "ndjson")
    assert isinstance(found[-1], RowFault)
    assert (found[-1].line, found[-1].is_fatal) == (2, True)


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_ndjson_without_a_row_is_called_so(text: str) -> None:
    assert fault(text, "ndjson").is_fatal


def test_a_document_is_an_array_whose_rows_know_their_lines() -> None:
    text = '[\n  {"a": 1},\n  {\n    "a": 2\n  }, {"a": 3}\n]\n'
    assert read(text, "json") == [Row(2, {"a": 1}), Row(3, {"a": 2}), Row(5, {"a": 3})]


@pytest.mark.parametrize("name_first", [True, False])
def test_a_document_may_have_a_name_before_or_after_its_requests(name_first: bool) -> None:
    members = [("name", "spring"), ("requests", [{"a": 1}])]
    raw = json.dumps(dict(members if name_first else members[::-1])).encode()
    stream = io.BytesIO(raw)
    assert bulk.name_of_document(stream) == "spring"
    assert list(bulk.read(stream, "json")) == [Row(1, {"a": 1})]


def test_an_array_has_no_name() -> None:
    assert bulk.name_of_document(io.BytesIO(b'[{"a": 1}]')) is None


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("", 1, "expected an array"),
        ("3", 1, "expected an array"),
        ('[{"a": 1}\n{"a": 2}]', 2, "expected ','"),
        ('[{"a": 1},\n\n{"a": }]', 3, "column 7"),
        ('[{"a": 1},]', 1, "malformed JSON"),
        ('[{"a": 1}]\n{"a": 2}', 2, "use NDJSON"),
        ('{"name": "x"}', 1, '"requests"'),
        ('{"requests": [{}],\n"colour": 1}', 2, "not 'colour'"),
        ('{"name": "", "requests": []}', 1, "1 to 200"),
        ('{"name": "a", "name": "b"}', 1, "does not stand there yet"),
        ("[]", 1, "no request"),
        ('{"requests": []}', 1, "no request"),
        ('[{"a": 1}', 1, "malformed JSON"),
    ],
)
def test_a_document_that_cannot_be_read_names_the_line(text: str, line: int, hint: str) -> None:
    found = fault(text, "json")
    assert (found.line, found.is_fatal) == (line, True)
    assert hint in found.detail


def test_a_bad_element_is_a_fault_of_its_row_alone() -> None:
    first, second = read('[\n3,\n{"a": 1}]', "json")
    assert first == RowFault(2, None, "a request is a JSON object: {…}")
    assert second == Row(3, {"a": 1})


def test_a_document_in_another_encoding_names_the_line() -> None:
    found = fault(b'[\n{"a": "caf\xe9"}]', "json")
    assert (found.line, found.is_fatal) == (2, True)


def test_a_document_too_large_for_memory_points_to_formats_that_stream() -> None:
    found = fault(b"[" + b" " * LARGEST_DOCUMENT + b"]", "json")
    assert found.is_fatal
    assert "NDJSON" in found.detail
