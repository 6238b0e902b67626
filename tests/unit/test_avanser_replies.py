"""What AVANSER's lists prove about an order of ours."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from models.base import new_id
from models.inbox import Purpose
from models.request import Kind
from tests import avanser_page, picking
from worker.signing import BadToken, Tokens, Uris, claimed_by
from worker.upstreams.avanser.replies import found, stock
from worker.upstreams.base import Accepted, Completed, NotFound, Order, Rejected, Undecidable

KEY, OTHER_KEY = SecretStr("k" * 43), SecretStr("o" * 43)
URIS = Uris("https://us.example", Tokens([KEY]))
ID = new_id()
ORDER = Order(
    request_id=ID,
    kind=Kind.PROVISION,
    spec={},
    number=None,
    upstream_reference=None,
    custom_id="dealer-17",
    custom_group=None,
    callback_uri=URIS.callback("avanser", ID),
    call_uri=URIS.call("avanser", ID),
    sms_uri=URIS.sms("avanser", ID),
    pick=picking.first,
)
NAMELESS = replace(ORDER, custom_id=None)
UPDATE = replace(ORDER, kind=Kind.UPDATE, number="+61280740801")


def row(status: str = "pending", uri: str | None = ORDER.callback_uri, **changes: Any) -> dict[str, Any]:
    fields = {"custom_id": "dealer-17", "service_number": "61280740801", "status": status, "message": "m"}
    return fields | {"callback_uri": uri} | changes


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        ("pending", Accepted("+61280740801", "r1", "m")),
        ("completed", Completed("+61280740801", "r1", "m")),
        ("failed", Rejected(detail="m")),
        ("thinking", Accepted("+61280740801", "r1", "m")),
    ],
)
def test_an_order_is_known_by_our_uri_and_stands_as_its_status_says(status: str, answer: object) -> None:
    others = {"r0": row("failed", URIS.callback("avanser", new_id())), "r2": row("completed", "https://else.example/")}
    assert found(ORDER, {**others, "r1": row(status)}) == answer


def test_a_list_without_our_uri_does_not_have_our_order_even_under_the_same_custom_id() -> None:
    assert found(ORDER, {}) == NotFound()
    assert found(ORDER, {"r1": row("completed", URIS.callback("avanser", new_id()))}) == NotFound()
    assert found(ORDER, {"r1": row("completed", ORDER.call_uri.replace("/calls/", "/x?y="))}) == NotFound()


@pytest.mark.parametrize(
    "uris", [Uris("https://us.example", Tokens([OTHER_KEY, KEY])), Uris("https://moved.example/x", Tokens([KEY]))]
)
def test_an_order_is_known_again_after_a_rotation_of_keys_or_a_change_of_address(uris: Uris) -> None:
    before = row("completed", uris.callback("avanser", ID))
    assert before["callback_uri"] != ORDER.callback_uri
    assert isinstance(found(ORDER, {"r1": before}), Completed)


def test_a_token_tells_whom_it_claims_to_be_for_and_other_text_tells_nothing() -> None:
    token = Tokens([KEY]).make("avanser", Purpose.CALLBACK, ID)
    assert claimed_by(token) == ID
    for text in ("", "x", token[:-4], token + "AAAA", "debug.php", "é"):
        with pytest.raises(BadToken):
            claimed_by(text)


def test_a_row_without_a_uri_is_adopted_only_under_an_id_that_is_ours_alone() -> None:
    bare = row("completed", None, custom_id=str(ID))
    assert found(NAMELESS, {"r1": bare}) == Completed("+61280740801", "r1", "m")
    assert found(NAMELESS, {"r1": row("completed", None, custom_id="dealer-18")}) == NotFound()
    for order, rows in (
        (NAMELESS, {"r1": bare, "r2": bare}),
        (ORDER, {"r1": row("completed", None)}),
        (ORDER, {"r1": row("completed", ""), "r2": row("failed", None)}),
        (UPDATE, {"r1": row("completed", None)}),
    ):
        with pytest.raises(Undecidable, match="none shows our URI"):
            found(order, rows)


def test_an_update_is_not_confused_with_what_was_done_to_other_numbers() -> None:
    assert found(UPDATE, {"r1": row("completed", None, service_number="61280740805")}) == NotFound()
    assert isinstance(found(UPDATE, {"r1": row("completed", None, service_number="1"), "r2": row()}), Accepted)


def test_an_order_that_stands_twice_with_two_numbers_is_for_a_person() -> None:
    with pytest.raises(Undecidable, match=r"more than once: \+61280740801, \+61280740805"):
        found(ORDER, {"r1": row("completed"), "r2": row("pending", service_number="61280740805")})


def test_of_several_rows_of_one_order_what_stands_counts_more_than_what_failed() -> None:
    assert isinstance(found(ORDER, {"r1": row("failed"), "r2": row("pending"), "r3": row("failed")}), Accepted)
    assert isinstance(found(ORDER, {"r1": row("completed"), "r2": row("pending")}), Completed)
    assert isinstance(found(ORDER, {"r1": row("failed"), "r2": row("failed")}), Rejected)


def test_the_pages_stock_is_read_fully() -> None:
    rows = stock(avanser_page.document("stock.json")["response"])
    assert [one.number for one in rows] == ["+61280740802", "+61280740805"]
    first = rows[0]
    assert (first.country, first.region, first.type, first.pool) == ("AU", "NSW: Sydney", "GEO", "private")
    assert (first.raw["national"], first.raw["calling_code"], first.raw["number"]) == (
        "0280740802",
        "+61",
        "61280740802",
    )
