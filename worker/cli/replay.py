"""`trunkline replay`: send results again that did not arrive, of a request, or all that an endpoint missed."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

import click
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models.base import read, rfc3339, write
from models.clock import time_of
from models.delivery import Delivery, DeliveryState, has_place, view
from models.endpoint import Endpoint
from models.replaying import PER_SECOND, Range, last_due_at
from models.requester import DEFAULT_REQUESTER
from worker.cli.actor import actor
from worker.cli.database import database
from worker.cli.endpoints import find_endpoint
from worker.cli.number_events import moment
from worker.cli.output import say, say_json, warn
from worker.cli.references import the_request
from worker.cli.run import Refusal, command, settings, wants_json
from worker.replaying import TooMany, count_replay, replay_one
from worker.replaying import replay as replay_range


@command("replay", answers=True)
@click.argument("ref", required=False)
@click.option("--endpoint", metavar="NAME_OR_ID", help="instead of REF: what this endpoint missed")
@click.option("--since", metavar="TIME", callback=moment, help="with --endpoint: from this time on")
@click.option("--until", metavar="TIME", callback=moment, help="with --endpoint: before this time")
@click.option("--all", "also_arrived", is_flag=True, help="also what arrived")
@click.option("--requester", default=DEFAULT_REQUESTER, show_default=True, help="whose endpoint")
@click.option("--dry-run", is_flag=True, help="show how many would be sent; send none")
@click.option("--yes", is_flag=True, help="with --endpoint: do not ask")
def replay_(
    *,
    ref: str | None,
    endpoint: str | None,
    since: datetime | None,
    until: datetime | None,
    also_arrived: bool,
    requester: str,
    dry_run: bool,
    yes: bool,
) -> None:
    """Send results again under the same webhook-id: those of a request that were given up, or all that an endpoint
    missed since a time, also while it was disabled.

    \b
    Examples:
      trunkline replay dealer-17
      trunkline replay --endpoint crm --since 2026-12-01T00:00:00Z --dry-run
      trunkline replay --endpoint crm --since 2026-12-01T00:00:00Z --until 2026-12-02T00:00:00Z
    """
    if (ref is None) == (endpoint is None):
        raise Refusal("say which: the REF of a request, or --endpoint with --since")
    if (endpoint is None) != (since is None) or (endpoint is None and until is not None):
        raise Refusal("--endpoint and --since go together, and --until with them")
    with database(settings()) as engine:
        if ref is not None:
            _replay_request(engine, ref, also_arrived=also_arrived, dry_run=dry_run)
        elif endpoint is not None and since is not None:
            wanted, start = _range(engine, endpoint, requester, since, until, also_arrived=also_arrived)
            _replay_range(engine, wanted, start, is_sure=yes, dry_run=dry_run)


def _replay_request(engine: Engine, ref: str, *, also_arrived: bool, dry_run: bool) -> None:
    def work(session: Session) -> list[dict[str, Any]]:
        wanted = sa.select(Delivery).where(Delivery.request_id == the_request(session, ref).id, has_place())
        if not also_arrived:
            wanted = wanted.where(Delivery.state == DeliveryState.FAILED)
        if dry_run:
            return [view(row) for row in session.scalars(wanted.order_by(Delivery.id))]
        rows = session.scalars(wanted.order_by(Delivery.id).with_for_update()).all()
        for row in rows:
            replay_one(session, row, actor(), time_of(session))
        return [view(row) for row in rows]

    again = (read if dry_run else write)(engine, work)  # no hint: the relay finds them within a second
    done = "Would be sent again" if dry_run else "Sent again"
    if wants_json():
        say_json({"data": again})
    else:
        say("Nothing was given up." if not again else f"{done}: {', '.join(one['type'] for one in again)}.")


def _range(
    engine: Engine, name: str, requester: str, since: datetime, until: datetime | None, *, also_arrived: bool
) -> tuple[Range, datetime]:
    """What is asked for, and the time now. Raises Refusal."""

    def work(session: Session) -> tuple[Endpoint, datetime]:
        return find_endpoint(session, name, requester), time_of(session)

    endpoint, now = read(engine, work)
    if endpoint.disabled_at is not None:
        again = f"trunkline endpoints enable {endpoint.id}"
        raise Refusal(f"{endpoint.name} is disabled ({endpoint.disabled_reason}); nothing was sent. First: {again}")
    if since >= (until or now):
        raise Refusal("--since must be before now, and before --until")
    return Range(endpoint, since, until or now, also_arrived), now


def _replay_range(engine: Engine, wanted: Range, start: datetime, *, is_sure: bool, dry_run: bool) -> None:
    try:
        found = count_replay(engine, wanted)
        if dry_run:
            _say_range(found, wanted)
            return
        if found and not is_sure and not wants_json() and sys.stdin.isatty():
            warn(f"{found} results go to {wanted.endpoint.url}, {PER_SECOND} a second.")
            click.confirm("Send them?", abort=True, err=True)
        sent = replay_range(engine, wanted, start, actor())
    except TooMany as error:
        raise Refusal(str(error)) from None
    until = rfc3339(last_due_at(start, sent))
    if wants_json():
        say_json({"replayed": sent, "until": until})
    else:
        say(f"{sent} results are sent again, the last at {until}." if sent else "It missed nothing.")


def _say_range(found: int, wanted: Range) -> None:
    if wants_json():
        say_json({"would_replay": found})
    else:
        say(f"{found:,} results would be sent to {wanted.endpoint.url}, {PER_SECOND} a second.")
