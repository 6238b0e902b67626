"""The first page: how everything stands, and what wants a person."""

from __future__ import annotations

from datetime import timedelta

import flask
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from models import pulse
from models.base import read
from models.state import State
from webhook_receiver.console import charts
from webhook_receiver.console.pages import page
from webhook_receiver.context import here
from webhook_receiver.health import broker_fault
from worker import wants
from worker.overview import Overview, gather


@page("/overview", title="Overview")
def show_overview() -> ResponseReturnValue:
    now = here().clock.now()

    def work(session: Session) -> tuple[Overview, dict[str, charts.Past]]:
        overview = gather(session, here().settings, here().shares, now, broker_fault())
        return overview, {**pulse.since(session, now - timedelta(days=1))}

    overview, past = read(here().engine, work)
    return flask.render_template(
        "console/overview.html",
        overview=overview,
        wants=wants.find(overview),
        charts={one.name: charts.of_day(past.get(one.name, []), now) for one in overview.upstreams},
        states=list(State),
    )
