"""Calls and messages in the console: the one form of their lists, and who may see who called or wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator
from sqlalchemy.orm import Session

from models.base import read
from models.lookup import numbers_meant
from models.number_events import Row, list_events
from models.requester import Scope, names_of
from models.user import Role
from webhook_receiver.console.lists import PAGE, NoRequester, OfRequester, Since, blank_is_none, narrowed
from webhook_receiver.console.sessions import the_user
from webhook_receiver.context import here
from webhook_receiver.number_events import as_shown_to, may_see_people

SCOPES: Mapping[Role, frozenset[Scope]] = {
    Role.VIEWER: frozenset({Scope.READ}),
    Role.OPERATOR: frozenset({Scope.READ, Scope.SUBMIT, Scope.OPERATE}),
    Role.ADMIN: frozenset(Scope),
}
"""What a role sees of people is what an API key with these scopes sees."""


class EventsNarrowed(OfRequester):
    number: Annotated[str | None, BeforeValidator(blank_is_none)] = None
    since: Since = None


def sees_people() -> bool:
    """Whether the user may see who called or wrote, and what."""
    return may_see_people(SCOPES[the_user().role])


def shown(rows: Sequence[Row], view: Callable[[Row], dict[str, Any]]) -> list[dict[str, Any]]:
    """Calls or messages as the user may see them."""
    return [as_shown_to(SCOPES[the_user().role], view(row)) for row in rows]


def found(table: type[Row], view: Callable[[Row], dict[str, Any]]) -> dict[str, Any]:
    """What a list's template needs: a page of it, as the address narrows it."""
    wanted, faults = narrowed(EventsNarrowed)
    numbers = None if wanted.number is None else numbers_meant(wanted.number)
    if numbers == []:
        faults.append(f"number: {wanted.number!r} is not a phone number.")

    def work(session: Session) -> tuple[list[Row], str | None, dict[str, str]]:
        try:
            owner = wanted.owner(session)
        except NoRequester as error:
            faults.append(str(error))
            return [], None, {}
        rows, next_cursor = list_events(session, table, owner, numbers, wanted.since, PAGE, wanted.position)
        names = names_of(session, (row.requester_id for row in rows))
        return rows, next_cursor, {str(row.id): names[row.requester_id] for row in rows}

    rows, next_cursor, names = read(here().engine, work)
    return {
        "rows": shown(rows, view),
        "names": names,
        "next_cursor": next_cursor,
        "wanted": wanted,
        "faults": faults,
        "sees_people": sees_people(),
    }
