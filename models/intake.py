"""Taking requests in: rows, history and counts in one transaction, each idempotency key once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from models import counter, event, sets
from models.base import new_id, rfc3339
from models.event import Entry, EventKind
from models.request import Kind, OnOutOfStock, Priority, Request
from models.state import Reason, State

_TABLE: sa.Table = Request.__table__  # type: ignore[assignment]


ANY_BODY = "any"
"""In the place of a body's digest, where the body was lost with the database: whoever asks under its key gets it."""


@dataclass(frozen=True, slots=True)
class NewRequest:
    """A request that was found good and is to be taken."""

    upstream: str
    kind: Kind
    spec: dict[str, Any]
    body_digest: str
    deadline: datetime
    due_at: datetime
    idempotency_key: str | None = None
    custom_id: str | None = None
    custom_group: str | None = None
    endpoint_id: UUID | None = None
    notify_url: str | None = None
    on_out_of_stock: OnOutOfStock = OnOutOfStock.WAIT
    number: str | None = None
    position: int | None = None
    key_id: UUID | None = None
    price_class: str | None = None
    id: UUID = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one: `is_new`, or already there under its key with the same body or another.

    One whose own id is there already is `is_new` all the same: an earlier try to take it was committed unheard.
    """

    id: UUID
    is_new: bool
    same_body: bool = True


def take(
    session: Session,
    requester_id: UUID,
    new: Sequence[NewRequest],
    now: datetime,
    *,
    batch_id: UUID | None = None,
    actor: str = "requester",
) -> list[Taken]:
    """Insert these requests, `queued`; one whose key or id is known already is left as it is. Does not commit.

    The unique constraint decides, so two that come at the same moment cannot both be new. To take the very same
    `NewRequest` again does nothing.
    """
    rows = [_row(requester_id, batch_id, request, now) for request in new]
    inserted = _insert(session, rows)
    event.append(session, [_entry(row, actor, now) for row in rows if row["id"] in inserted])
    counter.add(session, _counts(row for row in rows if row["id"] in inserted))
    rest = [row for row in rows if row["id"] not in inserted]
    inserted |= _there(session, [row["id"] for row in rest])
    known = known_keys(session, requester_id, [row["idempotency_key"] for row in rest])
    return [_taken(row, inserted, known) for row in rows]


def _row(requester_id: UUID, batch_id: UUID | None, new: NewRequest, now: datetime) -> dict[str, Any]:
    waits = new.kind is Kind.RELEASE and new.due_at > now
    return {
        "id": new.id,
        "requester_id": requester_id,
        "batch_id": batch_id,
        "position": new.position,
        "upstream": new.upstream,
        "kind": new.kind,
        "state": State.QUEUED,
        "reason": Reason.RELEASE_DELAY if waits else None,
        "detail": f"It is sent at {rfc3339(new.due_at)}, and can be cancelled until then." if waits else None,
        "idempotency_key": new.idempotency_key,
        "body_digest": new.body_digest,
        "custom_id": new.custom_id,
        "custom_group": new.custom_group,
        "endpoint_id": new.endpoint_id,
        "notify_url": new.notify_url,
        "deadline": new.deadline,
        "on_out_of_stock": new.on_out_of_stock,
        "spec": new.spec,
        "number": new.number,
        "key_id": new.key_id,
        "price_class": new.price_class,
        "attempts": 0,
        "retries": 0,
        "looks": 0,
        "repeated": False,
        "fence": 0,
        "priority": Priority.SINGLE if batch_id is None else Priority.BULK,
        "due_at": new.due_at,
        "created_at": now,
        "updated_at": now,
    }


def _insert(session: Session, rows: Sequence[dict[str, Any]]) -> set[UUID]:
    return set(sets.insert(session.connection(), _TABLE, rows, _new_ones))


def _new_ones(insert: Any) -> Any:
    """Those whose key and whose id are not there yet."""
    return insert.on_conflict_do_nothing().returning(_TABLE.c.id)


def _there(session: Session, ids: Sequence[UUID]) -> set[UUID]:
    return set(session.scalars(sa.select(Request.id).where(Request.id.in_(ids)))) if ids else set()


def _entry(row: dict[str, Any], actor: str, now: datetime) -> Entry:
    return Entry(row["id"], now, EventKind.STATE, actor, row["reason"], row["detail"], to_state=State.QUEUED.value)


def _counts(rows: Any) -> Counter[counter.Key]:
    return Counter(
        (row["requester_id"], row["batch_id"] or counter.NO_BATCH, row["upstream"], State.QUEUED) for row in rows
    )


def custom_key(upstream: str, kind: Kind, custom_id: str) -> str:
    """The idempotency key of what a file asks for under a custom_id."""
    return f"custom:{upstream}:{kind}:{custom_id}"


def is_same_body(digest: str, known: str) -> bool:
    """Whether what is asked for now is what was asked for under the same key."""
    return known in (digest, ANY_BODY)


def known_keys(session: Session, requester_id: UUID, keys: Sequence[str]) -> dict[str, tuple[UUID, str]]:
    """Those of these idempotency keys that were used before: the request's id and its body's digest."""
    if not keys:
        return {}
    rows = session.execute(_by_keys(session.get_bind().dialect.name), {"requester": requester_id, "keys": list(keys)})
    return {key: (id_, digest) for key, id_, digest in rows}


@cache
def _by_keys(dialect: str) -> Any:
    """By `keys` and `requester`.

    PostgreSQL is made to look up one key after the other: asked for all in one condition, while the table is young, it
    kept a plan that reads all of a requester's requests, and 100,000 rows that came then took three times as long.
    """
    found = sa.select(Request.idempotency_key, Request.id, Request.body_digest).where(
        Request.requester_id == sa.bindparam("requester", type_=sa.Uuid)
    )
    if dialect != "postgresql":
        return found.where(Request.idempotency_key.in_(sa.bindparam("keys", expanding=True)))
    given = sa.bindparam("keys", type_=postgresql.ARRAY(sa.Text))
    wanted = sa.func.unnest(given).table_valued("key", name="given").render_derived()
    one = found.where(Request.idempotency_key == wanted.c.key).limit(1).lateral()
    return sa.select(one).select_from(wanted.join(one, sa.true()))


def _taken(row: dict[str, Any], inserted: set[UUID], known: dict[str, tuple[UUID, str]]) -> Taken:
    if row["id"] in inserted:
        return Taken(row["id"], is_new=True)
    id_, digest = known[row["idempotency_key"]]
    return Taken(id_, is_new=False, same_body=is_same_body(row["body_digest"], digest))
