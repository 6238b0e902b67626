"""What Trunkline answers, as types: dictionaries as they come, so that a field that is new does no harm.

Times are text in RFC 3339 and UTC, ids are text. What each field means stands in `/openapi.json`.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

State = Literal["queued", "submitting", "accepted", "completed", "failed", "held", "cancelled"]
Kind = Literal["provision", "update", "release"]
BatchState = Literal["running", "paused", "finished", "cancelled"]
Outcome = Literal["completed", "failed", "retry"]


class Request(TypedDict):
    """One asked-for change."""

    id: str
    kind: Kind
    upstream: str
    state: State
    reason: str | None
    detail: str | None
    number: str | None
    upstream_reference: str | None
    pool: str | None
    custom_id: str | None
    custom_group: str | None
    batch: str | None
    spec: dict[str, Any]
    attempts: int
    due_at: str | None
    deadline: str | None
    created_at: str
    updated_at: str
    finished_at: str | None


class Batch(TypedDict):
    """A bulk job, with exact counts by state."""

    id: str
    name: str
    state: BatchState
    total: int
    max_numbers: int | None
    counts: dict[str, int]
    created_at: str
    finished_at: str | None
    results_url: str


class RowFault(TypedDict):
    """A bad row of a file: its line from 1, its column, and a JSON pointer to the same in the row's JSON form."""

    line: int
    field: str | None
    pointer: str
    detail: str


class BatchTaken(Batch):
    """The batch, and what came of the rows. `errors` only with `partial`."""

    earlier_batch: str | None
    taken: int
    already_taken: int
    bad: int
    errors: list[RowFault]


class Number(TypedDict):
    """A number from when it came to when it was given up."""

    id: str
    number: str
    upstream: str
    upstream_reference: str | None
    request: str
    custom_id: str | None
    custom_group: str | None
    pool: str | None
    configuration: dict[str, Any]
    held_since: str
    changed_at: str
    released_at: str | None
    released_by: str | None


class _Told(TypedDict):
    type: str
    timestamp: str
    data: dict[str, Any]


class Event(_Told, total=False):
    """A result as it comes by webhook. `data` is what the GET of that object gives."""

    sequence: int
