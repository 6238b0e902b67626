"""What Telmetrics' numbers prove about an order of ours."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from models.base import new_id
from models.request import Kind
from tests import picking, telmetrics_page
from worker.upstreams.base import Completed, NotFound, Order, OwnedNumber, Undecidable, Unreadable
from worker.upstreams.telmetrics.names import key_of, named
from worker.upstreams.telmetrics.replies import Listed, Row

ID = new_id()
ORDER = Order(
    request_id=ID,
    kind=Kind.PROVISION,
    spec={},
    number=None,
    upstream_reference=None,
    custom_id=None,
    custom_group=None,
    callback_uri="https://us.example/callbacks/telmetrics/t1",
    call_uri="https://us.example/calls/telmetrics/t2",
    sms_uri="https://us.example/sms/telmetrics/t3",
    pick=picking.first,
)


def row(id_: int = 1, number: str = "2898122093", order: UUID | None = ID, **changes: Any) -> Row:
    name = "ABC Company 4" if order is None else named(order, "ABC Company 4")
    return Row.of({"id": id_, "name": name, "phone_number": number, "status": "Active"} | changes)


OTHERS = [row(7, "4043411266", None), row(8, "8332018273", new_id())]


@pytest.mark.parametrize("example", telmetrics_page.EXAMPLES)
def test_the_pages_answers_are_read_fully(example: str) -> None:
    document = telmetrics_page.document(f"{example}_answer")
    read = Row.of(document)
    assert read == Row(str(document["id"]), f"+1{document['phone_number']}", document["name"], None, "Active", document)
    assert read.is_active


@pytest.mark.parametrize(
    "document",
    [None, [], "x", {}, {"id": None}, {"id": True}, {"id": ""}, {"id": "x" * 256}, {"id": {}}, {"id": 1.5}],
)
def test_a_number_without_an_id_is_none(document: Any) -> None:
    with pytest.raises(Unreadable):
        Row.of(document)


def test_an_order_is_known_by_our_key_at_the_beginning_of_the_name_in_any_case() -> None:
    assert Listed([]).found(ORDER) == NotFound()
    assert Listed(OTHERS).found(ORDER) == NotFound()
    assert Listed([*OTHERS, row()]).found(ORDER) == Completed("+12898122093", "1")
    assert Listed([row(name=key_of(ID).upper() + " abc company 12")]).found(ORDER) == Completed("+12898122093", "1")
    assert Listed([row(name=f"Copy of {key_of(ID)} ABC")]).found(ORDER) == NotFound()


def test_two_numbers_for_one_order_are_for_a_person() -> None:
    with pytest.raises(Undecidable, match=r"more than once: \+12898122093, \+12898122094"):
        Listed([row(1), row(2, "2898122094")]).found(ORDER)
    assert Listed([row(1), row(2)]).found(ORDER) == Completed("+12898122093", "1")


def test_a_number_out_of_service_is_not_taken_for_the_order_and_not_bought_again_either() -> None:
    gone = row(2, "2898122094", status="Inactive")
    with pytest.raises(Undecidable, match="Inactive"):
        Listed([gone]).found(ORDER)
    assert Listed([gone, row(1)]).found(ORDER) == Completed("+12898122093", "1")
    assert Listed([row(status="ACTIVE")]).found(ORDER) == Completed("+12898122093", "1")
    assert Listed([row(status=None)]).found(ORDER) == Completed("+12898122093", "1")


def test_an_order_whose_number_is_not_told_is_for_a_person() -> None:
    with pytest.raises(Undecidable, match="does not say which"):
        Listed([row(phone_number=None)]).found(ORDER)


def test_a_number_to_change_is_the_one_in_service() -> None:
    rows = [row(1, status="Deleted"), row(2), *OTHERS]
    assert Listed(rows).in_service("+12898122093") == rows[1]
    assert Listed(rows).in_service("+12898122094") is None
    assert Listed([rows[0]]).in_service("+12898122093") is None
    with pytest.raises(Undecidable, match="more than once: 2, 3"):
        Listed([row(2), row(3)]).in_service("+12898122093")


def test_what_is_owned_is_told_by_its_name_without_our_key() -> None:
    mine, foreign = row(), row(7, "+448000885620", None)
    listed = Listed([mine, foreign, row(2, status="Deleted"), row(3, phone_number="none")])
    assert listed.owned() == [
        OwnedNumber("+12898122093", "1", "ABC Company 4", order=ID, raw=mine.document),
        OwnedNumber("+448000885620", "7", "ABC Company 4", raw=foreign.document),
    ]
