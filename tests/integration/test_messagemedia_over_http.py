"""The MessageMedia client through real HTTP: the guide's examples byte for byte, choices, conflicts, odd replies."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import time
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar

import pytest
from pydantic import SecretStr

from models.base import new_id
from models.request import Kind
from models.state import Reason
from tests import messagemedia_page as page
from tests import picking
from tests.raw_server import Connection, RawServer
from worker.settings import SettingsError, load
from worker.upstream_settings import MessageMediaSettings
from worker.upstreams import make_client
from worker.upstreams.base import (
    BadQuery,
    Candidate,
    Completed,
    Misconfigured,
    NotFound,
    Order,
    OutcomeUnknown,
    Rejected,
    Unavailable,
    Undecidable,
)
from worker.upstreams.messagemedia.client import MessageMediaClient

T = TypeVar("T")

LONG, SHORT = timedelta(seconds=10), timedelta(seconds=1)
KEY, SECRET = "thisisakey", "thisisasecretformmbasicauthrestapi"
BASE = "/v1/messaging/numbers/dedicated"
SPEC: dict[str, Any] = {"search": {"country": "AU", "service_types": ["SMS"], "page_size": 3}}

Answered = tuple[str, Any]
"""A status, and a body: text as it stands, anything else as JSON."""


def client_of(url: str, **settings: Any) -> MessageMediaClient:
    return MessageMediaClient(
        MessageMediaSettings(url=f"{url}{BASE}", key=SecretStr(KEY), secret=SecretStr(SECRET), **settings)
    )


def order(kind: Kind = Kind.PROVISION, **fields: Any) -> Order:
    given: dict[str, Any] = {
        "request_id": new_id(),
        "spec": SPEC if kind is Kind.PROVISION else {},
        "number": None if kind is Kind.PROVISION else page.CHOSEN_NUMBER,
        "number_reference": None if kind is Kind.PROVISION else page.CHOSEN,
        "upstream_reference": None,
        "custom_id": None,
        "custom_group": None,
        "pick": picking.first,
    }
    return Order(kind=kind, callback_uri="", call_uri="", sms_uri="", **(given | fields))


def told(
    asked: Callable[[MessageMediaClient], Awaitable[T]], *replies: Answered, **settings: Any
) -> tuple[T, list[bytes]]:
    """What the client makes of a server that gives these replies in turn, and what it sent.

    With more questions than replies it waits for ever, and with fewer the test is told.
    """
    left = list(replies)

    async def reply(connection: Connection) -> None:
        while left and await connection.read_request():
            status, body = left.pop(0)
            text = body if isinstance(body, str) else json.dumps(body)
            await connection.answer(text.encode(), status, "Content-Type: application/json;charset=UTF-8")

    async def story() -> tuple[T, list[bytes]]:
        async with RawServer(reply) as server:
            client = client_of(server.url, **settings)
            try:
                answer = await asked(client)
                assert not left, f"never asked for {left}"
                return answer, server.requests
            finally:
                await client.close()

    return asyncio.run(story())


def submit(asked: Order, *replies: Answered) -> tuple[Any, list[str]]:
    answer, sent = told(lambda client: client.submit(asked, LONG), *replies)
    return answer, lines_of(sent)


def look_up(asked: Order, *replies: Answered) -> tuple[Any, list[str]]:
    answer, sent = told(lambda client: client.look_up(asked, LONG), *replies)
    return answer, lines_of(sent)


def lines_of(sent: Sequence[bytes]) -> list[str]:
    """Method and target of each request, behind the base."""
    first = [one.split(b"\r\n", 1)[0].decode().removesuffix(" HTTP/1.1") for one in sent]
    assert all(f" {BASE}/" in line for line in first)
    return [line.replace(BASE, "") for line in first]


def body_of(sent: bytes) -> Any:
    return json.loads(sent.partition(b"\r\n\r\n")[2])


SEARCH = ("200 OK", page.text("search.json"))
ASSIGNED = ("201 Created", page.text("assignment.json"))
NO_CONTENT = ("204 No Content", "")
TAKEN = ("409 Conflict", {"message": "The number is not available"})
ABSENT = ("404 Not Found", {"message": "Not found"})


def held(metadata: dict[str, str] | None, number_id: str = page.CHOSEN) -> Answered:
    said = {} if metadata is None else {"metadata": metadata}
    return "200 OK", {**said, "label": "Fred", "id": "b06387c0", "number_id": number_id}


def key_of(asked: Order) -> dict[str, str]:
    return {"trunkline_request": str(asked.request_id)}


def stock(*rows: dict[str, Any], next_token: str | None = None) -> Answered:
    token = {} if next_token is None else {"next_token": next_token}
    return "200 OK", {"data": rows, "pagination": {"page_size": 3, **token}}


def row(number_id: str, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = page.document("search.json")["data"][2]
    return fields | {"id": number_id} | changes


def assigned(number_id: str) -> Answered:
    return "201 Created", {"id": "b06387c0", "number_id": number_id}


# The guide, byte for byte.


def test_the_guides_search_and_assignment_are_sent_and_read_as_they_stand_there() -> None:
    asked = order(pick=picking.after_others(page.FIRST, page.SECOND))
    answer, sent = told(lambda client: client.submit(asked, LONG), SEARCH, ASSIGNED)
    assert answer == Completed(page.CHOSEN_NUMBER, page.CHOSEN, "A BRONZE number")
    assert lines_of(sent) == [
        "GET /?country=AU&service_types=SMS&page_size=3",
        f"POST /{page.CHOSEN}/assignment",
    ]
    assert body_of(sent[1]) == {"metadata": key_of(asked)}, "what was not given is left out, not null"
    for request in sent:
        assert (
            f"authorization: basic {b64encode(f'{KEY}:{SECRET}'.encode()).decode()}".lower() in request.decode().lower()
        )
    assert b"content-type: application/json" in sent[1].lower()


def test_label_and_metadata_are_given_at_once_when_a_number_is_bought() -> None:
    asked = order(spec=SPEC | page.document("label_request.json") | {"extra": {"colour": "red"}})
    _, sent = told(lambda client: client.submit(asked, LONG), stock(row("a")), assigned("a"))
    assert json.dumps(body_of(sent[1])) == json.dumps(
        {
            "label": "Representative-Fred",
            "metadata": {"State": "Vic", "Region": "SE", **key_of(asked)},
            "colour": "red",
        }
    )


def test_the_next_set_of_the_guides_numbers_is_asked_for_by_its_token() -> None:
    asked = order(pick=picking.after_others(page.FIRST, page.SECOND, page.CHOSEN))
    answer, sent = submit(asked, SEARCH, stock(row("b")), assigned("b"))
    assert answer.reference == "b"
    assert sent[1] == f"GET /?country=AU&service_types=SMS&page_size=3&token={page.NEXT_TOKEN}"


@pytest.mark.parametrize("reply", [("200 OK", page.text("label_answer.json")), NO_CONTENT])
def test_the_guides_label_is_sent_as_it_stands_there_and_done_whatever_the_answer_shows(reply: Answered) -> None:
    asked = order(Kind.UPDATE, spec=page.document("label_request.json"))
    answer, sent = told(lambda client: client.submit(asked, LONG), reply)
    assert answer == Completed(page.CHOSEN_NUMBER)
    assert lines_of(sent) == [f"PATCH /{page.CHOSEN}/assignment"]
    assert json.dumps(body_of(sent[0])) == json.dumps(page.document("label_request.json"))


def test_a_number_is_given_up_by_its_own_id() -> None:
    assert submit(order(Kind.RELEASE), NO_CONTENT) == (
        Completed(page.CHOSEN_NUMBER),
        [f"DELETE /{page.CHOSEN}/assignment"],
    )


def test_every_request_can_be_signed_as_it_is_sent() -> None:
    asked = order(spec={"search": {"country": "AU", "service_types": ["SMS", "MMS"], "matching": "42"}})
    both = {"capabilities": ["SMS", "MMS"], "phone_number": "61438851642"}
    _, sent = told(
        lambda client: client.submit(asked, LONG),
        stock(next_token="a+b/c=d&e,f:g@h!$'()*? ü"),
        stock(row("a", **both)),
        assigned("a"),
        auth="hmac",
    )
    assert len(sent) == 3
    for request in sent:
        head, _, body = request.partition(b"\r\n\r\n")
        request_line, *rest = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in rest)}
        signed = f"Date: {headers['date']}\n"
        if body:
            assert headers["content-md5"] == hashlib.md5(body, usedforsecurity=False).hexdigest()
            signed += f"Content-MD5: {headers['content-md5']}\n"
        wanted = hmac.digest(SECRET.encode(), (signed + request_line).encode(), "sha256")
        found = re.fullmatch(
            rf'hmac username="{KEY}", algorithm="hmac-sha256", headers="(.*)", signature="(.*)"',
            headers["authorization"],
        )
        assert found is not None
        assert found[1] == ("Date Content-MD5 request-line" if body else "Date request-line")
        assert b64decode(found[2]) == wanted
        assert SECRET not in request.decode()


# Choosing.


def test_a_dearer_number_is_bought_only_when_no_page_has_a_cheaper_one() -> None:
    asked = order(spec=SPEC | {"max_classification": "GOLD"})
    silver, gold = row("s", classification="SILVER"), row("g", classification="GOLD")
    answer, sent = submit(asked, stock(gold, silver, next_token="t"), stock(row("b")), assigned("b"))
    assert answer.reference == "b"
    answer, sent = submit(asked, stock(gold, next_token="t"), stock(silver), assigned("s"))
    assert answer == Completed(page.CHOSEN_NUMBER, "s", "A SILVER number")
    assert len([line for line in sent if line.startswith("GET")]) == 2


def test_a_dearer_number_than_allowed_is_not_bought_and_named() -> None:
    answer, sent = submit(order(), stock(row("s", classification="SILVER"), row("g", classification="GOLD")))
    assert answer.reason == Reason.OUT_OF_STOCK
    assert "1 SILVER, 1 GOLD" in answer.detail
    assert len(sent) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"capabilities": ["TTS"]},
        {"country": "NZ"},
        {"available_after": "2999-01-01T00:00:00Z"},
        {"classification": None},
        {"phone_number": "soon"},
    ],
)
def test_what_does_not_fit_is_not_ordered_though_the_search_shows_it(changes: dict[str, Any]) -> None:
    answer, _ = submit(order(), stock(row("a", **changes)))
    assert isinstance(answer, Rejected)
    assert answer.reason == Reason.OUT_OF_STOCK
    answer, _ = submit(order(), stock(row("a", **changes), row("b")), assigned("b"))
    assert answer.reference == "b"


def test_a_search_ends_after_ten_pages_and_says_so() -> None:
    pages = [stock(row(f"a{place}", country="NZ"), next_token=f"t{place}") for place in range(10)]
    answer, sent = submit(order(), *pages)
    assert answer.reason == Reason.OUT_OF_STOCK
    assert "first 10" in answer.detail
    assert len(sent) == 10


def test_a_list_whose_token_comes_twice_is_not_read_for_ever() -> None:
    with pytest.raises(Unavailable, match="does not end"):
        submit(order(), stock(next_token="t"), stock(next_token="t"))


def test_the_first_candidates_are_picked_before_anything_is_ordered() -> None:
    picked: list[list[Candidate]] = []

    async def pick(candidates: Sequence[Candidate]) -> Candidate | None:
        picked.append(list(candidates))
        raise Unavailable("the lease is over")

    with pytest.raises(Unavailable, match="lease"):
        submit(order(pick=pick), stock(row("a"), row("g", classification="GOLD")))
    assert picked == [[Candidate("a", page.CHOSEN_NUMBER)]]


def test_when_others_of_ours_are_after_every_number_the_order_waits_and_is_not_out_of_stock() -> None:
    asked = order(pick=picking.after_others("a", "b"))
    with pytest.raises(Unavailable, match="all 2 numbers"):
        submit(asked, stock(row("a"), next_token="t"), stock(row("b"), row("a")))


# Conflicts.


@pytest.mark.parametrize("no", [TAKEN, ABSENT])
@pytest.mark.parametrize("found", [ABSENT, held({"trunkline_request": str(new_id())}), held({"State": "Vic"})])
def test_when_somebody_was_quicker_the_next_of_the_same_search_is_ordered(no: Answered, found: Answered) -> None:
    asked = order(pick=picking.after_others())
    answer, sent = submit(asked, stock(row("a"), row("b")), no, found, assigned_any())
    assert isinstance(answer, Completed)
    first, read, second = sent[1:]
    assert read == first.replace("POST", "GET"), "before another is chosen, it is read whose this one is"
    assert {first, second} == {"POST /a/assignment", "POST /b/assignment"}


def assigned_any() -> Answered:
    """The answer of the reference's example names no number that could be compared."""
    return "201 Created", {"id": "b06387c0"}


def test_when_somebody_was_quicker_with_all_of_them_the_stock_is_empty() -> None:
    answer, _ = submit(order(), stock(row("a"), row("b")), TAKEN, ABSENT, TAKEN, ABSENT)
    assert answer.reason == Reason.OUT_OF_STOCK
    assert "2 that others were quicker with" in answer.detail


def test_a_number_that_a_conflict_shows_to_be_ours_is_not_bought_again() -> None:
    asked = order()
    answer, _ = submit(asked, stock(row("a"), row("b")), TAKEN, held(key_of(asked), "a"))
    assert isinstance(answer, Completed)


def pinned(**fields: Any) -> Order:
    return order(upstream_reference=page.CHOSEN, number=page.CHOSEN_NUMBER, **fields)


@pytest.mark.parametrize("repeated", [False, True])
def test_a_number_picked_before_is_ordered_without_a_search(repeated: bool) -> None:
    answer, sent = submit(pinned(repeated=repeated), ASSIGNED)
    assert answer == Completed(page.CHOSEN_NUMBER, page.CHOSEN)
    assert sent == [f"POST /{page.CHOSEN}/assignment"]


def test_a_number_picked_before_that_is_ours_already_completes_the_order() -> None:
    asked = pinned(repeated=True)
    answer, sent = submit(asked, TAKEN, held({"State": "Vic", **key_of(asked)}))
    assert answer == Completed(page.CHOSEN_NUMBER, page.CHOSEN)
    assert sent == [f"POST /{page.CHOSEN}/assignment", f"GET /{page.CHOSEN}/assignment"]


@pytest.mark.parametrize("found", [ABSENT, held({"trunkline_request": str(new_id())})])
def test_a_number_picked_before_that_another_has_is_left_alone_and_the_stock_searched(found: Answered) -> None:
    answer, sent = submit(pinned(repeated=True), TAKEN, found, stock(row(page.CHOSEN), row("b")), assigned("b"))
    assert answer == Completed(page.CHOSEN_NUMBER, "b", "A BRONZE number")
    assert sent[3] == "POST /b/assignment"


def test_a_number_picked_before_that_may_be_ours_or_not_waits_for_a_person() -> None:
    with pytest.raises(Undecidable, match=r"\+61438851616"):
        submit(pinned(repeated=True), TAKEN, held({"State": "Vic"}))
    with pytest.raises(Undecidable):
        look_up(pinned(), held(None))
    answer, _ = submit(pinned(), TAKEN, held({"State": "Vic"}), stock(row("b")), assigned("b"))
    assert answer.reference == "b", "no earlier attempt was sent, so it cannot be ours"


def test_a_conflict_that_cannot_be_looked_into_is_no_order_and_no_reason_to_choose_another() -> None:
    with pytest.raises(Unavailable):
        submit(pinned(repeated=True), TAKEN, ("503 Oops", ""))


# Looking up.


def test_an_order_that_picked_nothing_has_ordered_nothing() -> None:
    answer, sent = look_up(order())
    assert (answer, sent) == (NotFound(), [])


def test_an_order_is_found_by_its_key_on_the_number_that_it_picked() -> None:
    asked = pinned()
    answer, sent = look_up(asked, held(key_of(asked)))
    assert answer == Completed(page.CHOSEN_NUMBER, page.CHOSEN)
    assert sent == [f"GET /{page.CHOSEN}/assignment"]
    assert look_up(asked, ABSENT)[0] == NotFound()
    assert look_up(asked, held({"trunkline_request": str(new_id())}))[0] == NotFound()


@pytest.mark.parametrize(
    ("shown", "answer"),
    [
        (held({"State": "Vic", "Region": "SE", "trunkline_request": "x"}), NotFound()),
        (("200 OK", page.text("label_answer.json")), NotFound()),
        (
            ("200 OK", page.text("label_answer.json").replace("HouseElf", "Representative")),
            Completed(page.CHOSEN_NUMBER),
        ),
        (ABSENT, NotFound()),
    ],
)
def test_an_update_is_done_when_what_was_asked_for_shows(shown: Answered, answer: Any) -> None:
    asked = order(Kind.UPDATE, spec=page.document("label_request.json"))
    assert look_up(asked, shown)[0] == answer


def test_a_release_is_done_when_our_account_has_not_got_the_number_any_more() -> None:
    assert look_up(order(Kind.RELEASE), ABSENT)[0] == Completed(page.CHOSEN_NUMBER)
    assert look_up(order(Kind.RELEASE), held({}))[0] == NotFound()


# Changing and giving up.


def test_what_another_attempt_gave_up_is_given_up_and_what_never_was_ours_is_refused() -> None:
    answer, _ = submit(order(Kind.RELEASE, repeated=True), ABSENT)
    assert isinstance(answer, Completed)
    answer, _ = submit(order(Kind.RELEASE), ABSENT)
    assert answer == Rejected(detail="MessageMedia answered 404: Not found")
    answer, _ = submit(order(Kind.UPDATE, spec={"label": "x"}, repeated=True), ABSENT)
    assert isinstance(answer, Rejected)


def owned_row(number_id: str, written: str | int, **assignment: Any) -> dict[str, Any]:
    return {
        "assignment": {"id": "x", "number_id": number_id} | assignment,
        "number": row(number_id, phone_number=written),
    }


@pytest.mark.parametrize("written", ["+61438851616", "61438851616", 61438851616])
def test_a_number_older_than_trunkline_is_found_by_its_digits(written: str | int) -> None:
    asked = order(Kind.RELEASE, number_reference=None)
    others = owned_row("o", "+61238851616")
    answer, sent = submit(
        asked,
        stock(others, next_token="t"),
        stock(owned_row(page.CHOSEN, written)),
        NO_CONTENT,
    )
    assert answer == Completed(page.CHOSEN_NUMBER)
    assert sent == [
        "GET /assignments?matching=38851616&page_size=50",
        "GET /assignments?matching=38851616&page_size=50&token=t",
        f"DELETE /{page.CHOSEN}/assignment",
    ]


def test_a_number_that_our_account_has_not_got_is_neither_changed_nor_given_up() -> None:
    unlisted = stock(owned_row("o", "+61238851616"))
    for kind, spec in ((Kind.UPDATE, {"label": "x"}), (Kind.RELEASE, {})):
        asked = order(kind, spec=spec, number_reference=None)
        answer, _ = submit(asked, unlisted)
        assert isinstance(answer, Rejected)
        assert "not among the numbers" in (answer.detail or "")
    again = order(Kind.RELEASE, number_reference=None, repeated=True)
    assert isinstance(submit(again, unlisted)[0], Completed)
    assert look_up(again, unlisted)[0] == Completed(page.CHOSEN_NUMBER)
    assert look_up(order(Kind.UPDATE, spec={"label": "x"}, number_reference=None), unlisted)[0] == NotFound()


# Stock and inventory.


def test_the_stock_is_asked_by_the_searchs_own_names_and_all_its_pages_are_read() -> None:
    query = {"country": "AU", "service_types": "SMS,MMS", "matching": "42", "page_size": "3"}
    rows, sent = told(
        lambda client: client.stock(query, LONG), SEARCH, stock(row("b"), row(page.FIRST, phone_number="+61439742682"))
    )
    asked = "country=AU&service_types=SMS,MMS&matching=42&page_size=3"
    assert lines_of(sent) == [f"GET /?{asked}", f"GET /?{asked}&token={page.NEXT_TOKEN}"]
    assert [one.number for one in rows[:3]] == ["+61439742682", "+61438824240", page.CHOSEN_NUMBER]
    assert len(rows) == 4, "a number that moved to the next page is one number"
    assert (rows[0].region, rows[0].classification, rows[0].capabilities) == (None, "BRONZE", ("SMS",))


def test_what_the_stock_cannot_be_asked_is_said_without_asking_or_in_messagemedias_words() -> None:
    with pytest.raises(BadQuery, match="szu"):
        told(lambda client: client.stock({"szu": "sydney"}, LONG))
    no = ("400 Bad Request", {"message": "Request failed", "details": ["country: no such"]})
    with pytest.raises(BadQuery, match="country: no such"):
        told(lambda client: client.stock({"country": "XX"}, LONG), no)
    with pytest.raises(Unavailable, match="TRUNKLINE_MESSAGEMEDIA_URL"):
        told(lambda client: client.stock({}, LONG), ABSENT)


def test_every_page_of_the_numbers_that_we_own_is_read() -> None:
    id_ = new_id()
    rows, sent = told(
        lambda client: client.owned(LONG),
        stock(owned_row("a", "+61438851616", label="Fred", metadata={"trunkline_request": str(id_)}), next_token="t"),
        stock(owned_row("b", 61439742682), owned_row("c", "19911")),
    )
    assert [(one.number, one.reference, one.name, one.order) for one in rows] == [
        ("+61438851616", "a", "Fred", id_),
        ("+61439742682", "b", None, None),
    ]
    assert lines_of(sent) == ["GET /assignments?page_size=50", "GET /assignments?page_size=50&token=t"]


# Errors.


REFUSED = {"message": "Request failed to parse correctly.", "details": ["label: too long."]}


@pytest.mark.parametrize("kind", Kind)
def test_a_400_is_a_refusal_in_messagemedias_words(kind: Kind) -> None:
    asked = pinned() if kind is Kind.PROVISION else order(kind, spec={"label": "x"} if kind is Kind.UPDATE else {})
    answer, _ = submit(asked, ("400 Bad Request", REFUSED))
    assert answer == Rejected(detail="MessageMedia answered 400: Request failed to parse correctly. (label: too long.)")


def test_a_search_that_is_refused_refuses_the_order_and_one_that_is_not_there_names_the_setting() -> None:
    answer, _ = submit(order(), ("400 Bad Request", REFUSED))
    assert isinstance(answer, Rejected)
    assert answer.reason == Reason.UPSTREAM_REJECTED
    with pytest.raises(Unavailable, match="TRUNKLINE_MESSAGEMEDIA_URL"):
        submit(order(), ABSENT)


def unclear_replies() -> list[Answered]:
    return [
        ("200 OK", ""),
        ("200 OK", "{"),
        ("200 OK", "[]"),
        ("200 OK", "<html>maintenance</html>"),
        ("200 OK", {"message": "Welcome"}),
        ("200 OK", {"id": "x", "number_id": "another"}),
        ("404 Not Found", "<html>nginx</html>"),
        ("404 Not Found", {"error": "from a proxy"}),
        ("400 Bad Request", ""),
        ("301 Moved", ""),
        ("500 Oops", {"message": "Sorry"}),
        ("502 Bad Gateway", "<html/>"),
    ]


@pytest.mark.parametrize("reply", unclear_replies())
def test_an_assignment_answered_by_anything_but_messagemedias_own_word_is_of_unknown_outcome(reply: Answered) -> None:
    with pytest.raises(OutcomeUnknown):
        submit(pinned(), reply)


@pytest.mark.parametrize("reply", unclear_replies()[1:])
def test_so_is_a_change(reply: Answered) -> None:
    with pytest.raises(OutcomeUnknown):
        submit(order(Kind.UPDATE, spec={"label": "x"}), reply)


@pytest.mark.parametrize("reply", [*unclear_replies(), ("202 Accepted", "")])
def test_so_is_a_release(reply: Answered) -> None:
    with pytest.raises(OutcomeUnknown):
        submit(order(Kind.RELEASE), reply)


@pytest.mark.parametrize("reply", [one for one in unclear_replies() if one[1] != {"id": "x", "number_id": "another"}])
def test_a_read_that_is_answered_so_may_be_repeated(reply: Answered) -> None:
    for question in (
        lambda: look_up(pinned(), reply),
        lambda: submit(order(), reply),
        lambda: told(lambda client: client.owned(LONG), reply),
        lambda: told(lambda client: client.stock({}, LONG), reply),
    ):
        with pytest.raises(Unavailable):
            question()


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_credentials_or_a_feature_that_is_refused_pause_the_upstream(status: str) -> None:
    no = (status, {"message": "Invalid authentication credentials"})
    for asked in (order(), pinned(), order(Kind.RELEASE)):
        with pytest.raises(Misconfigured):
            submit(asked, no)
    with pytest.raises(Misconfigured):
        look_up(pinned(), no)


def test_a_spec_that_cannot_be_read_any_more_is_not_sent() -> None:
    for asked in (order(spec={"search": {}}), order(Kind.UPDATE, spec={"label": 7})):
        answer, sent = submit(asked)
        assert isinstance(answer, Rejected)
        assert sent == []


# Time.


def timed(behave: Callable[[Connection, int], Awaitable[None]], asked: Order) -> tuple[Any, list[bytes], float]:
    """What becomes of an order with a short deadline, what was sent, and the seconds that it took.

    `behave` answers each request, by its place among them.
    """
    places = count()

    async def serve(connection: Connection) -> None:
        while await connection.read_request():
            await behave(connection, next(places))

    async def story() -> tuple[Any, list[bytes], float]:
        async with RawServer(serve) as server:
            client, began = client_of(server.url), time.monotonic()
            try:
                outcome: Any = await client.submit(asked, SHORT)
            except (Unavailable, OutcomeUnknown) as failure:
                outcome = failure
            taken = time.monotonic() - began
            await client.close()
            return outcome, server.requests, taken

    return asyncio.run(story())


def test_a_search_that_leaves_too_little_time_orders_nothing() -> None:
    async def behave(connection: Connection, place: int) -> None:
        await asyncio.sleep(SHORT.total_seconds() * 0.75)
        await connection.answer(json.dumps(stock(row("a"))[1]).encode())

    failure, sent, _ = timed(behave, order())
    assert isinstance(failure, Unavailable)
    assert "too little time" in str(failure)
    assert len(sent) == 1


def test_an_assignment_without_an_answer_is_of_unknown_outcome_within_the_deadline_of_the_whole() -> None:
    async def behave(connection: Connection, place: int) -> None:
        if place:
            await connection.silence()
        await asyncio.sleep(SHORT.total_seconds() * 0.5)
        await connection.answer(json.dumps(stock(row("a"))[1]).encode())

    failure, sent, taken = timed(behave, order())
    assert isinstance(failure, OutcomeUnknown)
    assert lines_of(sent)[1] == "POST /a/assignment"
    assert taken < SHORT.total_seconds() * 1.5


def test_a_client_needs_its_credentials_and_names_those_that_are_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUNKLINE_HOME", str(tmp_path))
    for name in ("KEY", "SECRET"):
        monkeypatch.delenv(f"TRUNKLINE_MESSAGEMEDIA_{name}", raising=False)
    with pytest.raises(SettingsError, match="TRUNKLINE_MESSAGEMEDIA_KEY"):
        make_client("messagemedia", load())
    for name in ("KEY", "SECRET"):
        monkeypatch.setenv(f"TRUNKLINE_MESSAGEMEDIA_{name}", "x")
    assert make_client("messagemedia", load()).name == "messagemedia"


def test_the_number_picked_last_is_the_one_that_a_repeated_order_is_about() -> None:
    asked = replace(pinned(), repeated=True)
    answer, _ = submit(asked, TAKEN, ABSENT, stock(row("b"), row("c")), TAKEN, held({}, "b"), assigned_any())
    assert isinstance(answer, Completed), "b was first ordered now: that it is taken cannot be our doing"
