"""The Telmetrics client through real HTTP: the page's examples byte for byte, odd replies, new numbers looked for."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from models.request import Kind
from models.state import Reason
from tests import telmetrics_page
from tests.raw_server import Connection, RawServer
from tests.sandbox import TELMETRICS_TOKEN
from tests.telmetrics_vendor import (
    ANY_ORDER,
    LONG,
    NUMBER,
    REFERENCE,
    Directory,
    Vendor,
    answer_to,
    client_of,
    listing,
    number,
    order,
    refused,
    rows,
)
from worker.settings import SettingsError, load
from worker.upstreams import DIALECTS, make_client
from worker.upstreams.base import (
    BadQuery,
    Completed,
    Misconfigured,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Unavailable,
    Undecidable,
)
from worker.upstreams.telmetrics.client import TelmetricsClient
from worker.upstreams.telmetrics.listing import PAGE_SIZE
from worker.upstreams.telmetrics.names import key_of, named

SHORT = timedelta(seconds=1)

# The page, byte for byte.


@pytest.mark.parametrize(
    ("example", "bought"),
    [
        ("number", Completed("+12898122093", "8660466")),
        ("city", Completed("+14043411266", "8660467")),
        ("tollfree", Completed("+18332018273", "8660468")),
    ],
)
def test_an_example_of_the_page_is_sent_and_answered_as_it_stands_there(example: str, bought: Completed) -> None:
    asked = order(spec=telmetrics_page.spec(example))
    key = key_of(asked.request_id)
    page = telmetrics_page.text(f"{example}_answer").replace('"ABC Company', f'"{key} ABC Company')
    vendor = Vendor().on("POST /groups/11623282/numbers", ("200 OK", page))
    assert vendor.submit(asked) == bought

    ((_, query, body),) = vendor.asked
    assert query == {}
    assert body["name"] == f"{key} ABC Company"
    wanted = telmetrics_page.document(f"{example}_request")
    assert json.dumps(body | {"name": "ABC Company"}) == json.dumps(wanted), "the same fields, in the same order"
    lines = {line.lower() for line in vendor.heads[0].split(b"\r\n")}
    assert f"x-organization-token: {TELMETRICS_TOKEN}".encode() in lines
    assert b"content-type: application/json" in lines
    assert not any(line.startswith((b"authorization", b"subscription-key")) for line in lines)


def test_version_5_wants_a_subscription_key_with_every_question() -> None:
    vendor = Vendor().on("GET /numbers", listing())
    vendor.tell(lambda client: client.owned(LONG), subscription_key=SecretStr("s3cret"))
    assert b"subscription-key: s3cret" in vendor.heads[0].lower()


# Replies that prove nothing, and refusals.


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("200 OK", ""),
        ("200 OK", "{"),
        ("200 OK", "[]"),
        ("200 OK", "<html>maintenance</html>"),
        ("200 OK", "{}"),
        ("200 OK", '{"message": "queued"}'),
        ("200 OK", telmetrics_page.text("number_answer")),  # a number whose name is not the one we sent
        ("201 Created", '{"id": 1, "name": "KEY ABC", "phone_number": "soon"}'),
        ("201 Created", '{"id": 1, "name": "KEY ABC"}'),
        ("201 Created", '{"name": "KEY ABC", "phone_number": "2898122093"}'),
        ("302 Found", ""),
        ("400 Bad Request", ""),
        ("400 Bad Request", "[]"),
        ("400 Bad Request", '{"error": {"code": 7}}'),
        ("400 Bad Request", '{"message": " "}'),
        ("404 Not Found", "<html>nginx</html>"),
        ("408 Request Timeout", '{"message": "m"}'),
        ("409 Conflict", "out of stock"),
        ("500 Oops", '{"message": "m"}'),
        ("502 Bad Gateway", ""),
    ],
)
def test_a_reply_that_is_not_telmetrics_own_word_leaves_an_order_unknown(status: str, text: str) -> None:
    orders = {kind: order(kind) for kind in Kind}
    text = text.replace("KEY", key_of(orders[Kind.PROVISION].request_id))
    vendor = Vendor()
    for question in ANY_ORDER:
        vendor.on(question, (status, text))

    async def order_all(client: TelmetricsClient) -> dict[Kind, Any]:
        return {kind: await answer_to(client.submit(asked, LONG)) for kind, asked in orders.items()}

    answers = vendor.tell(order_all)
    assert len(vendor.asked) == 3, "each sent once"
    if text == telmetrics_page.text("number_answer"):
        assert answers.pop(Kind.UPDATE) == Completed(NUMBER, REFERENCE), "of a change that is a good answer"
    if status[0] == "2" and text not in ("{", "<html>maintenance</html>"):
        assert answers.pop(Kind.RELEASE) == Completed(NUMBER, REFERENCE), "and a release needs none"
    assert {type(answer) for answer in answers.values()} == {OutcomeUnknown}


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("200 OK", ""),
        ("200 OK", "[]"),
        ("200 OK", '{"results": []}'),
        ("200 OK", '{"results": {}, "paging": {"pageSize": 1, "total": 0}}'),
        ("200 OK", '{"results": [], "paging": {"pageSize": -1, "total": 0}}'),
        ("200 OK", '{"results": [], "paging": {"pageSize": "1", "total": 0}}'),
        ("200 OK", '{"results": [7], "paging": {"pageSize": 1000, "total": 1}}'),
        ("200 OK", '{"results": [{}], "paging": {"pageSize": 1000, "total": 1}}'),
        ("200 OK", '{"results": [], "paging": {"pageSize": 1000, "total": 7}}'),
        ("400 Bad Request", '{"message": "m"}'),
        ("400 Bad Request", '{"results": [], "paging": {"pageSize": 1000, "total": 0}}'),
        ("404 Not Found", '{"message": "m"}'),
        ("429 Slow", ""),
        ("500 Oops", ""),
    ],
)
def test_a_list_that_cannot_be_read_is_no_proof_of_anything(status: str, text: str) -> None:
    vendor = Vendor().on("GET /numbers", (status, text))

    async def ask_all(client: TelmetricsClient) -> list[Any]:
        looks = [await answer_to(client.look_up(order(kind), LONG)) for kind in Kind]
        return [*looks, await answer_to(client.owned(LONG))]

    assert {type(answer) for answer in vendor.tell(ask_all)} == {Unavailable}


@pytest.mark.parametrize(
    ("status", "name", "reason"),
    [
        ("400 Bad Request", "message", Reason.UPSTREAM_REJECTED),
        ("404 Not Found", "Message", Reason.UPSTREAM_REJECTED),
        ("409 Conflict", "message", Reason.OUT_OF_STOCK),
        ("422 Unprocessable", "MESSAGE", Reason.UPSTREAM_REJECTED),
    ],
)
def test_a_refusal_in_telmetrics_words_is_an_answer(status: str, name: str, reason: Reason) -> None:
    vendor = Vendor().on("POST /groups/11623282/numbers", (status, {name: "No such luck", "errors": []}))
    assert vendor.submit(order()) == Rejected(reason, f"Telmetrics answered {status[:3]}: No such luck")


def test_a_conflict_about_an_update_is_not_an_empty_stock() -> None:
    vendor = Vendor().on(f"PUT /numbers/{REFERENCE}", refused("409 Conflict"))
    assert vendor.submit(order(Kind.UPDATE)) == Rejected(detail="Telmetrics answered 409: m")


@pytest.mark.parametrize(
    ("status", "failure"), [("401 No", Misconfigured), ("403 No", Misconfigured), ("429 Slow", Unavailable)]
)
def test_what_was_turned_away_at_the_door_was_not_done(status: str, failure: type[Exception]) -> None:
    vendor = Vendor()
    for question in ANY_ORDER:
        vendor.on(question, (status, "<html>gateway</html>"))

    async def order_all(client: TelmetricsClient) -> list[Any]:
        return [await answer_to(client.submit(order(kind), LONG)) for kind in Kind]

    assert [type(answer) for answer in vendor.tell(order_all)] == [failure] * 3


def test_a_spec_that_is_good_no_more_is_not_sent() -> None:
    for asked in (order(spec={"group_id": 1}), order(Kind.UPDATE, spec={"call_routes": 7})):
        vendor = Vendor()
        answer = vendor.submit(asked)
        assert isinstance(answer, Rejected)
        assert "Not sent" in str(answer.detail)
        assert vendor.asked == []


# A new number is looked for by our key.


def test_an_order_is_found_by_our_key_among_renamed_foreign_and_many_numbers() -> None:
    asked = order()
    foreign = [number(id=id_, name="ABC Company 4", phone_number=f"{4043410000 + id_}") for id_ in range(1, 50)]
    mine = number(name=named(asked.request_id, "ABC Company 4"))
    vendor = Vendor().on("GET /numbers", listing(*foreign, mine))
    assert vendor.look_up(asked) == Completed(NUMBER, REFERENCE)
    assert vendor.look_up(order()) == NotFound()
    assert vendor.asked[0][1] == {"pagesize": str(PAGE_SIZE), "pagenumber": "1"}

    twice = Vendor().on("GET /numbers", listing(mine, {**mine, "id": 1, "phone_number": "2898122094"}))
    with pytest.raises(Undecidable, match="more than once"):
        twice.look_up(asked)


def test_a_conflict_with_an_order_of_our_own_is_told_from_an_empty_stock() -> None:
    asked = order(repeated=True)
    conflict = ("POST /groups/11623282/numbers", refused("409 Conflict"))
    vendor = Vendor().on(*conflict).on("GET /numbers", listing(number(name=named(asked.request_id, "ABC"))))
    assert vendor.submit(asked) == Completed(NUMBER, REFERENCE)

    nothing = Vendor().on(*conflict).on("GET /numbers", listing())
    assert nothing.submit(asked).reason == Reason.OUT_OF_STOCK
    assert nothing.submit(replace(asked, repeated=False)).reason == Reason.OUT_OF_STOCK
    assert nothing.questions.count("GET /numbers") == 1, "a first attempt has nothing to look for"

    away = Vendor().on(*conflict).on("GET /numbers", ("500 Oops", ""))
    with pytest.raises(Unavailable):
        away.submit(asked)


# A list of several pages.


def test_an_order_on_any_page_is_found_and_its_absence_is_told_from_all_pages() -> None:
    places = (0, 979, 980, 999, 1000, 2499)
    orders = [order() for _ in (*places, "absent")]
    directory = Directory(rows(2500))
    for place, asked in zip(places, orders, strict=False):
        directory.rows[place]["name"] = named(asked.request_id, "ABC")

    async def one_after_the_other(client: TelmetricsClient) -> list[Any]:
        return [await client.look_up(asked, LONG) for asked in orders]

    found = [Completed(f"+1{2890000001 + place}", str(place + 1)) for place in places]
    assert directory.tell(one_after_the_other) == [*found, NotFound()]
    assert len(directory.asked) == 3 * len(orders)


def test_an_order_that_moves_from_page_to_page_while_we_read_is_not_taken_for_absent() -> None:
    asked = order()

    def give_up_a_hundred_once(directory: Directory) -> None:
        if len(directory.asked) == 1:
            del directory.rows[:100]

    directory = Directory(rows(2500), give_up_a_hundred_once)
    directory.rows[1050]["name"] = named(asked.request_id, "ABC")  # of page 2 first, then of page 1
    assert directory.look_up(asked) == Completed("+12890001051", "1051")
    assert len(directory.asked) > 3, "read again"

    def give_up_a_hundred(directory: Directory) -> None:
        del directory.rows[:100]

    with pytest.raises(Unavailable, match="changed faster"):
        Directory(rows(2500), give_up_a_hundred).look_up(asked)


def test_a_thousand_look_ups_at_once_read_the_list_once() -> None:
    orders = [order() for _ in range(1000)]
    directory = Directory(rows(2500))
    for place, asked in enumerate(orders[:500]):
        directory.rows[place * 5]["name"] = named(asked.request_id, "ABC")

    async def all_at_once(client: TelmetricsClient) -> list[Any]:
        return await asyncio.gather(*(client.look_up(asked, LONG) for asked in orders))

    answers = directory.tell(all_at_once)
    assert [answer.number for answer in answers[:500]] == [f"+1{2890000001 + place * 5}" for place in range(500)]
    assert answers[500:] == [NotFound()] * 500
    assert len(directory.asked) == 3


def test_a_list_that_does_not_come_in_time_is_given_up_at_the_deadline_of_who_asks() -> None:
    async def story() -> None:
        async with RawServer(_read_and_be_silent) as server:
            client = client_of(server.url)
            with pytest.raises(Unavailable, match="within 1 s"):
                await client.look_up(order(), SHORT)
            await client.close()

    asyncio.run(story())


async def _read_and_be_silent(connection: Connection) -> None:
    if await connection.read_request():
        await connection.silence()


def test_stock_cannot_be_asked() -> None:
    with pytest.raises(BadQuery, match="no stock"):
        Vendor().tell(lambda client: client.stock({}, LONG))


def test_orders_for_the_same_kind_of_number_wait_together() -> None:
    telmetrics, asked = DIALECTS["telmetrics"], telmetrics_page.spec("city")
    other = {**asked, "name": "Another", "phone_number_request": {**asked["phone_number_request"], "city": "Atlanta"}}
    assert telmetrics.stock_query(asked) == telmetrics.stock_query(other)
    assert telmetrics.stock_query(asked) != telmetrics.stock_query(telmetrics_page.spec("number"))


def test_a_client_needs_its_token_and_names_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUNKLINE_HOME", str(tmp_path))
    monkeypatch.delenv("TRUNKLINE_TELMETRICS_TOKEN", raising=False)
    with pytest.raises(SettingsError, match="TRUNKLINE_TELMETRICS_TOKEN"):
        make_client("telmetrics", load())
    monkeypatch.setenv("TRUNKLINE_TELMETRICS_TOKEN", "x")
    assert make_client("telmetrics", load()).name == "telmetrics"
