"""The answers' forms, for the OpenAPI document; the tests hold every answer against them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from models.batch import BatchState
from models.delivery import DeliveryState
from models.endpoint import EventType
from models.event import EventKind
from models.outage import Health as EndpointHealth
from models.reconciliation import FindingKind
from models.request import Kind
from models.state import State
from worker.explain.explanation import NextStep, Risk

T = TypeVar("T")


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Page(Shape, Generic[T]):
    """Newest first. `next_cursor` is null on the last page."""

    data: list[T]
    next_cursor: str | None


class RequestShape(Shape):
    """One asked-for change."""

    model_config = ConfigDict(title="Request")

    id: UUID
    kind: Kind
    upstream: str
    state: State
    reason: str | None = Field(description="A stable code, such as `out_of_stock`; null when there is nothing to say.")
    detail: str | None = Field(description="A sentence for people.")
    number: str | None = Field(description="E.164.")
    upstream_reference: str | None
    pool: str | None = Field(description="The stock that the number was taken from, where the upstream tells.")
    custom_id: str | None
    custom_group: str | None
    batch: UUID | None
    spec: dict[str, Any]
    attempts: int
    due_at: datetime | None = Field(description="When it is next looked at; null when nothing is due.")
    deadline: datetime | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None


class TimelineEntry(BaseModel):
    """What happened, when, and by whom. `from` and `to` on `state`; further members by type."""

    model_config = ConfigDict(extra="allow")

    at: datetime
    type: EventKind
    actor: str
    reason: str | None
    detail: str | None


class Timeline(Shape):
    """Oldest first, whole."""

    data: list[TimelineEntry]
    next_cursor: None


class EvidenceShape(Shape):
    at: datetime
    said: str


class NextShape(Shape):
    step: NextStep
    at: datetime | None = Field(description="The earliest; null where nobody knows, or nothing comes.")
    detail: str


class ActionShape(Shape):
    name: str = Field(description="A stable code, such as `retry` or `resolve_completed`.")
    risk: Risk
    command: str = Field(description="What to type where `trunkline` is installed.")
    effect: str


class ExplanationShape(Shape):
    """What is known about a request, what comes next, and what a person may do. Sentences are for people."""

    model_config = ConfigDict(title="Explanation")

    id: UUID
    upstream: str
    state: State
    reason: str | None
    since: datetime = Field(description="When it came to this state, for this reason.")
    known: list[str]
    evidence: EvidenceShape | None = Field(description="The last that was heard about it.")
    next: NextShape
    stuck: str | None = Field(description="Why what should have happened has not; null where all goes as it should.")
    results: list[str] = Field(description="What became of telling the requester.")
    actions: list[ActionShape]


class BatchShape(Shape):
    """A bulk job, with exact counts."""

    model_config = ConfigDict(title="Batch")

    id: UUID
    name: str
    state: BatchState
    total: int
    max_numbers: int | None = Field(description="The most numbers that may be bought for it.")
    counts: dict[State, int]
    created_at: datetime
    finished_at: datetime | None
    results_url: str = Field(description="Where each request is with what came of it, in input order; under our base.")


class RowFault(Shape):
    """A bad row: its line in the file (from 1), its column, and a JSON pointer to the same in the row's JSON form."""

    line: int
    field: str | None
    pointer: str
    detail: str


class BatchTaken(BatchShape):
    """The batch, and what came of the file's rows. `errors` only with `?partial=true`."""

    model_config = ConfigDict(title="BatchTaken")

    taken: int = Field(description="Rows that became requests now.")
    already_taken: int = Field(description="Rows whose request was there before, with the same body.")
    earlier_batch: UUID | None = Field(description="The latest that took rows of this very file before; else null.")
    bad: int
    errors: list[RowFault]


class NumberShape(Shape):
    """A number from when we got it to when we gave it up. One that comes back later is another."""

    model_config = ConfigDict(title="Number")

    id: UUID
    number: str = Field(description="E.164.")
    upstream: str
    upstream_reference: str | None
    request: UUID = Field(description="That it came from; of a number older than Trunkline, the first that changed it.")
    custom_id: str | None
    custom_group: str | None
    pool: str | None = Field(description="The stock that it was taken from, where the upstream tells.")
    configuration: dict[str, Any] = Field(description="As it was asked for, with every update since.")
    held_since: datetime
    changed_at: datetime
    released_at: datetime | None = Field(description="When it was given up; null while it is held.")
    released_by: UUID | None = Field(description="The request that gave it up; null where it was lost otherwise.")


class CallShape(Shape):
    """A finished call on a number."""

    model_config = ConfigDict(title="Call")

    id: UUID
    upstream: str
    upstream_reference: str
    request: UUID
    number: str | None
    caller: str | None
    answer_point: str | None
    status: str | None
    duration: int | None = Field(description="Seconds.")
    started_at: datetime | None
    started_at_raw: str | None
    parameters: dict[str, Any]
    received_at: datetime


class MessageShape(Shape):
    """A text message to a number."""

    model_config = ConfigDict(title="Message")

    id: UUID
    upstream: str
    upstream_reference: str
    request: UUID
    number: str | None
    sender: str | None
    text: str | None
    sent_at: datetime | None
    sent_at_raw: str | None
    parameters: dict[str, Any]
    received_at: datetime


class EndpointShape(Shape):
    """Where results go."""

    model_config = ConfigDict(title="Endpoint")

    id: UUID
    name: str
    url: str
    types: list[EventType]
    description: str | None
    created_at: datetime
    disabled_at: datetime | None
    disabled_reason: str | None
    previous_secret_expires_at: datetime | None
    health: EndpointHealth = Field(
        description="`open` and `paused`: results wait, and one at a time is sent as a probe."
    )
    failing_since: datetime | None
    paused_at: datetime | None
    next_probe_at: datetime | None
    last_error: str | None


class EndpointWithSecret(EndpointShape):
    """The secret is shown this once."""

    model_config = ConfigDict(title="EndpointWithSecret")

    secret: str


class DeliveryShape(Shape):
    """One result on its way to an endpoint."""

    model_config = ConfigDict(title="Delivery")

    id: UUID = Field(description="The `webhook-id`.")
    event: UUID = Field(description="What it tells, as `GET /v1/events` names it: the same for all endpoints.")
    type: str
    state: DeliveryState
    endpoint: UUID | None
    url: str | None
    request: UUID | None
    batch: UUID | None
    attempts: int
    last_status: int | None
    last_error: str | None
    due_at: datetime | None
    created_at: datetime
    delivered_at: datetime | None


class DeliveryAttemptShape(Shape):
    """One try to hand over a result."""

    model_config = ConfigDict(title="DeliveryAttempt")

    at: datetime = Field(description="When it ended.")
    status: int | None = Field(description="The HTTP status; null where no answer came.")
    latency_ms: int
    error: str | None
    answer: str | None = Field(description="How the answer's body began, with secrets and telephone numbers masked.")


class DeliveryWithLog(DeliveryShape):
    """One result, and every try to hand it over: the latest hundred, oldest first."""

    model_config = ConfigDict(title="DeliveryWithLog")

    attempts_log: list[DeliveryAttemptShape]


class Replayed(Shape):
    """How many results are sent again."""

    replayed: int
    until: datetime | None = Field(description="When the last of them is due: they go out some each second.")


class EventShape(Shape):
    """Something that you were to be told."""

    model_config = ConfigDict(title="Event")

    id: UUID = Field(description="The `event` of its deliveries; of the first of them, the `webhook-id`.")
    type: str
    timestamp: datetime
    sequence: int | None = Field(description="Which of the changes of its request it tells, from 1.")
    request: UUID | None
    batch: UUID | None
    data: dict[str, Any]


class Events(Shape):
    """Oldest first. `next_cursor` is always given: ask again with it for what came since."""

    data: list[EventShape]
    next_cursor: str


class StockShape(Shape):
    """A number that could be ordered now."""

    model_config = ConfigDict(title="StockRow")

    number: str
    country: str | None
    region: str | None
    type: str | None
    pool: str | None = Field(description="Which of the upstream's stocks it is in, where it has several.")
    classification: str | None = Field(description="Its class, and so its price, where the upstream has classes.")
    capabilities: list[str] = Field(description="What it can do, such as SMS, where the upstream tells.")


class DifferenceShape(Shape):
    model_config = ConfigDict(title="Difference")

    pointer: str = Field(description="Into the body of `PATCH /v1/numbers/{number}`.")
    asked: Any
    shown: Any


class FindingShape(Shape):
    """Something that our books and the upstream do not agree about."""

    model_config = ConfigDict(title="Finding")

    kind: FindingKind
    number: str = Field(description="E.164.")
    since: datetime = Field(description="When a run first showed it.")
    known: str
    todo: str
    command: str = Field(description="What an operator would type.")
    request: UUID | None = Field(description="That it comes from.")
    requester: str | None
    upstream_reference: str | None
    others: list[str] = Field(description="Further numbers that carry the key of the same request.")
    differences: list[DifferenceShape]


class ReconciliationShape(Shape):
    """The last comparison with one upstream. After one that failed, that of the last that did not stands."""

    model_config = ConfigDict(title="Reconciliation")

    upstream: str
    started_at: datetime | None
    finished_at: datetime | None
    counts: dict[str, int] = Field(description="Findings by kind.")
    findings: list[FindingShape]
    failed_at: datetime | None
    error: str | None = Field(description="Why the last try got no list; null where it did.")


class Check(Shape):
    ok: bool
    detail: str | None = None


class Readiness(Shape):
    status: str
    checks: dict[str, Check]
    paused: list[str] = Field(description="Upstreams at which nothing is ordered until a person resumes them.")


class Health(Shape):
    status: str


class Failing(BaseModel):
    """One place in what was sent. `line` and `field` for rows of a file, `parameter` for the query and headers."""

    model_config = ConfigDict(extra="forbid", title="Error")

    pointer: str | None = Field(default=None, description="A JSON pointer.")
    parameter: str | None = None
    line: int | None = None
    field: str | None = None
    detail: str


class ProblemShape(BaseModel):
    """RFC 9457. `code` is stable; `detail` is for people."""

    model_config = ConfigDict(extra="allow", title="Problem")

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[Failing] = []
