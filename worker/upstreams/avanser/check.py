"""Finds what AVANSER would refuse in a spec, before anything is taken: each fault with its place and the rule."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError as Invalid

from models.request import Kind
from worker.fault import Fault
from worker.strict_json import escape
from worker.upstreams.avanser.mobile import asks_for_mobile
from worker.upstreams.avanser.spec import (
    BESIDE_THE_SPEC,
    HOME,
    OURS,
    ByCoordinates,
    ByLocation,
    ByNumber,
    ByPrefix,
    BySzu,
    Provision,
    Release,
    ServiceChange,
    Update,
)
from worker.upstreams.e164 import NotANumber, to_e164

_KINDS: dict[Kind, type[Provision | Update | Release]] = {
    Kind.PROVISION: Provision,
    Kind.UPDATE: Update,
    Kind.RELEASE: Release,
}

_TAGS = {
    "service_number": {"number", "szu", "location", "coordinates", "prefix", "type"},
    "service": {"transfer", "voicemail", "prompt"},
}

_KNOWN: dict[str, set[str]] = {
    "": {"name", "extra", "smsforward_uri"} | OURS | BESIDE_THE_SPEC,
    "service_number": {
        name for kind in (ByNumber, BySzu, ByLocation, ByCoordinates, ByPrefix) for name in kind.model_fields
    },
    "service": set(ServiceChange.model_fields),
}
"""By object of the body, what `extra` must not set."""


_MAIL_ADDRESS = re.compile(
    r"[^\s@\"(),:;<>\[\\\].]+(\.[^\s@\"(),:;<>\[\\\].]+)*"  # a dot-atom (RFC 5322, 3.2.3), in any script (RFC 6532)
    r"@([^\W_]([\w-]{0,61}[^\W_])?\.)+[^\W\d_][\w-]*[^\W_]"  # a host name with a top-level domain
)
_LONGEST_ADDRESS = 254  # characters; RFC 5321, 4.5.3.1.3


def check(kind: Kind, spec: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with the spec, each with its pointer; empty when AVANSER may be asked for it."""
    try:
        read = _KINDS[kind].model_validate(dict(spec))
    except Invalid as error:
        return [_fault(one["loc"], one["type"], one["msg"]) for one in error.errors(include_url=False)]
    match read:
        case Provision():
            return [*_bad_contacts(read), *_bad_search(read), *_bad_extra(kind, read.extra)]
        case Update():
            return [*_bad_contacts(read), *_bad_extra(kind, read.extra)]
    return []


def _fault(location: tuple[int | str, ...], kind: str, message: str) -> Fault:
    steps = [str(step) for step in location]
    if len(steps) > 1 and steps[1] in _TAGS.get(steps[0], ()):
        del steps[1]  # which of the forms it was read as
    if kind == "union_tag_not_found":
        steps.append("search_type" if steps == ["service_number"] else "type")
        message = "Field required"
    elif kind == "union_tag_invalid":
        known = ", ".join(sorted(_TAGS[steps[0]]))
        steps.append("search_type" if steps == ["service_number"] else "type")
        message = f"Must be one of {known}"
    elif kind == "extra_forbidden":
        message = _why_forbidden(steps)
    return Fault("".join(f"/{escape(step)}" for step in ("spec", *steps)), message.removeprefix("Value error, "))


def _why_forbidden(steps: list[str]) -> str:
    name = steps[-1]
    if name in OURS:
        return f"{name} is ours: leave it out"
    if len(steps) == 1 and name in BESIDE_THE_SPEC:
        return f"{name} belongs beside spec, at /{name}"
    if steps == ["service_number"]:
        return "An update keeps its number; order another with a provision"
    return "Unknown field, or one that does not go with the others; what only AVANSER knows goes under /spec/extra"


def _bad_contacts(spec: Provision | Update) -> Iterator[Fault]:
    """Phone numbers and mail addresses that cannot be any."""
    country = spec.service_number.country if isinstance(spec, Provision) else HOME
    for pointer, written in _numbers_in(spec):
        if complaint := _complaint(written, country):
            yield Fault(f"/spec/{pointer}", complaint)
    missed = spec.service.missed_call if spec.service else None
    for place, address in enumerate(missed.emails if missed else ()):
        if len(address) > _LONGEST_ADDRESS or not _MAIL_ADDRESS.fullmatch(address):
            yield Fault(f"/spec/service/missed_call/emails/{place}", f"{address!r} is not a mail address")


def _numbers_in(spec: Provision | Update) -> Iterator[tuple[str, str]]:
    """Every phone number that stands in it, with its pointer."""
    if isinstance(spec, Provision) and isinstance(spec.service_number, ByNumber):
        yield "service_number/number", spec.service_number.number
    answer_point = getattr(spec.service, "answer_point", None)
    if answer_point is not None:
        yield "service/answer_point", answer_point
    missed = spec.service.missed_call if spec.service else None
    for place, written in enumerate(missed.sms if missed else ()):
        yield f"service/missed_call/sms/{place}", written


def _complaint(written: str, country: str) -> str | None:
    try:
        number = to_e164(written, country)
    except NotANumber as error:
        return str(error)
    digits = number.removeprefix("+61")
    if digits != number and digits[0] in _OF_NINE and len(digits) != _NINE:
        return f"{written!r} has {len(digits)} digits besides +61 or 0, and such an Australian number has {_NINE}"
    return None


_OF_NINE, _NINE = "234578", 9
"""Landline and mobile numbers by their first digit, and their length (Australian numbering plan). A missing digit would
buy a number that forwards to nowhere."""


def _bad_search(spec: Provision) -> Iterator[Fault]:
    wanted = spec.service_number
    if isinstance(wanted, BySzu) and wanted.country != "AU":
        yield Fault("/spec/service_number/search_type", "szu is for Australia (AU) only: search by location or prefix")
    if spec.smsforward_uri is None or any(_complaint(written, wanted.country) for _, written in _numbers_in(spec)):
        return  # of a number that cannot be read nobody knows whether it is mobile
    if not asks_for_mobile(spec):
        detail = "Works with mobile numbers only: ask for one with service_number type MOBILE"
        yield Fault("/spec/smsforward_uri", detail)


def _bad_extra(kind: Kind, extra: Mapping[str, Any]) -> Iterator[Fault]:
    for name, value in extra.items():
        pointer = f"/spec/extra/{escape(name)}"
        if name in _KNOWN[""]:
            yield Fault(pointer, f"{name} is ours: leave it out" if name in OURS else "Give it where it is documented")
        elif name in ("service", "service_number"):
            if name == "service_number" and kind is Kind.UPDATE:
                yield Fault(pointer, _why_forbidden([name]))
            elif not isinstance(value, dict):
                yield Fault(pointer, "Must be an object")
            else:
                for field in sorted(_KNOWN[name] & value.keys()):
                    yield Fault(f"{pointer}/{escape(field)}", "Give it where it is documented")
