"""The settings, the Celery application, and the Flask application that takes orders and callbacks."""

from __future__ import annotations

import hmac
from http import HTTPStatus
from typing import Literal

import flask
from celery import Celery
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from tests.bench.peers.plain.models import Order, Status, connect
from tests.bench.peers.settings import PeerSettings


class Settings(PeerSettings):
    visibility_timeout: int = 10  # seconds; longer than any task takes
    unfinished: Literal["again", "leave"] = "again"


settings = Settings()
Database: sessionmaker[Session] = sessionmaker(connect(settings.database_url))

celery = Celery("plain", broker=settings.redis_url, include=["tests.bench.peers.plain.tasks"])
celery.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
    task_default_queue="orders",
    task_routes={"plain.deliver_result": {"queue": "results"}},  # so that results need not wait behind orders
    task_serializer="json",
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": settings.visibility_timeout},
    worker_cancel_long_running_tasks_on_connection_loss=False,
)

app = flask.Flask(__name__)


def token_of(order_id: str) -> str:
    return hmac.digest(settings.secret.encode(), order_id.encode(), "sha256").hex()


@app.post("/orders")
def take_order() -> tuple[dict[str, str], int]:
    body = flask.request.get_json()
    try:
        with Database.begin() as session:
            order = Order(custom_id=body["custom_id"], answer_point=body["answer_point"])
            session.add(order)
            session.flush()
            order_id = order.id
    except IntegrityError:
        with Database() as session:
            known = session.scalars(select(Order).where(Order.custom_id == body["custom_id"])).one()
            return {"id": known.id}, HTTPStatus.OK
    celery.send_task("plain.place_order", args=[order_id])
    return {"id": order_id}, HTTPStatus.ACCEPTED


@app.post("/orders/bulk")
def take_orders() -> tuple[list[dict[str, str]], int]:
    bodies = flask.request.get_json()
    with Database.begin() as session:
        wanted = [body["custom_id"] for body in bodies]
        known = set(session.scalars(select(Order.custom_id).where(Order.custom_id.in_(wanted))))
        orders = [
            Order(custom_id=body["custom_id"], answer_point=body["answer_point"])
            for body in bodies
            if body["custom_id"] not in known
        ]
        session.add_all(orders)
        session.flush()
        ids = [order.id for order in orders]
    for order_id in ids:
        celery.send_task("plain.place_order", args=[order_id])
    return [{"id": order_id} for order_id in ids], HTTPStatus.ACCEPTED


@app.post("/callbacks/<order_id>/<token>")
def take_callback(order_id: str, token: str) -> tuple[str, int]:
    if not hmac.compare_digest(token, token_of(order_id)):
        return "", HTTPStatus.NOT_FOUND
    said = flask.request.get_json(silent=True) or flask.request.values
    status = {"completed": Status.COMPLETED, "failed": Status.FAILED}.get(said.get("status", ""))
    with Database.begin() as session:
        order = session.get(Order, order_id, with_for_update=True)
        if order is None:
            return "", HTTPStatus.NOT_FOUND
        if status is None or order.has_ended:
            return "", HTTPStatus.NO_CONTENT
        order.status, order.number = status, said.get("service_number") or order.number
    celery.send_task("plain.deliver_result", args=[order_id])
    return "", HTTPStatus.NO_CONTENT


@app.get("/healthz")
def health() -> dict[str, str]:
    return {}
