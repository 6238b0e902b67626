"""The tasks: order a number, deliver the result."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from typing import Any

import httpx
from celery import Task
from standardwebhooks import Webhook

from tests.bench.peers.plain.app import Database, celery, settings, token_of
from tests.bench.peers.plain.models import Order, Status

RETRIES: dict[str, Any] = {
    "retry_backoff": 1,  # seconds, doubling
    "retry_backoff_max": 8,
    "retry_jitter": True,
    "max_retries": 10,
}


class Busy(Exception):
    """The upstream is busy or broken; it may go better next time."""


@cache
def _client() -> httpx.Client:
    """This process's, with connections that are kept. (Made at its first call, so never shared with a fork.)"""
    return httpx.Client(limits=httpx.Limits(max_connections=None, max_keepalive_connections=100))


@celery.task(bind=True, name="plain.place_order", autoretry_for=(httpx.TransportError, Busy), **RETRIES)
def place_order(self: Task[Any, Any], order_id: str) -> None:
    """Order a number. Does nothing where that was done, or is being done."""
    begun = _begin(order_id, is_retry=self.request.retries > 0)
    if begun is None:
        return
    reply = _client().post(
        f"{settings.avanser_url}/requests",
        json=_body(begun),
        auth=(settings.avanser_username, settings.avanser_password),
        timeout=settings.timeout,
    )
    if reply.status_code == 429 or reply.status_code >= 500:
        raise Busy(reply.status_code)
    with Database.begin() as session:
        order = session.get_one(Order, order_id, with_for_update=True)
        if order.has_ended:  # the callback was quicker
            return
        if reply.is_error:
            order.status, order.error = Status.FAILED, reply.text[:500]
        else:
            said = reply.json()["response"]
            order.status, order.number, order.reference = Status.ORDERED, said["service_number"], said["request_id"]
    if reply.is_error:
        deliver_result.delay(order_id)


def _begin(order_id: str, *, is_retry: bool) -> Order | None:
    """The order, marked as being ordered; None where there is nothing to do."""
    with Database.begin() as session:
        order = session.get_one(Order, order_id, with_for_update=True)
        may_begin = order.status == Status.NEW or (
            order.status == Status.ORDERING and (is_retry or settings.unfinished == "again")
        )
        if not may_begin:
            return None
        order.status = Status.ORDERING
        session.flush()
        session.expunge(order)
    return order


def _body(order: Order) -> dict[str, Any]:
    return {
        "name": order.custom_id,
        "custom_id": order.custom_id,
        "service_number": {"country": "AU", "search_type": "szu", "szu": "sydney"},
        "service": {"type": "transfer", "answer_point": order.answer_point},
        "callback_uri": f"{settings.public_url}/callbacks/{order.id}/{token_of(order.id)}",
    }


@celery.task(name="plain.deliver_result", autoretry_for=(httpx.HTTPError,), **RETRIES)
def deliver_result(order_id: str) -> None:
    """Tell the customer, once as far as we know."""
    with Database() as session:
        order = session.get_one(Order, order_id)
        if order.delivered_at is not None or not order.has_ended:
            return
    now = datetime.now(UTC)
    data = {"id": order.id, "custom_id": order.custom_id, "state": order.status, "number": order.number}
    content = json.dumps({"type": f"request.{order.status}", "timestamp": now.isoformat(), "data": data})
    webhook_id = f"msg_{order.id}"
    headers = {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(settings.deliver_secret).sign(webhook_id, now, content),
        "content-type": "application/json",
    }
    _client().post(settings.deliver_to, content=content, headers=headers, timeout=5).raise_for_status()
    with Database.begin() as session:
        session.get_one(Order, order_id).delivered_at = now
