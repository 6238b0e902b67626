"""Which numbers would do, the cheapest first, and why none does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from models.base import new_id
from worker.upstreams import DIALECTS
from worker.upstreams.messagemedia.choice import Survey, best_first, would_do
from worker.upstreams.messagemedia.replies import Offer
from worker.upstreams.messagemedia.spec import Provision

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LATER = "2026-11-21T12:00:01Z"


def offer(id_: str = "a", **changes: Any) -> Offer:
    row = {
        "id": id_,
        "phone_number": "+61438851616",
        "country": "AU",
        "type": "MOBILE",
        "classification": "BRONZE",
        "available_after": "2019-08-06T23:56:58.186Z",
        "capabilities": ["SMS"],
    }
    made = Offer.of(row | changes)
    assert made is not None
    return made


def spec(most: str | None = None, **search: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"search": {"country": "AU"} | search}
    return given if most is None else given | {"max_classification": most}


@pytest.mark.parametrize(
    ("asked", "changes", "does"),
    [
        (spec(), {}, True),
        (spec(country="nz"), {}, False),
        (spec(), {"country": None}, True),
        (spec(service_types=["SMS"]), {}, True),
        (spec(service_types=["SMS", "MMS"]), {}, False),
        (spec(service_types=["SMS", "MMS"]), {"capabilities": ["TTS", "MMS", "SMS"]}, True),
        (spec(service_types=["SMS"]), {"capabilities": None}, False),
        (spec(service_types=["SMS"]), {"capabilities": ["sms"]}, True),
        (spec(types=["LANDLINE"]), {}, False),
        (spec(types=["LANDLINE", "MOBILE"]), {}, True),
        (spec(matching="8851"), {}, True),
        (spec(matching="6143885"), {}, True),
        (spec(matching="0438851616"), {}, True),
        (spec(matching="8852"), {}, False),
        (spec(), {"classification": "SILVER"}, False),
        (spec(), {"classification": "GOLD"}, False),
        (spec("SILVER"), {"classification": "SILVER"}, True),
        (spec("SILVER"), {"classification": "silver"}, True),
        (spec("SILVER"), {"classification": "GOLD"}, False),
        (spec("GOLD"), {"classification": "GOLD"}, True),
        (spec("GOLD"), {}, True),
        (spec("GOLD"), {"classification": "PLATINUM"}, False),
        (spec("GOLD"), {"classification": None}, False),
        (spec(), {"available_after": "2026-11-21T12:00:00Z"}, True),
        (spec(), {"available_after": LATER}, False),
        (spec(), {"available_after": "2026-11-21T23:00:00.5+11:00"}, False),
        (spec(), {"available_after": None}, True),
        (spec(), {"available_after": "soon"}, True),
    ],
)
def test_a_number_would_do_or_would_not(asked: dict[str, Any], changes: dict[str, Any], does: bool) -> None:
    assert would_do(Provision.model_validate(asked), offer(**changes).row, NOW) is does


def test_a_row_of_the_stock_meets_an_order_by_the_same_rules() -> None:
    messagemedia = DIALECTS["messagemedia"]
    assert messagemedia.is_met_by(spec(), offer().row)
    assert not messagemedia.is_met_by(spec(), offer(classification="GOLD").row)
    assert not messagemedia.is_met_by(spec(), offer(available_after="2999-01-01T00:00:00Z").row)


def test_the_cheapest_come_first_and_equals_in_an_order_of_the_orders_own() -> None:
    offers = [offer(f"{name}{place}", classification=name) for name in ("GOLD", "BRONZE", "SILVER") for place in "1234"]
    orders = [new_id() for _ in range(20)]
    sorted_ = [best_first(offers, order) for order in orders]
    for found in sorted_:
        assert [one.row.classification for one in found] == ["BRONZE"] * 4 + ["SILVER"] * 4 + ["GOLD"] * 4
    assert len({found[0].id for found in sorted_}) > 1
    assert sorted_ == [best_first(offers[::-1], order) for order in orders], "the same at every attempt"


def test_an_order_that_finds_nothing_is_told_why() -> None:
    survey = Survey(Provision.model_validate(spec(service_types=["SMS"])))
    assert survey.sift([offer("a", classification="GOLD"), offer("b", classification="SILVER")], NOW) == []
    assert survey.sift([offer("c", classification="GOLD"), offer("d", capabilities=["TTS"])], NOW) == []
    assert survey.sift([offer("e", available_after=LATER), offer("f", classification=None)], NOW) == []
    said = survey.why_nothing(is_cut=True, lost=2)
    assert "first 6" in said
    assert "dearer ones than max_classification BRONZE: 1 SILVER, 2 GOLD, 1 unclassified" in said
    assert "1 not before 2026-11-21T12:00:01+00:00" in said
    assert "2 that others were quicker with" in said


def test_an_order_that_finds_an_empty_stock_is_told_so_and_no_more() -> None:
    said = Survey(Provision.model_validate(spec())).why_nothing(is_cut=False, lost=0)
    assert said == "No number that fits among the 0 that MessageMedia shows"
