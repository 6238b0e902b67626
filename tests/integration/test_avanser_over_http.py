"""The AVANSER client through real HTTP: the page's examples byte for byte, odd replies, and the simulated AVANSER."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from models.request import Kind
from models.state import Reason
from tests import avanser_page
from tests.avanser_client import LONG, SHORT, TRANSFER, envelope, look_up, order, submit, told, with_client
from tests.catcher import Catcher
from tests.sandbox import TOKEN, SandboxServer, eventually
from worker.settings import SettingsError, load
from worker.upstreams import DIALECTS, make_client
from worker.upstreams.base import (
    Accepted,
    Completed,
    Incoming,
    Misconfigured,
    NotFound,
    Order,
    OutcomeUnknown,
    Rejected,
    Unavailable,
    Undecidable,
    WrongAccount,
)

# The page, byte for byte.


def of_the_page(example: str) -> Order:
    page = avanser_page.document(f"{example}_request.json")
    spec: dict[str, Any] = {name: page[name] for name in ("name", "service_number", "service") if name in page}
    kind, number = (Kind.UPDATE, "+61280740801") if example == "update" else (Kind.PROVISION, None)
    return order(kind, spec=spec, number=number, custom_id=page.get("custom_id"), custom_group=page.get("custom_group"))


@pytest.mark.parametrize(
    ("example", "path", "number"),
    [
        ("number", b"/v1/requests", "+61280740801"),
        ("szu", b"/v1/requests", "+61280740805"),
        ("update", b"/v1/services/61280740801", "+61280740801"),
    ],
)
def test_an_example_of_the_page_is_sent_and_its_acknowledgement_read_as_it_stands_there(
    example: str, path: bytes, number: str
) -> None:
    asked = of_the_page(example)
    acknowledgement = avanser_page.text(f"{example}_acknowledgement.json")
    answer, (sent,) = told(lambda client: client.submit(asked, LONG), ("200 OK", acknowledgement))
    assert answer == Accepted(number, json.loads(acknowledgement)["@transaction"]["id"])

    head, _, body = sent.partition(b"\r\n\r\n")
    wanted = avanser_page.document(f"{example}_request.json")
    wanted |= {"call_uri": asked.call_uri, "callback_uri": asked.callback_uri}
    assert json.dumps(json.loads(body)) == json.dumps(wanted), "the same fields, in the same order"
    assert head.startswith(b"POST " + path + b" HTTP/1.1\r\n")
    lines = {line.lower() for line in head.split(b"\r\n")}
    assert b"authorization: basic " + TOKEN.lower().encode() in lines
    assert b"content-type: application/json" in lines, "contradiction 6: the page's curl calls its JSON a form"


def test_the_pages_stock_search_is_sent_and_read_as_it_stands_there() -> None:
    rows, (sent,) = told(
        lambda client: client.stock({"country": "AU", "szu": "sydney"}, LONG),
        ("200 OK", avanser_page.text("stock.json")),
        stock=None,
    )
    assert sent.startswith(b"GET /v1/numbers?country=AU&szu=sydney HTTP/1.1\r\n")
    assert [row.number for row in rows] == ["+61280740802", "+61280740805"]


# Replies that the simulated AVANSER does not give.


def acknowledging(**changes: Any) -> str:
    return envelope({"request_id": "r", "message": "Success", "code": 200, "service_number": "61280740801"} | changes)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("200 OK", ""),
        ("200 OK", "{"),
        ("200 OK", "[]"),
        ("200 OK", "<html>maintenance</html>"),
        ("200 OK", '{"response": {"code": 200}}'),
        ("200 OK", envelope({"code": 200}, account="")),
        ("200 OK", envelope({"code": 200}, account=None)),
        ("200 OK", envelope([])),
        ("200 OK", acknowledging(request_id=None)),
        ("200 OK", acknowledging(request_id="x" * 256)),
        ("200 OK", acknowledging(service_number="soon")),
        ("200 OK", acknowledging(code=500)),
        ("200 OK", acknowledging(message="\0")),
        ("404 Not Found", "<html>nginx</html>"),
        ("400 Bad Request", '{"message": "from a proxy"}'),
    ],
)
def test_a_reply_that_is_not_avansers_own_word_leaves_an_order_unknown_and_a_read_to_be_repeated(
    status: str, text: str
) -> None:
    with pytest.raises(OutcomeUnknown):
        told(lambda client: client.submit(order(), LONG), (status, text))
    if "request_id" not in text and text != envelope([]):
        with pytest.raises(Unavailable):
            told(lambda client: client.look_up(order(), LONG), (status, text))


def test_an_update_acknowledged_for_another_number_is_unknown() -> None:
    asked = order(Kind.UPDATE, number="+61280740805")
    with pytest.raises(OutcomeUnknown, match=r"\+61280740801"):
        told(lambda client: client.submit(asked, LONG), ("200 OK", acknowledging()))


def test_a_number_other_than_the_one_asked_for_again_is_said_so() -> None:
    asked = order(number="+61280740805", repeated=True)
    answer, _ = told(lambda client: client.submit(asked, LONG), ("200 OK", acknowledging()))
    assert answer == Accepted("+61280740801", "r", "AVANSER gave +61280740801, the closest to +61280740805")


@pytest.mark.parametrize(
    ("code", "failure"), [(401, Misconfigured), (403, Misconfigured), (429, Unavailable), (500, OutcomeUnknown)]
)
@pytest.mark.parametrize("written", [int, str])
def test_a_200_may_carry_any_failure_within(code: int, failure: type[Exception], written: type) -> None:
    text = envelope({"code": written(code), "message": "m"})
    with pytest.raises(failure):
        told(lambda client: client.submit(order(), LONG), ("200 OK", text))


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "404 Not Found", "409 Conflict"])
def test_another_account_stops_everything_whatever_else_the_reply_says(status: str) -> None:
    text = envelope({"code": int(status[:3]), "message": "m"}, account="8xxx")
    for kind in Kind:
        asked = order(kind, number=None if kind is Kind.PROVISION else "+61280740801")
        with pytest.raises(WrongAccount, match="8xxx"):
            told(lambda client, asked=asked: client.submit(asked, LONG), (status, text))  # type: ignore[misc]
    with pytest.raises(WrongAccount):
        told(lambda client: client.look_up(order(), LONG), (status, text))
    with pytest.raises(WrongAccount):
        told(lambda client: client.stock({}, LONG), (status, text), stock=None)


def test_an_account_written_as_a_number_is_compared_all_the_same() -> None:
    with pytest.raises(WrongAccount, match="7000"):
        told(lambda client: client.look_up(order(), LONG), ("200 OK", envelope({}, account=7000)))


def test_an_empty_list_is_empty_in_either_of_phps_ways() -> None:
    empties: tuple[Any, ...] = ([], {})
    for empty in empties:
        assert told(lambda client: client.look_up(order(), LONG), ("200 OK", envelope(empty)))[0] == NotFound()
        assert told(lambda client: client.stock({}, LONG), ("200 OK", envelope(empty)), stock=None)[0] == []


# "Taken" and "not there" may be our own doing.

TAKEN = ("409 Conflict", envelope({"code": 409, "message": "Number 61280740801 is no longer available"}))
GONE = ("404 Not Found", envelope({"code": 404, "message": "Service 61280740801 not found"}))
NOTHING = ("200 OK", envelope({}))
PINNED = {"service_number": {"country": "AU", "search_type": "number", "number": "61280740801"}, "service": TRANSFER}


def seen(asked: Order, status: str) -> tuple[str, str]:
    row = {"service_number": "61280740801", "status": status, "message": "m", "callback_uri": asked.callback_uri}
    return "200 OK", envelope({"r": row})


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        (order(spec=PINNED, repeated=True), TAKEN),
        (order(number="+61280740801", repeated=True), TAKEN),
        (order(Kind.RELEASE, number="+61280740801", repeated=True), GONE),
    ],
)
def test_what_is_refused_because_we_did_it_before_is_found(asked: Order, refusal: tuple[str, str]) -> None:
    answer, sent = told(lambda client: client.submit(asked, LONG), refusal, seen(asked, "completed"))
    assert answer == Completed("+61280740801", "r", "m")
    assert sent[1].startswith(b"GET /v1/requests?")

    with pytest.raises(Undecidable, match="earlier attempt"):
        told(lambda client: client.submit(asked, LONG), refusal, NOTHING)
    with pytest.raises(Unavailable):
        told(lambda client: client.submit(asked, LONG), refusal, ("500 Oops", ""))

    first, _ = told(lambda client: client.submit(replace(asked, repeated=False), LONG), refusal, NOTHING)
    assert isinstance(first, Rejected)
    assert first.reason == Reason.UPSTREAM_REJECTED


def test_a_stock_number_that_somebody_was_quicker_with_may_be_ordered_again() -> None:
    with pytest.raises(Unavailable, match="no longer available"):
        told(lambda client: client.submit(order(), LONG), TAKEN)


# The simulated AVANSER.


@pytest.fixture
def sandbox(server: SandboxServer) -> SandboxServer:
    server.reset(callback={"delay": 0, "jitter": 0})
    return server


def as_received(catcher: Catcher) -> Incoming:
    caught = eventually(lambda: list(catcher.caught))[0]
    catcher.caught.clear()
    return Incoming(caught.method, caught.path.partition("?")[2], caught.headers.get("Content-Type"), caught.body)


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_number_is_ordered_changed_and_given_up_and_each_is_called_back(
    sandbox: SandboxServer, catcher: Catcher, method: str
) -> None:
    sandbox.reset(callback={"delay": 0, "jitter": 0, "method": method})
    avanser = DIALECTS["avanser"]

    bought = order(public_url=catcher.url, custom_id="dealer-17", custom_group="vic")
    answer = submit(sandbox.avanser_url, bought)
    assert isinstance(answer, Accepted)
    said = avanser.read_completion(as_received(catcher))
    assert isinstance(said, Completed)
    assert said.number == answer.number
    assert look_up(sandbox.avanser_url, bought) == Completed(answer.number, answer.reference, said.detail)

    for kind in (Kind.UPDATE, Kind.RELEASE):
        spec = {"service": {"answer_point": "132307"}} if kind is Kind.UPDATE else {}
        change = order(kind, catcher.url, spec=spec, number=answer.number)
        changed = submit(sandbox.avanser_url, change)
        assert isinstance(changed, Accepted)
        assert changed.number == answer.number
        assert changed.reference != answer.reference
        assert isinstance(avanser.read_completion(as_received(catcher)), Completed)
        settled = look_up(sandbox.avanser_url, change)
        assert isinstance(settled, Completed)
        assert settled.reference == changed.reference

    ledger = sandbox.ledger()
    assert [entry["kind"] for entry in ledger] == ["provision", "update", "release"]
    assert (ledger[0]["custom_id"], ledger[0]["custom_group"]) == ("dealer-17", "vic")


@pytest.mark.parametrize("raw_plus", [False, True])
def test_a_call_on_a_number_of_ours_is_read(sandbox: SandboxServer, catcher: Catcher, raw_plus: bool) -> None:
    bought = submit(sandbox.avanser_url, order(public_url=catcher.url))
    as_received(catcher)
    told_time = "2017-06-11T16:49:17+10:00"
    sandbox.call(bought.number.removeprefix("+"), raw_plus=raw_plus, tzdate=told_time)
    call = DIALECTS["avanser"].read_calls(as_received(catcher))[0]
    assert (call.number, call.caller, call.answer_point) == (bought.number, "+61405061663", "+61401603859")
    assert (call.duration, call.started_at_raw) == (15, told_time)


@pytest.mark.parametrize("as_200", [False, True])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [("out_of_stock", Reason.OUT_OF_STOCK), ("refused", Reason.UPSTREAM_REJECTED)],
)
def test_a_refusal_is_an_answer_whichever_way_it_comes(
    sandbox: SandboxServer, fault: str, reason: Reason, as_200: bool
) -> None:
    sandbox.script(refusals_as_200=as_200, faults=[{"fault": fault}])
    answer = submit(sandbox.avanser_url, order())
    assert isinstance(answer, Rejected)
    assert answer.reason == reason
    assert answer.detail
    assert sandbox.ledger() == []


@pytest.mark.parametrize(
    ("fault", "orders"),
    [
        ("error_before_effect", 0),
        ("error_after_effect", 1),
        ("reset_before_effect", 0),
        ("reset_after_effect", 1),
        ("unreadable_after_effect", 1),
        ("timeout_before_effect", 0),
        ("timeout_after_effect", 1),
        ("slow_body", 1),
    ],
)
def test_an_order_of_unknown_outcome_is_settled_by_looking(sandbox: SandboxServer, fault: str, orders: int) -> None:
    sandbox.script(faults=[{"fault": fault, "seconds": 3}], callback={"delay": 60})
    asked = order(custom_id="dealer-17")
    with pytest.raises(OutcomeUnknown):
        submit(sandbox.avanser_url, asked, SHORT)
    ledger = sandbox.ledger()
    assert len(ledger) == orders, "sent once"
    seen_there = look_up(sandbox.avanser_url, asked)
    assert seen_there == (
        Accepted(f"+{ledger[0]['number']}", ledger[0]["request_id"], seen_there.detail) if orders else NotFound()
    )


def test_an_order_that_the_list_does_not_show_yet_is_not_found(sandbox: SandboxServer) -> None:
    sandbox.script(faults=[{"fault": "list_lags", "seconds": 60}])
    asked = order()
    assert isinstance(submit(sandbox.avanser_url, asked), Accepted)
    assert look_up(sandbox.avanser_url, asked) == NotFound()


def test_one_custom_id_for_many_orders_confuses_none_of_them(sandbox: SandboxServer) -> None:
    first, second, third = (order(custom_id="dealer-17") for _ in range(3))
    answers = [submit(sandbox.avanser_url, asked) for asked in (first, second)]
    eventually(lambda: all(entry["status"] == "completed" for entry in sandbox.ledger()))
    assert [look_up(sandbox.avanser_url, asked).number for asked in (first, second)] == [one.number for one in answers]
    assert look_up(sandbox.avanser_url, third) == NotFound()


def test_the_wrong_account_and_wrong_credentials_are_found_out(sandbox: SandboxServer) -> None:
    sandbox.script(faults=[{"fault": "wrong_account"}])
    with pytest.raises(WrongAccount):
        submit(sandbox.avanser_url, order())
    sandbox.script(faults=[{"fault": "wrong_credentials"}])
    with pytest.raises(Misconfigured):
        submit(sandbox.avanser_url, order())
    sandbox.script(faults=[{"fault": "rate_limited", "retry_after": 3}])
    with pytest.raises(Unavailable) as raised:
        submit(sandbox.avanser_url, order())
    assert (raised.value.reason, raised.value.retry_after) == (Reason.OVER_LIMIT, timedelta(seconds=3))


def test_a_number_ordered_again_by_its_name_is_not_bought_twice(sandbox: SandboxServer) -> None:
    asked = order(spec=PINNED)
    bought = submit(sandbox.avanser_url, asked)
    again = submit(sandbox.avanser_url, replace(asked, repeated=True))
    assert again.number == bought.number
    assert len(sandbox.ledger()) == 1


def test_stock_is_what_could_be_ordered(sandbox: SandboxServer) -> None:
    rows = with_client(sandbox.avanser_url, lambda client: client.stock({"country": "AU", "type": "MOBILE"}, LONG))
    assert rows
    assert {(row.country, row.type) for row in rows} == {("AU", "MOBILE")}
    assert all(row.number.startswith("+614") for row in rows)


def test_a_client_needs_its_credentials_and_names_those_that_are_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUNKLINE_HOME", str(tmp_path))
    for name in ("USERNAME", "PASSWORD", "ACCOUNT_ID"):
        monkeypatch.delenv(f"TRUNKLINE_AVANSER_{name}", raising=False)
    with pytest.raises(SettingsError, match="TRUNKLINE_AVANSER_USERNAME"):
        make_client("avanser", load())
    for name in ("USERNAME", "PASSWORD", "ACCOUNT_ID"):
        monkeypatch.setenv(f"TRUNKLINE_AVANSER_{name}", "x")
    assert make_client("avanser", load()).name == "avanser"
