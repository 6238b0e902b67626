"""Finding requests and numbers by what people have at hand: an id, a number in any format, a custom_id, an upstream's
reference."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import phonenumbers
import sqlalchemy as sa
from phonenumbers import NumberParseException, PhoneNumberFormat
from sqlalchemy.orm import Session

from models.number import Number
from models.request import Request
from models.requester import Requester

Table = type[Request] | type[Number]

HOME_REGIONS = ("AU", "NZ", "US", "GB")
"""Where the upstreams sell numbers: how a number is read that is written without its country's code.
One such number may be read in several ways; a search tries them all."""

FOUND = 50
"""A reference that fits more requests than this says too little to list them."""


def matching(reference: str, requester_id: UUID | None) -> sa.Select[UUID]:
    """A selection of the ids of the requests that `reference` names: every one, of this requester or of all."""
    return _any_of(Request, _meanings(Request, reference.strip()), requester_id)


def matching_numbers(reference: str, requester_id: UUID | None) -> sa.Select[UUID]:
    """As `matching`, of rows of the inventory. The id of the request that a number came from names it too."""
    meanings = _meanings(Number, reference.strip())
    if (id_ := id_meant(reference)) is not None:
        meanings.append(Number.request_id == id_)
    return _any_of(Number, meanings, requester_id)


def _meanings(table: Table, said: str) -> list[sa.ColumnElement[bool]]:
    meanings: list[sa.ColumnElement[bool]] = [table.custom_id == said, table.upstream_reference == said]
    if number_forms := numbers_meant(said):
        meanings.append(table.number.in_(number_forms))
    if (id_ := id_meant(said)) is not None:
        meanings.append(table.id == id_)
    return meanings


def _any_of(table: Table, meanings: Iterable[sa.ColumnElement[bool]], requester_id: UUID | None) -> sa.Select[UUID]:
    """One branch for each meaning, each on its own index: a single condition with OR would read the whole table
    as soon as the list that it stands in is sorted."""
    owner = _owned_by(table, requester_id)
    branches = sa.union_all(*(sa.select(table.id.label("id")).where(meaning, owner) for meaning in meanings))
    return sa.select(branches.subquery().c.id)


def _owned_by(table: Table, requester_id: UUID | None) -> sa.ColumnElement[bool]:
    """For all requesters they are still named, because the index of `custom_id` begins with them."""
    if requester_id is None:
        return table.requester_id.in_(sa.select(Requester.id))
    return table.requester_id == requester_id


def find(session: Session, reference: str, requester_id: UUID | None = None) -> list[Request]:
    """The requests that `reference` names, newest first, at most `FOUND`; None searches those of all requesters."""
    statement = sa.select(Request).where(Request.id.in_(matching(reference, requester_id)))
    return list(session.scalars(statement.order_by(Request.id.desc()).limit(FOUND)))


def numbers_meant(text: str) -> list[str]:
    """The E.164 forms that a number, written in any format, may stand for; empty where it is no number."""
    digits = "".join(character for character in text if character.isdigit())
    if not 6 <= len(digits) <= 17 or any(character.isalpha() for character in text):
        return []
    readings = [_e164("+" + digits, None)]
    if "+" not in text:
        readings += [_e164(text, region) for region in HOME_REGIONS]
    return _unique(reading for reading in readings if reading is not None)


def _unique(forms: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(forms))


def _e164(text: str, region: str | None) -> str | None:
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def id_meant(text: str) -> UUID | None:
    """The id that the text is; None where it is none."""
    try:
        return UUID(text.strip())
    except ValueError:
        return None
