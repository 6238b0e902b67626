"""Phone numbers as people write them for Telmetrics, and as Telmetrics writes them."""

from __future__ import annotations

import pytest

from worker.upstreams.e164 import NotANumber
from worker.upstreams.telmetrics.numbers import read_number, ten_digits


@pytest.mark.parametrize(
    "written",
    [
        "4165551234",
        "14165551234",
        "+14165551234",
        "+1 416 555 1234",
        "+1 (416) 555-1234",
        "1-416-555-1234",
        "416.555.1234",
        " 416\u2011555\u20111234 ",
    ],
)
def test_a_number_in_any_of_peoples_forms_is_ten_digits(written: str) -> None:
    assert ten_digits(written) == "4165551234"


@pytest.mark.parametrize(
    "written",
    [
        "",
        "555-1234",
        "41655512345",
        "+61280740801",
        "+441634567700",
        "0416555123",
        "1165551234",
        "4161551234",
        "416555CARS",
        "416+5551234",
        "\u0664\u0661\u0666\u0665\u0665\u0665\u0661\u0662\u0663\u0664",
    ],
)
def test_a_number_of_another_country_or_none_is_refused(written: str) -> None:
    with pytest.raises(NotANumber, match=r"\+1"):
        ten_digits(written)


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("2898122093", "+12898122093"),
        ("8332018273", "+18332018273"),
        ("5555555555", "+15555555555"),  # ten digits that could be a Brazilian number in full
        ("+448000885620", "+448000885620"),
        ("+1 289 812 2093", "+12898122093"),
        ("anonymous", None),
        ("", None),
        (None, None),
        (2898122093, None),
        ({}, None),
    ],
)
def test_what_telmetrics_writes_is_north_american_unless_it_says_otherwise(written: object, number: str | None) -> None:
    assert read_number(written) == number
