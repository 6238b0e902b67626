"""Which orders are for mobile numbers: AVANSER's page has SMSForward-URI as "Mobile only"."""

from __future__ import annotations

import re

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType

from worker.upstreams.avanser.spec import ByNumber, ByPrefix, Provision, Transfer
from worker.upstreams.e164 import to_e164


def is_mobile(e164: str) -> bool:
    """By the numbering plan. Where a country's plan does not tell (as North America's), it is not."""
    return phonenumbers.number_type(phonenumbers.parse(e164)) == PhoneNumberType.MOBILE


def asks_for_mobile(spec: Provision) -> bool:
    """Whether whatever fits the search is mobile: by its type, else by its number or prefix.

    The tip of AVANSER's page, one's own answer point as the number, asks for the closest to it of any class, and
    so for none. Raises NotANumber.
    """
    wanted = spec.service_number
    if wanted.type is not None:
        return wanted.type == "MOBILE"
    match wanted:
        case ByNumber():
            return not wants_closest(spec) and is_mobile(to_e164(wanted.number, wanted.country))
        case ByPrefix():
            return _begins_mobile(wanted.prefix, wanted.country)
    return False


def wants_closest(spec: Provision) -> bool:
    """Whether the number is the order's own answer point: nobody's to sell, but something to be close to."""
    wanted, service = spec.service_number, spec.service
    if not isinstance(wanted, ByNumber) or not isinstance(service, Transfer):
        return False
    return to_e164(wanted.number, wanted.country) == to_e164(service.answer_point, wanted.country)


def _begins_mobile(prefix: str, country: str) -> bool:
    """Whether a mobile number of the country can begin so, and no other number of that length."""
    example = phonenumbers.example_number_for_type(country, PhoneNumberType.MOBILE)
    if example is None:
        return False
    code, length = example.country_code, len(str(example.national_number))
    national = _national(prefix, country, str(code))
    missing = length - len(national)
    if not national or missing < 0:
        return False
    numbers = (PhoneNumber(code, int(national + digit * missing)) for digit in "0123456789")
    return {phonenumbers.number_type(one) for one in numbers} - {PhoneNumberType.UNKNOWN} == {PhoneNumberType.MOBILE}


def _national(prefix: str, country: str, code: str) -> str:
    """`48` of `+61 48`, `6148` and `048`: without the calling code and the trunk prefix."""
    digits = re.sub(r"[^0-9]", "", prefix)
    if digits.startswith(code):
        digits = digits.removeprefix(code)
    return digits.removeprefix(phonenumbers.ndd_prefix_for_region(country, True) or "")
