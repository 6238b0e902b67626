"""Each thing that can be asked of Trunkline, as the question that asks it."""

from __future__ import annotations

import json
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar, cast
from urllib.parse import quote

from worker.client.asking import Patience, Pause, Plan, Question, Upload, ask
from worker.client.errors import StillOpen
from worker.client.shapes import Batch, BatchTaken, Number, Request

T = TypeVar("T")

Seen = TypeVar("Seen", Request, Batch)

MEDIA = {
    ".csv": "text/csv",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
    ".json": "application/json",
}


@dataclass(frozen=True, slots=True)
class Place(Generic[T]):
    """Where objects of one shape are listed, and found by id."""

    path: str


REQUESTS: Place[Request] = Place("/v1/requests")
BATCHES: Place[Batch] = Place("/v1/batches")
NUMBERS: Place[Number] = Place("/v1/numbers")

SETTLED = frozenset({"completed", "failed", "cancelled", "held"})
"""What comes next, if anything, is for a person to decide."""

ENDED = frozenset({"finished", "cancelled"})

FIRST_LOOK, LONGEST_LOOK = 0.5, 10.0
"""Seconds between two looks at what is waited for."""

Filters = Mapping[str, str | int | bool | None]


def submit(request: Mapping[str, Any], key: str | None, patience: Patience) -> Plan[Request]:
    key = key or uuid.uuid4().hex
    question = Question("POST", REQUESTS.path, headers={"Idempotency-Key": key}, json=request)
    return cast(Request, (yield from ask(question, patience, key)))


def one(place: Place[T], id_: str, patience: Patience) -> Plan[T]:
    return cast(T, (yield from ask(Question("GET", f"{place.path}/{_quoted(id_)}"), patience)))


def page(place: Place[T], filters: Filters, cursor: str | None, patience: Patience) -> Plan[tuple[list[T], str | None]]:
    """A page of a list, and the cursor of the next."""
    query = {name: _text(value) for name, value in {**filters, "cursor": cursor}.items() if value is not None}
    answer = yield from ask(Question("GET", place.path, query=query), patience)
    return answer["data"], answer["next_cursor"]


def steer(id_: str, verb: str, body: Mapping[str, Any] | None, patience: Patience) -> Plan[Request]:
    """Not safe to repeat: a second cancelling is refused, and a second look costs an upstream a call."""
    path = f"{REQUESTS.path}/{_quoted(id_)}/{verb}"
    return cast(Request, (yield from ask(Question("POST", path, is_safe=False, json=body), patience)))


def submit_batch(upload: Upload, media: str, filters: Filters, patience: Patience) -> Plan[BatchTaken]:
    """A file whose rows were all taken before answers with the batch that took them, not with the new empty one."""
    query = {name: _text(value) for name, value in filters.items() if value is not None}
    headers = {"Content-Type": media, "Content-Length": str(upload.size)}
    is_safe = not filters.get("again")
    question = Question("POST", BATCHES.path, is_safe, query=query, headers=headers, upload=upload)
    taken = cast(BatchTaken, (yield from ask(question, patience)))
    if taken["total"] == 0 and taken["earlier_batch"] is not None:
        earlier = yield from one(BATCHES, taken["earlier_batch"], patience)
        return cast(BatchTaken, {**taken, **earlier})
    return taken


def wait(id_: str, timeout: float, patience: Patience) -> Plan[Request]:
    return (yield from _wait(REQUESTS, id_, SETTLED, timeout, patience))


def wait_batch(id_: str, timeout: float, patience: Patience) -> Plan[Batch]:
    return (yield from _wait(BATCHES, id_, ENDED, timeout, patience))


def _wait(place: Place[Seen], id_: str, ends: frozenset[str], timeout: float, patience: Patience) -> Plan[Seen]:
    """Look until it has ended. Raises StillOpen after `timeout` seconds."""
    ends_at, pause = time.monotonic() + timeout, FIRST_LOOK
    while True:
        found = yield from one(place, id_, patience)
        if found["state"] in ends:
            return found
        left = ends_at - time.monotonic()
        if left <= 0:
            raise StillOpen(found)
        yield Pause(min(pause, left))
        pause = min(pause * 1.5, LONGEST_LOOK)


@contextmanager
def opened(
    rows: str | Path | Iterable[Mapping[str, Any]], on_progress: Callable[[int, int], None] | None
) -> Iterator[tuple[Upload, str]]:
    """A file to send, with its media type; rows are written to one that is deleted afterwards."""
    if isinstance(rows, str | Path):
        path = Path(rows)
        media = MEDIA.get(path.suffix.lower())
        if media is None:
            raise ValueError(f"rows: {path.name} must end in one of {', '.join(MEDIA)}, or nobody knows how to read it")
        with path.open("rb") as file:
            yield _upload(file, on_progress), media
    else:
        with tempfile.TemporaryFile() as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n")
            yield _upload(file, on_progress), MEDIA[".ndjson"]


def _upload(file: BinaryIO, on_progress: Callable[[int, int], None] | None) -> Upload:
    return Upload(file, file.seek(0, 2), on_progress)


def _quoted(text: str) -> str:
    if text in {"", ".", ".."}:
        raise ValueError(f"{text!r} names nothing: an id is needed")
    return quote(text, safe="")


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
