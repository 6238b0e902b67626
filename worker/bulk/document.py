"""Requests from one JSON document: an array of them, or `{"name": …, "requests": […]}`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from worker.bulk.ndjson import row_of
from worker.bulk.row import Illegible, Row, RowFault
from worker.strict_json import DECODER, MOST_DEPTH, Unreadable, faults_in

LARGEST_DOCUMENT = 32 << 20
"""Bytes. A document is held in memory whole; NDJSON and CSV are not."""

_SPACE = re.compile(r"[ \t\r\n]*")


def read_document(stream: BinaryIO) -> Iterator[Row | RowFault]:
    """The rows, each with the line that it begins at. A fault that ends the reading is fatal."""
    try:
        scanner = _Scanner(_text(stream))
        found = False
        for row in scanner.rows():
            found = True
            yield row
        scanner.end()
    except Illegible as illegible:
        yield illegible.fault
        return
    if not found:
        yield RowFault(1, None, "there is no request in it", is_fatal=True)


def name_of_document(stream: BinaryIO) -> str | None:
    """The batch's name, where the document gives one. Leaves the stream where it was; a fault is none of ours here."""
    start = stream.tell()
    try:
        scanner = _Scanner(_text(stream))
        for _ in scanner.rows():
            pass
    except Illegible:
        return None
    finally:
        stream.seek(start)
    return scanner.name


def _text(stream: BinaryIO) -> str:
    raw = stream.read(LARGEST_DOCUMENT + 1)
    if len(raw) > LARGEST_DOCUMENT:
        limit = f"{LARGEST_DOCUMENT >> 20} MiB"
        raise Illegible(1, f"a JSON document may have {limit}: use NDJSON (one request a line) or CSV")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Illegible(line, f"byte 0x{raw[error.start]:02X} is not UTF-8: save the file as UTF-8") from None


class _Scanner:
    """Walks through a document element by element, so that each row knows its line."""

    def __init__(self, text: str) -> None:
        self.name: str | None = None
        self._text = text
        self._at = 0
        self._counted = (0, 1)  # up to which character lines are counted, and the line there

    def rows(self) -> Iterator[Row | RowFault]:
        if self._takes("["):
            yield from self._array()
        elif self._takes("{"):
            yield from self._members()
        else:
            raise self._illegible('expected an array of requests, or {"name": …, "requests": […]}')

    def end(self) -> None:
        self._skip_space()
        if self._at < len(self._text):
            raise self._illegible("something follows the end of the document (for one request a line, use NDJSON)")

    def _members(self) -> Iterator[Row | RowFault]:
        seen: set[str] = set()
        while not self._takes("}"):
            if seen:
                self._expect(",")
            key = self._value()
            if not isinstance(key, str) or key in seen:
                raise self._illegible(f"expected a name that does not stand there yet, not {key!r}")
            seen.add(key)
            self._expect(":")
            if key == "requests":
                self._expect("[")
                yield from self._array()
            else:
                self._take_member(key, self._value())
        if "requests" not in seen:
            raise self._illegible('a batch needs "requests": an array of requests')

    def _take_member(self, key: str, value: Any) -> None:
        if key != "name":
            raise self._illegible(f'a batch has "name" and "requests", not {key!r}')
        if not isinstance(value, str) or faults_in(value) or not 0 < len(value) <= 200:
            raise self._illegible("a batch's name is text of 1 to 200 characters")
        self.name = value

    def _array(self) -> Iterator[Row | RowFault]:
        is_first = True
        while not self._takes("]"):
            if not is_first:
                self._expect(",")
            is_first = False
            self._skip_space()
            line = self._line()
            value = self._value()
            try:
                yield row_of(line, value, faults_in(value))
            except Unreadable as error:
                yield RowFault(line, None, str(error))

    def _value(self) -> Any:
        self._skip_space()
        try:
            value, self._at = DECODER.raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            self._at = error.pos
            raise self._illegible(f"malformed JSON at column {error.colno}: {error.msg}") from None
        except Unreadable as error:
            raise self._illegible(str(error)) from None
        except RecursionError:
            raise self._illegible(f"nested more than {MOST_DEPTH} levels deep") from None
        return value

    def _takes(self, character: str) -> bool:
        self._skip_space()
        taken = self._text.startswith(character, self._at)
        self._at += taken
        return taken

    def _expect(self, character: str) -> None:
        if not self._takes(character):
            column = self._at - self._text.rfind("\n", 0, self._at)
            raise self._illegible(f"malformed JSON at column {column}: expected {character!r}")

    def _skip_space(self) -> None:
        match = _SPACE.match(self._text, self._at)
        assert match is not None  # it matches nothing at the least
        self._at = match.end()

    def _line(self) -> int:
        start, line = self._counted
        line += self._text.count("\n", start, self._at)
        self._counted = (self._at, line)
        return line

    def _illegible(self, detail: str) -> Illegible:
        return Illegible(self._text.count("\n", 0, self._at) + 1, detail)
