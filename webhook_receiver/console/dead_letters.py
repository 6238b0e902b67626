"""Dead letters in the console: requests that backends put on the queue and that could not be taken."""

from __future__ import annotations

import flask
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from models.base import read
from models.dead_letter import DeadLetter, is_open
from models.listing import page_of
from webhook_receiver.console.lists import PAGE, Narrowed, narrowed
from webhook_receiver.console.pages import page
from webhook_receiver.context import here


@page("/dead-letters")
def show_dead_letters() -> ResponseReturnValue:
    wanted, faults = narrowed(Narrowed)
    cursor = None if wanted.cursor is None else wanted.cursor.hex

    def work(session: Session) -> tuple[list[DeadLetter], str | None]:
        return page_of(session, DeadLetter, [is_open()], PAGE, cursor)

    rows, next_cursor = read(here().engine, work)
    return flask.render_template("console/dead_letters.html", rows=rows, next_cursor=next_cursor, faults=faults)
