"""Phone numbers as people and vendors write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.upstreams.e164 import NotANumber, country_of, to_digits, to_e164


@pytest.mark.parametrize(
    "written",
    [
        "61280740801",
        "+61280740801",
        "+61-0280740801",  # AVANSER's call reports keep the trunk zero
        "61-0280740801",
        " 61-0280740801",  # and a raw plus in a query decodes to a space
        "+61 2 8074 0801",
        "+61 (0)2 8074 0801",
        "+61\u00a02\u00a08074\u00a00801",  # spreadsheets
        "+61 2 8074\u20110801",  # word processors
        "+61.2.8074.0801",
        "0061280740801"[2:],
    ],
)
@pytest.mark.parametrize("country", [None, "AU", "au", "NZ"])
def test_one_number_in_every_international_form(written: str, country: str | None) -> None:
    assert to_e164(written, country) == "+61280740801"


@pytest.mark.parametrize(
    ("written", "country", "e164"),
    [
        ("0280740802", "AU", "+61280740802"),
        ("(02) 8074 0802", "AU", "+61280740802"),
        ("280740802", "AU", "+61280740802"),  # a spreadsheet ate the zero
        ("0401603859", "AU", "+61401603859"),
        ("1300 500 000", "AU", "+611300500000"),  # not +1 300 500 000
        ("132307", "AU", "+61132307"),  # the page's answer point 61132307, as people know it
        ("0011 64 9 300 0000", "AU", "+6493000000"),  # dialled abroad from Australia
        ("021 123 4567", "NZ", "+64211234567"),
        ("6128074080", "US", "+16128074080"),  # Minneapolis, though 61 is Australia
        ("12025550123", "AU", "+12025550123"),
    ],
)
def test_national_forms_are_read_in_their_country(written: str, country: str, e164: str) -> None:
    assert to_e164(written, country) == e164


@pytest.mark.parametrize("number", ["+61132307", "+61193000000", "+61480000000", "+611800500000", "+6493000000"])
def test_a_number_of_possible_length_is_taken_whether_or_not_it_is_assigned(number: str) -> None:
    assert to_e164(to_digits(number)) == number


@pytest.mark.parametrize(
    "rubbish",
    [
        "",
        " ",
        "+",
        "abc",
        "1800 FLOWERS",
        "0280740802",  # national, and no country is said
        "614016038599999999",
        "+6112",
        "61401603859 ext 3",
        "61401603859;61401603860",
        "++61280740801",
        "+61280740801+",
        "6.1280740801E+10",  # what a spreadsheet makes of 61280740801
        "٦١٢٨٠٧٤٠٨٠١",
        "sip:61280740801@example.com",
    ],
)
def test_rubbish_is_no_number(rubbish: str) -> None:
    with pytest.raises(NotANumber):
        to_e164(rubbish)


@given(st.text(max_size=30), st.sampled_from([None, "AU", "NZ", "US", "ZZ", ""]))
def test_any_text_is_a_number_in_e164_or_none(text: str, country: str | None) -> None:
    try:
        number = to_e164(text, country)
    except NotANumber:
        return
    assert number[0] == "+"
    assert number[1:].isascii()
    assert number[1:].isdecimal()
    assert len(number) <= 16
    assert to_e164(number) == number
    assert to_e164(to_digits(number)) == number


@pytest.mark.parametrize(
    ("number", "country"),
    [("+61280740801", "AU"), ("+6493000000", "NZ"), ("+80012345678", None), ("+999", None), ("", None)],
)
def test_a_number_tells_its_country(number: str, country: str | None) -> None:
    assert country_of(number) == country
