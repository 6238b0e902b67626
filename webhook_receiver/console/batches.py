"""Bulk jobs in the console: how far each is, and how long the rest will take."""

from __future__ import annotations

from typing import Annotated, Any

import flask
from flask.typing import ResponseReturnValue
from pydantic import BeforeValidator
from sqlalchemy.orm import Session

from models import counter
from models.base import read
from models.batch import BatchState
from models.batch_list import Progress, list_batches
from models.requester import names_of
from webhook_receiver.console.lists import PAGE, NoRequester, OfRequester, blank_is_none, narrowed
from webhook_receiver.console.pages import page
from webhook_receiver.context import here


class BatchesNarrowed(OfRequester):
    state: Annotated[BatchState | None, BeforeValidator(blank_is_none)] = None


@page("/batches", title="Batches")
def show_batches() -> ResponseReturnValue:
    wanted, faults = narrowed(BatchesNarrowed)

    def work(session: Session) -> dict[str, Any]:
        try:
            rows, next_cursor = list_batches(session, wanted.owner(session), wanted.state, PAGE, wanted.position)
        except NoRequester as error:
            faults.append(str(error))
            rows, next_cursor = [], None
        counts = counter.of_batches(session, [row.id for row in rows])
        return {
            "rows": [Progress(row, counts.get(row.id, {})) for row in rows],
            "names": names_of(session, (row.requester_id for row in rows)),
            "next_cursor": next_cursor,
        }

    found = read(here().engine, work)
    return flask.render_template(
        "console/batches.html",
        wanted=wanted,
        faults=faults,
        states=list(BatchState),
        now=here().clock.now(),
        **found,
    )
