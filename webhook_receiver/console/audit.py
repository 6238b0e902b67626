"""The audit: what people and keys did, the newest first."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import flask
from flask.typing import ResponseReturnValue
from pydantic import BeforeValidator
from sqlalchemy.orm import Session

from models.act import Act, Filters, conditions
from models.base import read
from models.listing import page_of
from webhook_receiver.console import words
from webhook_receiver.console.lists import PAGE, Narrowed, blank_is_none, narrowed
from webhook_receiver.console.pages import page
from webhook_receiver.context import here


class ActsNarrowed(Narrowed):
    actor: Annotated[str | None, BeforeValidator(blank_is_none)] = None
    act: Annotated[str | None, BeforeValidator(blank_is_none)] = None
    subject: Annotated[str | None, BeforeValidator(blank_is_none)] = None


@page("/audit", title="Audit")
def show_audit() -> ResponseReturnValue:
    wanted, faults = narrowed(ActsNarrowed)
    filters = conditions(Filters(_stripped(wanted.actor), _stripped(wanted.act), _stripped(wanted.subject)))
    cursor = None if wanted.cursor is None else wanted.cursor.hex

    def work(session: Session) -> tuple[list[Act], str | None]:
        return page_of(session, Act, filters, PAGE, cursor)

    rows, next_cursor = read(here().engine, work)
    return flask.render_template(
        "console/audit.html", rows=rows, next_cursor=next_cursor, wanted=wanted, faults=faults, address_of=_address_of
    )


def _stripped(text: str | None) -> str | None:
    return None if text is None else text.strip() or None


_PAGES = {
    "request": ("show_request", "request_id"),
    "batch": ("show_batch", "batch_id"),
    "endpoint": ("show_endpoint", "endpoint_id"),
    "delivery": ("show_delivery", "delivery_id"),
}


def _address_of(row: Act) -> str | None:
    """The address of what an act was about, where the console has a page of it."""
    kind = row.act.partition(".")[0]
    if kind == "number":
        return words.link("show_numbers", q=row.subject)
    if kind == "upstream":
        return words.link("show_upstreams")
    if kind not in _PAGES or not _is_id(row.subject):
        return None
    view, variable = _PAGES[kind]
    return words.link(view, **{variable: row.subject})


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
