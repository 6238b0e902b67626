"""Changing and giving up numbers at Telmetrics, through real HTTP."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from models.base import new_id
from models.request import Kind
from tests.telmetrics_vendor import NUMBER, REFERENCE, ROUTES, Vendor, listing, number, order, refused
from worker.upstreams.base import Completed, NotFound, OutcomeUnknown, Rejected, Unavailable, Undecidable
from worker.upstreams.telmetrics.names import named


def test_an_update_is_sent_to_the_number_by_its_id_and_says_only_what_changes() -> None:
    vendor = Vendor().on(f"PUT /numbers/{REFERENCE}", ("200 OK", number()))
    assert vendor.submit(order(Kind.UPDATE)) == Completed(NUMBER, REFERENCE)
    assert vendor.asked == [(f"PUT /numbers/{REFERENCE}", {}, {"call_routes": ROUTES})]


def test_a_new_name_keeps_the_key_of_the_order_that_made_the_number() -> None:
    maker = new_id()
    asked = order(Kind.UPDATE, spec={"name": "XYZ"})
    read, write = f"GET /numbers/{REFERENCE}", f"PUT /numbers/{REFERENCE}"
    vendor = Vendor().on(read, ("200 OK", number(name=named(maker, "ABC 4")))).on(write, ("200 OK", number()))
    assert vendor.submit(asked) == Completed(NUMBER, REFERENCE)
    assert vendor.asked[-1] == (write, {}, {"name": named(maker, "XYZ")})

    older = Vendor().on(read, ("200 OK", number())).on(write, ("200 OK", number()))
    older.submit(asked)
    assert older.asked[-1] == (write, {}, {"name": "XYZ"}), "older than Trunkline, and stays without a key"


@pytest.mark.parametrize("reply", [("405 No", ""), ("404 No", ""), ("200 OK", "[]"), ("200 OK", number(id=7))])
def test_where_one_number_cannot_be_read_alone_the_list_is_asked(reply: tuple[str, Any]) -> None:
    maker = new_id()
    vendor = Vendor().on(f"GET /numbers/{REFERENCE}", reply).on(f"PUT /numbers/{REFERENCE}", ("200 OK", number()))
    vendor.on("GET /numbers", listing(number(id=1), number(name=named(maker, "ABC"))))
    assert vendor.submit(order(Kind.UPDATE, spec={"name": "XYZ"})) == Completed(NUMBER, REFERENCE)
    assert vendor.asked[-1][2] == {"name": named(maker, "XYZ")}


@pytest.mark.parametrize(("kind", "method"), [(Kind.UPDATE, "PUT"), (Kind.RELEASE, "DELETE")])
def test_a_number_whose_id_we_do_not_know_is_found_by_the_number(kind: Kind, method: str) -> None:
    vendor = Vendor().on("GET /numbers", listing(number(id=1, phone_number="4043411266"), number()))
    vendor.on(f"{method} /numbers/{REFERENCE}", ("200 OK", number()))
    answer = vendor.submit(order(kind, number_reference=None))
    assert answer.number == NUMBER
    assert vendor.questions == ["GET /numbers", f"{method} /numbers/{REFERENCE}"]


@pytest.mark.parametrize("kind", [Kind.UPDATE, Kind.RELEASE])
def test_a_number_that_is_not_there_is_said_so(kind: Kind) -> None:
    vendor = Vendor().on("GET /numbers", listing(number(phone_number="4043411266")))
    answer = vendor.submit(order(kind, number_reference=None))
    assert answer == Rejected(detail=f"Telmetrics has no number {NUMBER} in this organization.")
    assert vendor.questions == ["GET /numbers"], "nothing was changed"

    by_id = vendor.submit(order(kind))
    assert isinstance(by_id, Rejected)
    assert NUMBER in str(by_id.detail)
    assert "404" in str(by_id.detail)


def test_a_number_that_is_another_one_by_now_is_for_a_person() -> None:
    other = number(phone_number="4043411266")
    vendor = (
        Vendor().on(f"GET /numbers/{REFERENCE}", ("200 OK", other)).on(f"PUT /numbers/{REFERENCE}", ("200 OK", other))
    )
    with pytest.raises(Undecidable, match=r"\+14043411266 under the id 8660466"):
        vendor.submit(order(Kind.UPDATE, spec={"name": "XYZ"}))
    assert vendor.questions == [f"GET /numbers/{REFERENCE}"], "nothing was changed"
    with pytest.raises(OutcomeUnknown, match=r"\+14043411266"):
        vendor.submit(order(Kind.UPDATE))


@pytest.mark.parametrize("text", ["", "  ", "{}", "null", json.dumps(number(status="Deleted"))])
def test_a_release_needs_no_more_than_a_yes(text: str) -> None:
    vendor = Vendor().on(f"DELETE /numbers/{REFERENCE}", ("200 OK", text))
    assert vendor.submit(order(Kind.RELEASE)) == Completed(NUMBER, REFERENCE)
    assert vendor.asked == [(f"DELETE /numbers/{REFERENCE}", {}, None)]


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone"])
def test_a_release_whose_earlier_attempt_may_have_done_it_is_done_where_the_list_shows_it_no_more(status: str) -> None:
    gone = (f"DELETE /numbers/{REFERENCE}", refused(status))
    again = order(Kind.RELEASE, repeated=True)
    assert Vendor().on(*gone).on("GET /numbers", listing()).submit(again) == Completed(NUMBER, REFERENCE)
    closed = Vendor().on(*gone).on("GET /numbers", listing(number(status="Deleted")))
    assert closed.submit(again) == Completed(NUMBER, REFERENCE)

    still = Vendor().on(*gone).on("GET /numbers", listing(number()))
    with pytest.raises(Unavailable, match="its list shows it"):
        still.submit(again)
    with pytest.raises(Unavailable):
        Vendor().on(*gone).on("GET /numbers", ("500 Oops", "")).submit(again)

    without_id = replace(again, number_reference=None)
    assert Vendor().on("GET /numbers", listing()).submit(without_id) == Completed(NUMBER)


def test_a_release_that_is_refused_for_another_reason_is_refused_the_second_time_too() -> None:
    vendor = Vendor().on(f"DELETE /numbers/{REFERENCE}", refused("400 Bad Request", "in a pool"))
    answer = vendor.submit(order(Kind.RELEASE, repeated=True))
    assert answer == Rejected(detail="Telmetrics answered 400: in a pool")


@pytest.mark.parametrize("reference", [REFERENCE, None])
@pytest.mark.parametrize("is_readable_alone", [True, False])
def test_a_change_is_done_where_the_number_shows_it(reference: str | None, is_readable_alone: bool) -> None:
    asked = order(Kind.UPDATE, number_reference=reference)
    done, open_ = number(), number(call_routes={"route_type": "Basic", "route": {"termination_number": "4043993433"}})
    for shown, answer in ((done, Completed(NUMBER, REFERENCE)), (open_, NotFound())):
        vendor = Vendor().on("GET /numbers", listing(shown))
        if is_readable_alone:
            vendor.on(f"GET /numbers/{REFERENCE}", ("200 OK", shown))
        assert vendor.look_up(asked) == answer
    assert Vendor().on("GET /numbers", listing()).look_up(asked) == NotFound()


def test_a_new_name_is_seen_though_telmetrics_changed_it() -> None:
    maker = new_id()
    asked = order(Kind.UPDATE, spec={"name": "XYZ"})
    for shown, answer in (("XYZ 12", Completed(NUMBER, REFERENCE)), ("ABC", NotFound())):
        row = number(name=named(maker, shown))
        assert Vendor().on(f"GET /numbers/{REFERENCE}", ("200 OK", row)).look_up(asked) == answer


@pytest.mark.parametrize("reference", [REFERENCE, None])
def test_a_release_is_done_where_the_list_does_not_show_the_number(reference: str | None) -> None:
    asked = order(Kind.RELEASE, number_reference=reference)
    assert Vendor().on("GET /numbers", listing(number())).look_up(asked) == NotFound()
    assert Vendor().on("GET /numbers", listing(number(id=1, phone_number="4043411266"))).look_up(asked) == Completed(
        NUMBER
    )
    shown = Vendor().on(f"GET /numbers/{REFERENCE}", ("200 OK", number())).on("GET /numbers", listing())
    if reference is not None:
        assert shown.look_up(asked) == NotFound(), "what it shows alone is believed"
