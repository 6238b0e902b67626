"""Phone numbers in every form that people and vendors write them, to E.164 and back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneNumber, ValidationResult

_WRITTEN_LIKE_A_NUMBER = re.compile(r"\s*\+?[0-9(][0-9\s().\-/\u2010-\u2015]*")

_MOST_DIGITS = 15
"""ITU-T E.164, 6.2.1: country code and national number together."""


class NotANumber(ValueError):
    """The text cannot be read as a phone number. Callers show `str()` of it to people."""


@lru_cache(maxsize=10_000)
def to_e164(text: str, country: str | None = None) -> str:
    """`+61280740801` from `61280740801`, `+61 2 8074 0801`, `+61-0280740801` (AVANSER keeps the trunk 0), or
    ` 61-0280740801` (a `+` that was decoded to a space); with `country` `AU` also from `0280740801`.

    `country` is an ISO 3166 two-letter code and is needed for national forms only. The length must be possible
    there; whether the number is assigned is not asked, since that is the vendors' business and changes weekly.
    Raises NotANumber.
    """
    if not _WRITTEN_LIKE_A_NUMBER.fullmatch(text):
        raise NotANumber(f"{text!r} is not a phone number")
    digits = re.sub(r"[^0-9]", "", text)
    for reading in _readings(digits, "+" in text, country.upper() if country else None):
        if phonenumbers.is_possible_number_with_reason(reading) == ValidationResult.IS_POSSIBLE:
            written = phonenumbers.format_number(reading, phonenumbers.PhoneNumberFormat.E164)
            if len(written) <= _MOST_DIGITS + 1:
                return written
    where = f" in {country.upper()}" if country else ", or its country code is missing"
    raise NotANumber(f"{text!r} is not a phone number{where}")


def _readings(digits: str, has_plus: bool, country: str | None) -> Iterator[PhoneNumber]:
    """What `digits` may mean, the likeliest first."""
    international = _parsed("+" + digits, None)
    if international is not None and (has_plus or international.country_code == _calling_code(country)):
        yield international  # mostly the end of it: to read it in another way as well costs as much again
        international = None
    national = None if has_plus or country is None else _parsed(digits, country)
    # Of `1300878664` and `12025550123`, both without a plus, only the first is an Australian number.
    national_first = national is not None and phonenumbers.is_valid_number(national)
    for reading in (national, international) if national_first else (international, national):
        if reading is not None:
            yield reading


def _calling_code(country: str | None) -> int | None:
    return phonenumbers.country_code_for_region(country) if country else None


def _parsed(text: str, country: str | None) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None


def to_digits(e164: str) -> str:
    """`61280740801` from `+61280740801`: how AVANSER writes numbers."""
    return e164.removeprefix("+")


def country_of(e164: str) -> str | None:
    """The two-letter code of the country, or of the largest of those that share its calling code; None if unknown."""
    number = _parsed(e164, None)
    if number is None or number.country_code is None:
        return None
    region = phonenumbers.region_code_for_country_code(number.country_code)
    return region if region.isalpha() and region != "ZZ" else None  # "001" is no country: satellite, freephone
