"""What a person or a key may do to an endpoint: make it, change it, rotate its secret, switch it off and on, try it.

Each function writes its act into the audit, in the caller's transaction. Of an address only the host is told there:
the rest of it may be as good as a password.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from models import act, endpoint
from models.clock import time_of
from models.delivery import Delivery, file_test
from models.endpoint import Endpoint, EventType
from models.requester import Requester


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an endpoint is to be. None stays as it is; an empty description is taken away."""

    url: str | None = None
    name: str | None = None
    types: frozenset[EventType] | None = None
    description: str | None = None


def create(session: Session, owner: Requester, wanted: Wanted, actor: str) -> Endpoint:
    """Make one; without a name it is called after the URL's host, without types it takes all.

    Raises IntegrityError where the requester has one of that name.
    """
    assert wanted.url is not None
    name, types, now = wanted.name or host(wanted.url), wanted.types or frozenset(EventType), time_of(session)
    made = endpoint.create(session, owner, name, wanted.url, types, now, wanted.description or None)
    told = {"requester": owner.name, "name": name, "host": host(wanted.url), "types": made.types}
    act.record(session, actor, "endpoint.create", made.id, now, data=told)
    return made


def change(session: Session, row: Endpoint, wanted: Wanted, actor: str) -> None:
    """Give it another address, name, description or other types. Raises IntegrityError where the name is taken."""
    told: dict[str, Any] = {}
    if wanted.url is not None and wanted.url != row.url:
        row.url, told["host"] = wanted.url, host(wanted.url)
    if wanted.name is not None and wanted.name != row.name:
        row.name = told["name"] = wanted.name
    if wanted.types is not None and sorted(wanted.types) != row.types:
        row.types = told["types"] = sorted(wanted.types)
    if wanted.description is not None and (wanted.description or None) != row.description:
        row.description = told["description"] = wanted.description or None
    session.flush()
    if told:
        act.record(session, actor, "endpoint.change", row.id, time_of(session), data=told)


def rotate(session: Session, row: Endpoint, grace: timedelta, actor: str, why: str | None = None) -> str:
    """Give it a new secret, and return that; the old one signs beside it for this long."""
    now = time_of(session)
    secret = endpoint.rotate(session, row, now + grace)
    told = {"grace_seconds": int(grace.total_seconds())}
    act.record(session, actor, "endpoint.rotate", row.id, now, why, told)
    return secret


def disable(session: Session, row: Endpoint, actor: str, why: str | None = None) -> None:
    """Send it nothing more, until it is enabled. Where it is disabled already, the new reason stands."""
    now = time_of(session)
    endpoint.disable(row, why or f"disabled by {actor}", now)
    act.record(session, actor, "endpoint.disable", row.id, now, why)


def enable(session: Session, row: Endpoint, actor: str, why: str | None = None) -> None:
    """Let it take results again."""
    endpoint.enable(session, row)
    act.record(session, actor, "endpoint.enable", row.id, time_of(session), why)


def test(session: Session, row: Endpoint, actor: str) -> Delivery:
    """File an event for it, to see whether it takes anything."""
    now = time_of(session)
    act.record(session, actor, "endpoint.test", row.id, now)
    return file_test(session, row, now)


def host(url: str) -> str:
    return str(urlsplit(url).hostname)
