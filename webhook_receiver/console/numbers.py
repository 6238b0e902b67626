"""The inventory in the console: the numbers that we hold, or held, found by any name."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import flask
from flask.typing import ResponseReturnValue
from pydantic import BeforeValidator
from sqlalchemy.orm import Session

from models.base import read
from models.inventory import Filters, list_numbers
from models.requester import names_of
from webhook_receiver.console.lists import PAGE, NoRequester, OfRequester, blank_is_none, narrowed
from webhook_receiver.console.pages import page
from webhook_receiver.context import here
from webhook_receiver.queries import UpstreamName
from worker.app import UPSTREAM_QUEUES


class Holding(StrEnum):
    """Whether a number is ours."""

    HELD = "held"
    RELEASED = "released"
    EITHER = "held or released"


RELEASED = {Holding.HELD: False, Holding.RELEASED: True, Holding.EITHER: None}


class NumbersNarrowed(OfRequester):
    q: Annotated[str | None, BeforeValidator(blank_is_none)] = None
    upstream: Annotated[UpstreamName | None, BeforeValidator(blank_is_none)] = None
    holding: Annotated[Holding | None, BeforeValidator(blank_is_none)] = None

    @property
    def held(self) -> Holding:
        """What is held, where nothing is said; but who searches may mean a number that was given up."""
        return self.holding or (Holding.HELD if self.q is None else Holding.EITHER)

    @property
    def filters(self) -> Filters:
        return Filters(self.upstream, None if self.q is None else self.q.strip(), RELEASED[self.held])


@page("/numbers", title="Numbers")
def show_numbers() -> ResponseReturnValue:
    wanted, faults = narrowed(NumbersNarrowed)

    def work(session: Session) -> dict[str, Any]:
        try:
            owner = wanted.owner(session)
        except NoRequester as error:
            faults.append(str(error))
            return {"rows": [], "names": {}, "next_cursor": None}
        rows, next_cursor = list_numbers(session, owner, wanted.filters, PAGE, wanted.position)
        names = names_of(session, (row.requester_id for row in rows))
        return {"rows": rows, "names": names, "next_cursor": next_cursor}

    found = read(here().engine, work)
    if wanted.q is not None and len(found["rows"]) == 1 and wanted.cursor is None:
        return flask.redirect(flask.url_for("console.show_number", number_id=found["rows"][0].id))
    choices = {"upstream": list(UPSTREAM_QUEUES), "holding": list(Holding)}
    return flask.render_template("console/numbers.html", wanted=wanted, faults=faults, choices=choices, **found)
