"""The HTTP side of the asynchronous peers: orders in, one or many, and the upstream's callbacks in."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from typing import Protocol, cast, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.bench.peers.calls import token_of
from tests.bench.peers.orders import Order, Outcome

_ORDERS = TypeAdapter(tuple[Order, ...])


class Callback(BaseModel, frozen=True):
    """The upstream's word on how an order stands."""

    status: str
    service_number: str | None = None


class Door(Protocol):
    """What is behind the receiver. Both return when what they took is on disk."""

    async def take(self, orders: Sequence[Order]) -> None:
        """New orders; one that is known already stays as it is."""

    async def end(self, order_id: str, outcome: Outcome, number: str | None) -> bool:
        """The upstream has ended an order, said perhaps for the second time; False where there is no such order."""


def application(open_door: Callable[[], AbstractAsyncContextManager[Door]]) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Door]]:
        async with open_door() as door:
            yield {"door": door}

    routes = [
        Route("/orders", _take_order, methods=["POST"]),
        Route("/orders/bulk", _take_orders, methods=["POST"]),
        Route("/callbacks/{order_id}/{token}", _take_callback, methods=["POST"]),
        Route("/healthz", _answer, methods=["GET"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


async def _take_order(request: Request) -> Response:
    order = Order.model_validate_json(await request.body())
    await _door(request).take([order])
    return JSONResponse({"id": order.id}, HTTPStatus.ACCEPTED)


async def _take_orders(request: Request) -> Response:
    orders = _ORDERS.validate_json(await request.body())
    await _door(request).take(orders)
    return JSONResponse([{"id": order.id} for order in orders], HTTPStatus.ACCEPTED)


async def _take_callback(request: Request) -> Response:
    order_id, token = request.path_params["order_id"], request.path_params["token"]
    if not hmac.compare_digest(token, token_of(order_id)):
        return Response(status_code=HTTPStatus.NOT_FOUND)
    try:
        said = Callback.model_validate_json(await request.body())
    except ValidationError:
        return Response(status_code=HTTPStatus.BAD_REQUEST)
    if said.status in get_args(Outcome):
        outcome = cast(Outcome, said.status)
        if not await _door(request).end(order_id, outcome, said.service_number):
            return Response(status_code=HTTPStatus.NOT_FOUND)
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def _answer(request: Request) -> Response:
    return JSONResponse({})


def _door(request: Request) -> Door:
    return cast(Door, request.state.door)
