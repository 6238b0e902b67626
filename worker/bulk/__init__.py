"""Reading bulk files: CSV (`table`), NDJSON, and JSON documents, into rows that know their lines.

CSV and NDJSON stream: a file of a gigabyte takes no more memory than one of a page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, Literal

from worker.bulk.document import name_of_document, read_document
from worker.bulk.ndjson import read_ndjson
from worker.bulk.row import Row, RowFault
from worker.bulk.table import read_table

__all__ = ["Media", "Row", "RowFault", "name_of_document", "read"]

Media = Literal["csv", "ndjson", "json"]

_READERS: Mapping[Media, Callable[[BinaryIO], Iterator[Row | RowFault]]] = {
    "csv": read_table,
    "ndjson": read_ndjson,
    "json": read_document,
}


def read(stream: BinaryIO, media: Media) -> Iterator[Row | RowFault]:
    """The rows of a file and the faults of those that are none, in the file's order. The stream stays open."""
    return _READERS[media](stream)
