"""Results on their way: the list of all, and one with every try to hand it over."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import flask
import sqlalchemy as sa
from flask.typing import ResponseReturnValue
from pydantic import BeforeValidator
from sqlalchemy.orm import Session

from models import requester
from models.base import read, write
from models.delivery import Delivery, DeliveryState, body, has_place
from models.delivery_attempt import attempts_of
from models.delivery_list import Filters, list_deliveries
from models.endpoint import TEST, Endpoint, EventType
from models.request import Request
from models.requester import Requester
from webhook_receiver.console.confirming import reason
from webhook_receiver.console.lists import PAGE, Narrowed, blank_is_none, narrowed
from webhook_receiver.console.pages import action, page
from webhook_receiver.console.sessions import actor
from webhook_receiver.context import here
from webhook_receiver.problems import not_found
from worker import hints
from worker.replaying import replay_one


class DeliveriesNarrowed(Narrowed):
    state: Annotated[DeliveryState | None, BeforeValidator(blank_is_none)] = None
    type: Annotated[str | None, BeforeValidator(blank_is_none)] = None
    endpoint: Annotated[UUID | None, BeforeValidator(blank_is_none)] = None
    request: Annotated[UUID | None, BeforeValidator(blank_is_none)] = None
    requester: Annotated[str | None, BeforeValidator(blank_is_none)] = None


@page("/deliveries", title="Deliveries")
def show_deliveries() -> ResponseReturnValue:
    wanted, faults = narrowed(DeliveriesNarrowed)

    def work(session: Session) -> dict[str, Any]:
        owner = None if wanted.requester is None else requester.find(session, wanted.requester)
        if wanted.requester is not None and owner is None:
            faults.append(f"requester: there is none named {wanted.requester!r}.")
            return {"rows": [], "next_cursor": None, "endpoints": {}}
        owner_id = None if owner is None else owner.id
        filters = Filters(wanted.state, wanted.endpoint, owner_id, wanted.type, wanted.request)
        rows, next_cursor = list_deliveries(session, filters, PAGE, wanted.cursor)
        return {"rows": rows, "next_cursor": next_cursor, "endpoints": places_of(session, rows)}

    choices = {"state": list(DeliveryState), "type": [*EventType, TEST]}
    found = read(here().engine, work)
    return flask.render_template("console/deliveries.html", wanted=wanted, faults=faults, choices=choices, **found)


def places_of(session: Session, rows: list[Delivery]) -> dict[UUID, str]:
    """The endpoints that these go to, by id: what people call them."""
    wanted = {row.endpoint_id for row in rows if row.endpoint_id is not None}
    named = sa.select(Endpoint).where(Endpoint.id.in_(wanted))
    return {row.id: row.name for row in session.scalars(named)} if wanted else {}


@page("/deliveries/<uuid:delivery_id>")
def show_delivery(delivery_id: UUID) -> ResponseReturnValue:
    def work(session: Session) -> dict[str, Any]:
        row = session.get(Delivery, delivery_id)
        if row is None:
            raise not_found()
        return {
            "row": row,
            "sent": body(row),
            "tries": attempts_of(session, delivery_id),
            "endpoint": session.get(Endpoint, row.endpoint_id) if row.endpoint_id else None,
            "about": session.get(Request, row.request_id) if row.request_id else None,
            "requester": session.get_one(Requester, row.requester_id).name,
        }

    return flask.render_template("console/delivery.html", **read(here().engine, work))


@action("/deliveries/<uuid:delivery_id>/replay")
def do_replay_delivery(delivery_id: UUID) -> ResponseReturnValue:
    now = here().clock.now()

    def work(session: Session) -> None:
        row = session.scalar(sa.select(Delivery).where(Delivery.id == delivery_id, has_place()).with_for_update())
        if row is None:
            raise not_found()
        replay_one(session, row, actor(), now, reason(flask.request.form))

    write(here().engine, work)
    hints.deliveries()
    flask.flash("It is sent again, under the same webhook-id.")
    return flask.redirect(flask.url_for("console.show_delivery", delivery_id=delivery_id))
