"""The list of numbers that we hold, and held: found in any format."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import flask
from flask.typing import ResponseReturnValue
from pydantic import BeforeValidator
from sqlalchemy.orm import Session

from models import inventory
from models.base import read
from models.inventory import Filters
from models.number import Number
from webhook_receiver.console.lists import PAGE, Narrowed, blank_is_none, narrowed
from webhook_receiver.console.pages import page
from webhook_receiver.context import here
from webhook_receiver.queries import UpstreamName
from worker.app import UPSTREAM_QUEUES


class Holding(StrEnum):
    HELD = "held"
    RELEASED = "released"
    ANY = "held or released"


RELEASED = {Holding.HELD: False, Holding.RELEASED: True, Holding.ANY: None}


class NumbersNarrowed(Narrowed):
    q: Annotated[str | None, BeforeValidator(blank_is_none)] = None
    upstream: Annotated[UpstreamName | None, BeforeValidator(blank_is_none)] = None
    holding: Annotated[Holding | None, BeforeValidator(blank_is_none)] = None


@page("/numbers", title="Numbers")
def show_numbers() -> ResponseReturnValue:
    wanted, faults = narrowed(NumbersNarrowed)
    usual = Holding.ANY if wanted.q is not None else Holding.HELD  # who searches may mean one that was given up
    q = None if wanted.q is None else wanted.q.strip()
    filters = Filters(wanted.upstream, q, RELEASED[wanted.holding or usual])
    cursor = None if wanted.cursor is None else wanted.cursor.hex

    def work(session: Session) -> tuple[list[Number], str | None]:
        return inventory.list_numbers(session, None, filters, PAGE, cursor)

    rows, next_cursor = read(here().engine, work)
    if wanted.q is not None and len(rows) == 1 and cursor is None:
        return flask.redirect(flask.url_for("console.show_number", number_id=rows[0].id))
    return flask.render_template(
        "console/numbers.html",
        rows=rows,
        next_cursor=next_cursor,
        wanted=wanted,
        faults=faults,
        upstreams=list(UPSTREAM_QUEUES),
        holdings=list(Holding),
    )
