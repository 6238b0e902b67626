"""Bulk files on this machine: their format, their digest, and standard input."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from worker.bulk import Media
from worker.bulk.lines import LONGEST_LINE
from worker.cli.run import Refusal

STANDARD_INPUT = "-"

BLOCK = 1 << 20
"""Bytes read at a time."""

_BY_SUFFIX: Mapping[str, Media] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "json",
}


@contextmanager
def open_file(path: str) -> Iterator[BinaryIO]:
    """The file, or standard input, which is kept aside first: it is read twice. Raises Refusal."""
    if path == STANDARD_INPUT:
        with tempfile.TemporaryFile() as kept:
            shutil.copyfileobj(sys.stdin.buffer, kept)
            kept.seek(0)
            yield kept
        return
    with _opened(Path(path)) as file:
        yield file


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}") from None


def digest_of(file: BinaryIO) -> str:
    """SHA-256 in hex; leaves the file at its start."""
    digest = hashlib.sha256()
    while block := file.read(BLOCK):
        digest.update(block)
    file.seek(0)
    return digest.hexdigest()


def media_of(path: str, file: BinaryIO) -> Media:
    """The format, by the file's name or else by how it begins; leaves the file at its start."""
    if (media := _BY_SUFFIX.get(Path(path).suffix.lower())) is not None:
        return media
    start = file.readline(LONGEST_LINE).removeprefix(b"\xef\xbb\xbf").lstrip()
    file.seek(0)
    if not start.startswith((b"[", b"{")):
        return "csv"
    try:
        first = json.loads(start)
    except ValueError:
        return "json"  # a document goes on in the next line; a line of NDJSON is whole
    return "ndjson" if isinstance(first, dict) and "requests" not in first else "json"
