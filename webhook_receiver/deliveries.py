"""Deliveries over HTTP: which results reached their endpoint, and sending one again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import flask
import sqlalchemy as sa
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from models.base import read, write
from models.delivery import Delivery, DeliveryState, has_place, in_state, view
from models.delivery_attempt import attempts_of
from models.requester import Caller, Scope
from webhook_receiver import schemas
from webhook_receiver.context import here
from webhook_receiver.operations import Answer, Api
from webhook_receiver.problems import not_found
from webhook_receiver.queries import PageQuery, page
from webhook_receiver.requests import actor_of
from worker import hints
from worker.replaying import replay_one

deliveries = Api("deliveries")


class DeliveriesQuery(PageQuery):
    state: DeliveryState | None = None
    request: UUID | None = None


@deliveries.operation(
    "GET", "/v1/deliveries", Scope.READ, {200: Answer(schemas.Page[schemas.DeliveryShape])}, query=DeliveriesQuery
)
def list_deliveries(caller: Caller, query: DeliveriesQuery) -> ResponseReturnValue:
    """Results on their way, newest first."""
    statement = sa.select(Delivery).where(Delivery.requester_id == caller.requester_id, has_place())
    if query.state is not None:
        statement = statement.where(in_state(query.state))
    if query.request is not None:
        statement = statement.where(Delivery.request_id == query.request)

    def work(session: Session) -> dict[str, Any]:
        return page(session, statement, Delivery.id, query, view)

    return flask.jsonify(read(here().engine, work))


@deliveries.operation("GET", "/v1/deliveries/<uuid:delivery_id>", Scope.READ, {200: Answer(schemas.DeliveryWithLog)})
def show_delivery(caller: Caller, delivery_id: UUID) -> ResponseReturnValue:
    """One result, with what came of each try to hand it over."""

    def work(session: Session) -> dict[str, Any]:
        row = session.get(Delivery, delivery_id)
        if row is None or row.requester_id != caller.requester_id:
            raise not_found()
        return view(row) | {"attempts_log": attempts_of(session, delivery_id)}

    return flask.jsonify(read(here().engine, work))


@deliveries.operation(
    "POST", "/v1/deliveries/<uuid:delivery_id>/replay", Scope.OPERATE, {202: Answer(schemas.DeliveryShape)}
)
def replay_delivery(caller: Caller, delivery_id: UUID) -> ResponseReturnValue:
    """Send a result again, whether or not it arrived, under the same `webhook-id`."""
    now = here().clock.now()

    def work(session: Session) -> Delivery:
        statement = sa.select(Delivery).where(Delivery.id == delivery_id, has_place()).with_for_update()
        row = session.scalar(statement)
        if row is None or row.requester_id != caller.requester_id:
            raise not_found()
        replay_one(session, row, actor_of(caller), now)
        return row

    row = write(here().engine, work)
    hints.deliveries()
    return flask.jsonify(view(row)), 202
