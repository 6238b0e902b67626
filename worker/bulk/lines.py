"""The lines of a text file: UTF-8, any line ending, one at a time, however large the file is."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator
from typing import BinaryIO

from worker.bulk.row import Illegible

LONGEST_LINE = 1 << 20
"""Characters. A request takes about a thousand; a line of a million is a file of another kind."""

_NOT_UTF8 = re.compile("[\udc80-\udcff]")
"""How `surrogateescape` hands on a byte that is no UTF-8. (Real UTF-8 cannot spell these.)"""

_NOT_TEXT = (
    (("\udcff\udcfe", "\udcfe\udcff"), "this is UTF-16: save the file as UTF-8"),
    (("PK\x03\x04",), "this is a spreadsheet or a zip archive, not text: export it as CSV in UTF-8"),
    (("\x1f\udc8b",), "this is a gzip archive: unpack it first"),
)
"""What files of other kinds begin with, and what to do with them."""


def text_lines(stream: BinaryIO) -> Iterator[str]:
    """The lines, each with its ending. A byte order mark is skipped; the stream is left open.

    Raises Illegible at the first line that is not UTF-8, or is too long.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        for number in itertools.count(1):
            line = text.readline(LONGEST_LINE)
            if not line:
                return
            _check(line, number)
            yield line
    finally:
        text.detach()


def _check(line: str, number: int) -> None:
    if number == 1:
        for starts, detail in _NOT_TEXT:
            if line.startswith(starts):
                raise Illegible(number, detail)
    if not line.isascii() and (wrong := _NOT_UTF8.search(line)):
        byte = ord(wrong.group()) - 0xDC00
        raise Illegible(
            number,
            f"character {wrong.start() + 1} is not UTF-8 (byte 0x{byte:02X}; is the file in Windows-1252 or Latin-1?):"
            " save the file as UTF-8",
        )
    if "\0" in line:
        raise Illegible(number, "the line holds U+0000: this is not a text file")
    if len(line) >= LONGEST_LINE:
        raise Illegible(number, f"the line is longer than {LONGEST_LINE:,} characters")
