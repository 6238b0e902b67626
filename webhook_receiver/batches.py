"""Batches over HTTP: take a file of requests, count it, and give its results."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, BinaryIO
from uuid import UUID

import flask
import sqlalchemy as sa
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ConfigDict, Field, RootModel, StringConstraints
from sqlalchemy.orm import Session

from models import counter
from models.base import read, write
from models.batch import Batch, view
from models.requester import Caller, Scope
from webhook_receiver import results, schemas
from webhook_receiver.bodies import require_length, require_media_type, spooled
from webhook_receiver.context import here
from webhook_receiver.operations import JSON, Answer, Api
from webhook_receiver.problems import Problem, not_found
from webhook_receiver.queries import PageQuery, Query, page
from webhook_receiver.requests import actor_of
from worker import batch_steering, bulk, hints, logs, strict_json
from worker.bulk import Media, RowFault
from worker.bulk.document import LARGEST_DOCUMENT
from worker.intake import BadRows, BatchTaken
from worker.intake.body import RequestBody
from worker.steering import NotNow
from worker.strict_json import printable

MOST_NUMBERS = 2**31 - 1

MEDIA: dict[str, Media] = {JSON: "json", "application/x-ndjson": "ndjson", "text/csv": "csv"}

batches = Api("batches")


class BatchDocument(BaseModel):
    """A batch with its name."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    requests: Annotated[list[RequestBody], Field(min_length=1)]


class BatchBody(RootModel[BatchDocument | Annotated[list[RequestBody], Field(min_length=1)]]):
    """A batch as one JSON document, with its name or as a bare array of requests."""


class BatchQuery(Query):
    max_numbers: Annotated[
        int | None,
        Field(
            ge=1, le=MOST_NUMBERS, description="The most numbers that may be bought for this batch; the others wait."
        ),
    ] = None
    partial: Annotated[bool, Field(description="Take the good rows even if others are bad.")] = False
    again: Annotated[
        bool, Field(description="Take once more what was taken of this very file before, where it has no key.")
    ] = False
    name: Annotated[
        str | None, Field(max_length=200, description="What to call the batch; without it, the time it came.")
    ] = None


@batches.operation(
    "POST",
    "/v1/batches",
    Scope.SUBMIT,
    {202: Answer(schemas.BatchTaken, location=True)},
    query=BatchQuery,
    bodies={JSON: BatchBody, "application/x-ndjson": None, "text/csv": None},
    problems=(411,),
)
def create_batch(caller: Caller, query: BatchQuery) -> ResponseReturnValue:
    """Ask for many changes at once, in JSON, NDJSON or CSV.

    Nothing is taken unless all rows are good (or `?partial=true`); the answer names every bad row by its line and
    field. The same file again takes no row twice, and neither does another file whose rows have the same `custom_id` or
    `idempotency_key`.
    """
    media = MEDIA[require_media_type(MEDIA)]
    if media != "json":
        require_length(here().limits.batch)
    with spooled(here().limits.batch) as (file, digest):
        try:
            taken = _take(caller, query, file, media, digest)
        except BadRows as error:
            raise _refusal(error, file, media) from None
    logs.say(batch_id=taken.batch_id)
    for upstream in taken.upstreams:
        hints.upstream(upstream, taken.taken)
    hints.deliveries()
    shown = _find(caller, taken.batch_id) | {
        "taken": taken.taken,
        "already_taken": taken.already_taken,
        "earlier_batch": taken.earlier_batch_id,
        "bad": taken.bad,
        "errors": [_error(fault) for fault in taken.faults],
    }
    return flask.jsonify(shown), HTTPStatus.ACCEPTED, {"Location": f"/v1/batches/{taken.batch_id}"}


def _take(caller: Caller, query: BatchQuery, file: BinaryIO, media: Media, digest: str) -> BatchTaken:
    now = here().clock.now()
    name = query.name or (bulk.name_of_document(file) if media == "json" else None)
    return here().intake.take_batch(
        caller.requester_id,
        bulk.read(file, media),
        name=name or f"batch of {now:%Y-%m-%d %H:%M:%S}",
        source_digest=digest,
        partial=query.partial,
        again=query.again,
        now=now,
        actor=actor_of(caller),
        key_id=caller.key_id,
        max_numbers=query.max_numbers,
    )


def _refusal(error: BadRows, file: BinaryIO, media: Media) -> Problem:
    """400 for a document that is no JSON at all; 422 for rows that are wrong, and for files with none."""
    errors = [_error(fault) for fault in error.faults]
    if media == "json" and any(fault.is_fatal for fault in error.faults):
        file.seek(0)
        try:
            strict_json.parse(file.read(LARGEST_DOCUMENT + 1))
        except strict_json.Unreadable as unreadable:
            return Problem(HTTPStatus.BAD_REQUEST, "unreadable", f"The body is {unreadable}.", errors=errors)
    detail = f"Nothing was taken: {error}."
    counts = {"total": error.total, "bad": error.total_bad}
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "bad_rows", detail, errors=errors, more=counts)


def _error(fault: RowFault) -> dict[str, Any]:
    """`field` as a CSV's column; `pointer` to the same in the JSON form of that one row."""
    pointer = "" if fault.field is None else "/" + fault.field.replace(".", "/")
    return {"line": fault.line, "field": fault.field, "pointer": pointer, "detail": printable(fault.detail)}


@batches.operation("GET", "/v1/batches", Scope.READ, {200: Answer(schemas.Page[schemas.BatchShape])}, query=PageQuery)
def list_batches(caller: Caller, query: PageQuery) -> ResponseReturnValue:
    """Batches, newest first."""
    statement = sa.select(Batch).where(Batch.requester_id == caller.requester_id)

    def work(session: Session) -> dict[str, Any]:
        found = page(session, statement, Batch.id, query, lambda batch: view(batch, {}))
        counts = counter.of_batches(session, [UUID(shown["id"]) for shown in found["data"]])
        for shown in found["data"]:
            shown["counts"] |= counts.get(UUID(shown["id"]), {})
        return found

    return flask.jsonify(read(here().engine, work))


@batches.operation("GET", "/v1/batches/<uuid:batch_id>", Scope.READ, {200: Answer(schemas.BatchShape)})
def show_batch(caller: Caller, batch_id: UUID) -> ResponseReturnValue:
    """One batch, with exact counts by state."""
    return flask.jsonify(_find(caller, batch_id))


@batches.operation(
    "POST",
    "/v1/batches/<uuid:batch_id>/pause",
    Scope.OPERATE,
    {200: Answer(schemas.BatchShape)},
    problems=(409,),
)
def pause_batch(caller: Caller, batch_id: UUID) -> ResponseReturnValue:
    """Order nothing more of a batch until it is resumed. What is ordered goes on to its end."""
    return _steer(caller, batch_id, batch_steering.pause)


@batches.operation(
    "POST",
    "/v1/batches/<uuid:batch_id>/resume",
    Scope.OPERATE,
    {200: Answer(schemas.BatchShape)},
    problems=(409,),
)
def resume_batch(caller: Caller, batch_id: UUID) -> ResponseReturnValue:
    """Let a paused batch go on."""
    return _steer(caller, batch_id, batch_steering.resume)


@batches.operation(
    "POST",
    "/v1/batches/<uuid:batch_id>/cancel",
    Scope.OPERATE,
    {200: Answer(schemas.BatchShape)},
    problems=(409,),
)
def cancel_batch(caller: Caller, batch_id: UUID) -> ResponseReturnValue:
    """Withdraw all of a batch that is not ordered yet. What is ordered goes on to its end.

    The answer comes at once; the requests follow, some thousands a second.
    """
    return _steer(caller, batch_id, batch_steering.cancel)


def _steer(caller: Caller, batch_id: UUID, act: Callable[[Session, UUID, str], Batch]) -> ResponseReturnValue:
    def work(session: Session) -> dict[str, Any]:
        _owned(session, caller, batch_id)
        return view(act(session, batch_id, actor_of(caller)), counter.of_batch(session, batch_id))

    try:
        return flask.jsonify(write(here().engine, work))
    except NotNow as error:
        raise Problem(HTTPStatus.CONFLICT, "not_now", f"Not now: {error}.") from None


@batches.operation("GET", "/v1/batches/<uuid:batch_id>/results.csv", Scope.READ, {200: Answer(None, "text/csv")})
def results_csv(caller: Caller, batch_id: UUID) -> ResponseReturnValue:
    """What became of each request of a batch, in input order, as a table for spreadsheets."""
    _find(caller, batch_id)
    return results.csv_file(here().engine, batch_id)


@batches.operation(
    "GET", "/v1/batches/<uuid:batch_id>/results.ndjson", Scope.READ, {200: Answer(None, "application/x-ndjson")}
)
def results_ndjson(caller: Caller, batch_id: UUID) -> ResponseReturnValue:
    """What became of each request of a batch, in input order, one JSON object a line."""
    _find(caller, batch_id)
    return results.ndjson_file(here().engine, batch_id)


def _find(caller: Caller, batch_id: UUID) -> dict[str, Any]:
    def work(session: Session) -> dict[str, Any]:
        return view(_owned(session, caller, batch_id), counter.of_batch(session, batch_id))

    return read(here().engine, work)


def _owned(session: Session, caller: Caller, batch_id: UUID) -> Batch:
    batch = session.get(Batch, batch_id)
    if batch is None or batch.requester_id != caller.requester_id:
        raise not_found()
    return batch
