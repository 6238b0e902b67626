"""Upstreams: how each stands, its switch and that of all, and what the last comparison of the books has shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import flask
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from models import pulse, reconciliation
from models import upstream as switches
from models.base import read, write
from models.state import State
from models.user import Role
from webhook_receiver.console import charts, confirming, words
from webhook_receiver.console.confirming import Deed
from webhook_receiver.console.pages import action, page
from webhook_receiver.console.sessions import actor
from webhook_receiver.context import here
from webhook_receiver.problems import not_found
from worker import hints, upstream_steering
from worker.app import UPSTREAM_QUEUES
from worker.explain.explanation import Risk
from worker.overview import gather
from worker.settings import Settings

ALL = "all"
"""In addresses, for the switch of all."""

FINDINGS = 50
"""Of one comparison, that are shown."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A variable of the environment, and whether it is set; its value is shown to nobody."""

    name: str
    is_set: bool


@page("/upstreams", title="Upstreams")
def show_upstreams() -> ResponseReturnValue:
    now, settings = here().clock.now(), here().settings

    def work(session: Session) -> dict[str, Any]:
        overview = gather(session, settings, here().shares, now)
        past = pulse.since(session, now - timedelta(days=1))
        return {
            "upstreams": overview.upstreams,
            "pauses": {one.upstream: one for one in switches.pauses(session)},
            "reports": {one.upstream: one for one in reconciliation.reports(session)},
            "charts": {one.name: charts.of_day(past.get(one.name, []), now) for one in overview.upstreams},
        }

    return flask.render_template(
        "console/upstreams.html",
        **read(here().engine, work),
        settings={name: settings_of(settings, name) for name in settings.upstreams},
        configured=settings.upstreams,
        states=list(State),
        everything=switches.ALL,
        most_findings=FINDINGS,
    )


def settings_of(settings: Settings, name: str) -> list[Setting]:
    """What must be set before anything is ordered there."""
    missing = set(settings.missing_for(name))
    prefix = f"TRUNKLINE_{name.upper()}_"
    needed = [f"{prefix}{need.upper()}" for need in settings.upstreams[name].needs]
    return [Setting(variable, variable not in missing) for variable in needed]


@action("/upstreams/<upstream>/pause")
def do_pause_upstream(upstream: str) -> ResponseReturnValue:
    which, said = _which(upstream), flask.request.form
    why = confirming.reason(said)
    if why is None:
        flask.flash("Not paused: say why, for whoever finds it paused.")
        return _back(upstream)
    is_new = write(here().engine, lambda session: upstream_steering.pause(session, which, why, actor()))
    told = "is paused: nothing more is ordered there" if is_new else "was paused before; the first reason stays"
    flask.flash(f"{_named(upstream)} {told}.")
    return _back(upstream)


@page("/upstreams/<upstream>/resume", Role.OPERATOR)
def ask_resume_upstream(upstream: str) -> ResponseReturnValue:
    return confirming.ask(_resuming(upstream))


@action("/upstreams/<upstream>/resume")
def do_resume_upstream(upstream: str) -> ResponseReturnValue:
    deed, said = _resuming(upstream), flask.request.form
    if (missing := confirming.fault(deed, said)) is not None:
        return confirming.ask(deed, missing, said)
    resume = _resume(_which(upstream), confirming.reason(said))
    was_paused, left = write(here().engine, resume)
    for one in UPSTREAM_QUEUES if upstream == ALL else [upstream]:
        hints.upstream(one, hints.MOST_AT_ONCE)
    still = "".join(f" {_named(one)} is still paused." for one in left if ALL in (upstream, one))
    flask.flash(f"{_named(upstream)} {'is resumed' if was_paused else 'was not paused'}.{still}")
    return _back(upstream)


def _resume(which: str, why: str | None) -> Callable[[Session], tuple[bool, list[str]]]:
    who = actor()

    def work(session: Session) -> tuple[bool, list[str]]:
        was_paused = upstream_steering.resume(session, which, who, why)
        return was_paused, [_addressed(one.upstream) for one in switches.pauses(session)]

    return work


def _resuming(name: str) -> Deed:
    which = _which(name)
    pause = read(here().engine, lambda session: switches.own_pause(session, which))
    whom = "any upstream that is not paused by itself" if name == ALL else name
    because = "" if pause is None else f" It was paused by {pause.actor}: {pause.detail}"
    return Deed(
        title=f"Resume {name}",
        risk=Risk.SPENDS_MONEY,
        effect=f"Lets everything that waits for {whom} go out. Mend first what it was paused for.{because}",
        code=name,
        address=words.link("do_resume_upstream", upstream=name),
        about=_named(name),
        back=f"{words.link('show_upstreams')}#{name}",
        command=f"trunkline upstream resume {'--all' if name == ALL else name}",
    )


def _which(name: str) -> str:
    """As `models.upstream` names it. Raises Problem, 404."""
    if name not in (*UPSTREAM_QUEUES, ALL):
        raise not_found()
    return switches.ALL if name == ALL else name


def _addressed(which: str) -> str:
    return ALL if which == switches.ALL else which


def _named(name: str) -> str:
    return "The switch of all upstreams" if name == ALL else name


def _back(name: str) -> ResponseReturnValue:
    return flask.redirect(f"{words.link('show_upstreams')}#{name}")
