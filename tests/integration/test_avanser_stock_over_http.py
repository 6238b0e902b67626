"""AVANSER's stock over HTTP: looked at before anything is bought, the pool of each number, and what happens when it is
empty and filled again."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from time import monotonic
from typing import Any

import pytest

from models.request import Kind
from models.state import Reason
from tests.avanser_client import LONG, TRANSFER, envelope, order, submit, told, with_client
from tests.sandbox import SandboxServer
from worker.upstreams import DIALECTS
from worker.upstreams.avanser.client import AvanserClient
from worker.upstreams.base import Accepted, Misconfigured, Order, Rejected, Unavailable, WrongAccount

QUICK = {"callback": {"delay": 0, "jitter": 0}}
PRIVATE = {"first": "61280740801", "count": 3}
PUBLIC = {"first": "61281000000", "count": 3, "pool": "public"}


@pytest.fixture
def sandbox(server: SandboxServer) -> SandboxServer:
    server.reset(**QUICK)
    return server


def searches(sandbox: SandboxServer) -> int:
    return int(sandbox.summary()["traffic"]["calls"].get("avanser GET", 0))


# Before money is spent.


def test_an_account_that_is_not_ours_is_seen_before_anything_is_bought_on_it(sandbox: SandboxServer) -> None:
    sandbox.script(faults=[{"fault": "wrong_account", "on": ["search", "provision"]}], **QUICK)

    async def story(client: AvanserClient) -> list[Any]:
        return await asyncio.gather(*[client.submit(order(), LONG) for _ in range(20)], return_exceptions=True)

    stopped = with_client(sandbox.avanser_url, story)
    assert {type(one) for one in stopped} == {WrongAccount}
    assert "8xxx" in str(stopped[0])
    assert sandbox.ledger() == []
    assert searches(sandbox) == 1


def test_credentials_that_are_refused_stop_the_order_before_it_is_sent(sandbox: SandboxServer) -> None:
    sandbox.script(faults=[{"fault": "wrong_credentials", "on": ["search"]}], **QUICK)
    with pytest.raises(Misconfigured):
        submit(sandbox.avanser_url, order())
    assert sandbox.ledger() == []


def test_another_account_is_seen_before_a_number_is_ordered_again(sandbox: SandboxServer) -> None:
    sandbox.script(faults=[{"fault": "wrong_account", "on": ["search", "provision"]}], **QUICK)
    with pytest.raises(WrongAccount):
        submit(sandbox.avanser_url, order(number="+61280740801", repeated=True))
    assert sandbox.ledger() == []


def test_what_changes_nothing_in_stock_is_asked_without_a_look(sandbox: SandboxServer) -> None:
    bought = submit(sandbox.avanser_url, order())
    assert searches(sandbox) == 1
    for kind in (Kind.UPDATE, Kind.RELEASE):
        assert isinstance(submit(sandbox.avanser_url, order(kind, number=bought.number)), Accepted)
    assert searches(sandbox) == 1


def test_a_number_ordered_again_needs_no_look_where_any_reply_has_just_named_our_account(
    sandbox: SandboxServer,
) -> None:
    async def story(client: AvanserClient) -> None:
        asked = order(number="+61280740801", repeated=True)
        await client.look_up(asked, LONG)
        before = searches(sandbox)
        answer = await client.submit(asked, LONG)
        assert isinstance(answer, Accepted)
        assert answer.number == "+61280740801"
        assert searches(sandbox) == before

    with_client(sandbox.avanser_url, story)


@pytest.mark.parametrize(
    "fault",
    ["error_before_effect", "reset_before_effect", "unreadable_after_effect", "rate_limited", "refused"],
)
def test_a_look_that_fails_keeps_no_order_back_and_is_not_repeated_for_the_next(
    sandbox: SandboxServer, fault: str
) -> None:
    sandbox.script(faults=[{"fault": fault, "on": ["search"]}], **QUICK)

    async def story(client: AvanserClient) -> None:
        for _ in range(3):
            answer = await client.submit(order(), LONG)
            assert isinstance(answer, Accepted)
            assert answer.pool is None

    with_client(sandbox.avanser_url, story)
    assert searches(sandbox) == 1
    assert len(sandbox.ledger()) == 3


def test_a_slow_search_costs_a_quarter_of_one_deadline_and_no_other(sandbox: SandboxServer) -> None:
    sandbox.script(faults=[{"fault": "timeout_before_effect", "seconds": 20, "on": ["search"]}], **QUICK)
    deadline = timedelta(seconds=4)

    async def story(client: AvanserClient) -> list[float]:
        took = []
        for _ in range(3):
            began = monotonic()
            assert isinstance(await client.submit(order(), deadline), Accepted)
            took.append(monotonic() - began)
        return took

    first, second, third = with_client(sandbox.avanser_url, story)
    assert first >= 0.9
    assert second + third < 1.5
    assert searches(sandbox) == 1


def test_an_unreadable_list_of_stock_keeps_no_order_back() -> None:
    acknowledgement = envelope({"request_id": "r", "code": 200, "service_number": "61280740801"})
    for text in ("<html>", envelope({"61280740801": "free"}), envelope("none"), envelope({"x": {"pool": {"a": 1}}})):
        answer, sent = told(
            lambda client: client.submit(order(), LONG), ("200 OK", acknowledgement), stock=("200 OK", text)
        )
        assert answer == Accepted("+61280740801", "r")
        assert len(sent) == 1


# Pools.


def buy(sandbox: SandboxServer, *asked: Order) -> list[Any]:
    async def story(client: AvanserClient) -> list[Any]:
        return [await client.submit(one, LONG) for one in asked]

    return with_client(sandbox.avanser_url, story)


def test_private_stock_is_used_first_then_public_and_each_number_is_known_by_its_pool(sandbox: SandboxServer) -> None:
    sandbox.reset(avanser={"stock": [PUBLIC, PRIVATE]}, **QUICK)
    answers = buy(sandbox, *(order() for _ in range(7)))
    assert [answer.pool for answer in answers[:6]] == ["private"] * 3 + ["public"] * 3
    assert isinstance(answers[6], Rejected)
    assert answers[6].reason == Reason.OUT_OF_STOCK


def test_strict_private_stock_never_falls_back_and_restocking_makes_orders_possible_again(
    sandbox: SandboxServer,
) -> None:
    avanser = DIALECTS["avanser"]
    strict = {"strict_private": ["AU/GEO"]}
    sandbox.reset(avanser={"stock": [PUBLIC, PRIVATE], **strict}, **QUICK)
    asked = order()
    answers = buy(sandbox, *(order() for _ in range(3)), asked)
    assert [answer.pool for answer in answers[:3]] == ["private"] * 3
    assert answers[3].reason == Reason.OUT_OF_STOCK
    assert len(sandbox.ledger()) == 3

    query = avanser.stock_query(asked.spec)
    assert query == {"country": "AU", "szu": "sydney"}
    assert with_client(sandbox.avanser_url, lambda client: client.stock(query, LONG)) == []
    sandbox.script(avanser={"stock": [PUBLIC, {**PRIVATE, "count": 4}], **strict}, **QUICK)
    (row,) = with_client(sandbox.avanser_url, lambda client: client.stock(query, LONG))
    assert (row.number, row.pool) == ("+61280740804", "private")
    assert avanser.is_met_by(asked.spec, row)
    (again,) = buy(sandbox, asked)
    assert (again.number, again.pool) == ("+61280740804", "private")


def test_an_empty_listing_refuses_nothing_avanser_decides(sandbox: SandboxServer) -> None:
    number = {"country": "AU", "search_type": "number", "number": "61280749999"}
    sandbox.reset(avanser={"stock": [PUBLIC]}, **QUICK)
    (answer,) = buy(sandbox, order(spec={"service_number": number, "service": TRANSFER}))
    assert isinstance(answer, Accepted)
    assert answer.number == "+61281000000"
    assert answer.pool is None


def test_a_number_of_the_public_stock_asked_for_by_name_is_known_by_its_pool(sandbox: SandboxServer) -> None:
    wanted = [{"country": "AU", "search_type": "number", "number": str(61281150000 + place)} for place in range(50)]
    answers = buy(sandbox, *(order(spec={"service_number": one, "service": TRANSFER}) for one in wanted))
    assert {answer.pool for answer in answers} == {"public"}
    assert searches(sandbox) == 1


def test_an_order_found_again_keeps_the_pool_of_its_number(sandbox: SandboxServer) -> None:
    sandbox.script(faults=[{"fault": "reset_after_effect"}], **QUICK)

    async def story(client: AvanserClient) -> Any:
        asked = order()
        with pytest.raises(Exception, match="broke off"):
            await client.submit(asked, LONG)
        return await client.look_up(asked, LONG)

    assert with_client(sandbox.avanser_url, story).pool == "private"


def test_hundreds_of_orders_need_a_few_looks_and_all_are_known_by_their_pool(sandbox: SandboxServer) -> None:
    async def story(client: AvanserClient) -> list[Any]:
        in_flight = asyncio.Semaphore(50)

        async def one() -> Any:
            async with in_flight:
                return await client.submit(order(), LONG)

        return await asyncio.gather(*[one() for _ in range(700)])

    answers = with_client(sandbox.avanser_url, story)
    assert Counter(answer.pool for answer in answers) == {"private": 100, "public": 600}
    assert len({entry["number"] for entry in sandbox.ledger()}) == 700
    assert searches(sandbox) <= 5


def test_the_listing_can_be_asked_in_all_ways_that_an_order_can(sandbox: SandboxServer) -> None:
    avanser = DIALECTS["avanser"]
    wanted: dict[str, Any]
    for wanted in (
        {"search_type": "szu", "szu": "hobart"},
        {"search_type": "location", "location": "Hobart"},
        {"search_type": "coordinates", "latitude": -42.9, "longitude": 147.3},
        {"search_type": "prefix", "prefix": "6136200"},
    ):
        spec = {"service_number": {"country": "AU", **wanted}, "service": TRANSFER}
        query = avanser.stock_query(spec)
        assert query is not None
        rows = with_client(sandbox.avanser_url, lambda client, query=query: client.stock(query, LONG))  # type: ignore[misc]
        assert rows[0].number == "+61362000000"
        assert rows[0].region == "TAS: Hobart"
        assert all(avanser.is_met_by(spec, row) for row in rows)


def test_a_search_that_avanser_refuses_is_no_empty_stock(sandbox: SandboxServer) -> None:
    with pytest.raises(Unavailable, match="400"):
        with_client(sandbox.avanser_url, lambda client: client.stock({"limit": "some"}, LONG))
