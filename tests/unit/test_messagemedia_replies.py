"""What MessageMedia's replies mean: pages, numbers in stock, assignments, refusals."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.base import new_id
from tests import messagemedia_page
from worker.upstreams.base import OwnedNumber, Unreadable
from worker.upstreams.http import Reply
from worker.upstreams.messagemedia.replies import Assignment, Offer, Page, Refusal, owned

ID = new_id()
ROW: dict[str, Any] = messagemedia_page.document("search.json")["data"][2]


def reply(document: Any, status: int = 200) -> Reply:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Reply(status, {}, body, False, timedelta())


def test_the_guides_page_of_stock_is_read_as_it_stands_there() -> None:
    page = Page.of(reply(messagemedia_page.text("search.json").encode()))
    assert page.next_token == messagemedia_page.NEXT_TOKEN
    offers = [offer for offer in map(Offer.of, page.rows) if offer]
    assert [(offer.id, offer.row.number) for offer in offers] == [
        (messagemedia_page.FIRST, "+61439742682"),
        (messagemedia_page.SECOND, "+61438824240"),
        (messagemedia_page.CHOSEN, messagemedia_page.CHOSEN_NUMBER),
    ]
    row = offers[2].row
    assert (row.country, row.region, row.type, row.classification) == ("AU", None, "MOBILE", "BRONZE")
    assert row.capabilities == ("SMS",)
    assert row.raw == ROW
    assert offers[2].available_after == datetime(2019, 8, 6, 23, 56, 58, 186_000, tzinfo=UTC)


@pytest.mark.parametrize("pagination", [{"page_size": 3}, {"page_size": 3, "next_token": None}, {}, None, []])
def test_the_last_page_has_no_token(pagination: Any) -> None:
    assert Page.of(reply({"data": [], "pagination": pagination})).next_token is None
    assert Page.of(reply({"data": []})).next_token is None


@pytest.mark.parametrize("document", [b"", b"<html/>", [], {}, {"data": {}}, {"data": ["x"]}, {"data": None}])
def test_what_is_no_page_is_unreadable(document: Any) -> None:
    with pytest.raises(Unreadable):
        Page.of(reply(document))


@pytest.mark.parametrize("written", ["+61438851616", "61438851616", 61438851616])
def test_a_number_in_any_of_messagemedias_spellings_is_the_same_number(written: str | int) -> None:
    offer = Offer.of(ROW | {"phone_number": written})
    assert offer is not None
    assert offer.row.number == messagemedia_page.CHOSEN_NUMBER
    held = owned({"assignment": messagemedia_page.document("assignment.json"), "number": {"phone_number": written}})
    assert held is not None
    assert held.number == messagemedia_page.CHOSEN_NUMBER


@pytest.mark.parametrize(
    "changes",
    [
        {"phone_number": "19911"},
        {"phone_number": "61438851616", "type": "SHORT_CODE"},
        {"phone_number": None},
        {"phone_number": True},
        {"id": None},
        {"id": ""},
        {"id": 7},
        {"id": "x" * 256},
        {"id": "../assignments"},
    ],
)
def test_what_cannot_be_ordered_or_held_is_left_out_of_the_stock(changes: dict[str, Any]) -> None:
    assert Offer.of(ROW | changes) is None


def test_a_row_that_says_less_is_a_number_all_the_same() -> None:
    offer = Offer.of({"id": "x", "phone_number": "61438851616", "capabilities": None, "available_after": "soon"})
    assert offer is not None
    assert (offer.row.classification, offer.row.capabilities, offer.available_after) == (None, (), None)


def test_the_guides_assignment_is_read_as_it_stands_there() -> None:
    bare = Assignment.of(messagemedia_page.document("assignment.json"))
    assert (bare.number_id, bare.label, bare.metadata) == (messagemedia_page.CHOSEN, None, {})
    assert bare.order is None
    labelled = Assignment.of(messagemedia_page.document("label_answer.json"))
    assert (labelled.number_id, labelled.label) == (messagemedia_page.CHOSEN, "HouseElf-Fred")
    assert labelled.metadata == {"Region": "SE", "State": "Vic"}


@pytest.mark.parametrize(
    ("metadata", "order"),
    [
        ({"trunkline_request": str(ID)}, ID),
        ({"trunkline_request": str(ID).upper(), "State": "Vic"}, ID),
        ({"trunkline_request": "dealer-17"}, None),
        ({"trunkline_request": None}, None),
        ({"State": "Vic"}, None),
        (None, None),
        ([], None),
    ],
)
def test_an_assignment_names_the_order_that_it_was_made_for(metadata: Any, order: Any) -> None:
    assert Assignment.of({"number_id": "x", "metadata": metadata}).order == order


@pytest.mark.parametrize("document", [None, [], {}, {"message": "Not found"}])
def test_what_is_no_assignment_is_unreadable(document: Any) -> None:
    with pytest.raises(Unreadable):
        Assignment.of(document)


@pytest.mark.parametrize(
    ("asked", "is_shown"),
    [
        ({"label": "HouseElf-Fred"}, True),
        ({"label": "Representative-Fred"}, False),
        ({"metadata": {"State": "Vic", "Region": "SE"}}, True),
        ({"metadata": {"State": "Vic"}}, True),
        ({"metadata": {"State": "NSW"}}, False),
        ({"metadata": {"Town": "Yea"}}, False),
        ({"metadata": {}}, True),
        ({"label": "HouseElf-Fred", "metadata": {"State": "NSW"}}, False),
        ({"label": "HouseElf-Fred", "colour": "red"}, False),
    ],
)
def test_an_assignment_shows_what_was_asked_or_does_not(asked: dict[str, Any], is_shown: bool) -> None:
    assert Assignment.of(messagemedia_page.document("label_answer.json")).shows(asked) is is_shown


def test_an_owned_number_goes_by_the_id_that_its_assignment_names() -> None:
    assignment = messagemedia_page.document("label_answer.json")
    assignment["metadata"]["trunkline_request"] = str(ID)
    row = {"assignment": assignment, "number": ROW | {"id": "another"}}
    assert owned(row) == OwnedNumber(
        messagemedia_page.CHOSEN_NUMBER, messagemedia_page.CHOSEN, name="HouseElf-Fred", order=ID, raw=row
    )
    bare = owned({"assignment": None, "number": ROW})
    assert bare is not None
    assert (bare.reference, bare.name, bare.order) == (messagemedia_page.CHOSEN, None, None)
    assert owned({"assignment": assignment, "number": {"phone_number": "19911"}}) is None
    assert owned({"assignment": assignment}) is None


def test_a_refusal_says_what_messagemedia_said_and_every_detail() -> None:
    refusal = Refusal.of(reply({"message": "Request failed.", "details": ["No label.", "No metadata."]}, 400))
    assert str(refusal) == "MessageMedia answered 400: Request failed. (No label.; No metadata.)"
    assert str(Refusal.of(reply({"message": "Not found"}, 404))) == "MessageMedia answered 404: Not found"


@pytest.mark.parametrize("document", [b"", b"<html/>", [], {}, {"message": None}, {"error": "x"}])
def test_what_is_not_messagemedias_word_is_no_refusal(document: Any) -> None:
    with pytest.raises(Unreadable):
        Refusal.of(reply(document, 404))
