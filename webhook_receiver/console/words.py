"""How the console writes times, numbers and states: what every template uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import flask
from markupsafe import Markup

from models.base import utc_now
from worker.explain.explanation import clock, span, title_of

NONE = "\N{EN DASH}"
"""Stands where there is nothing to show."""


def when(moment: datetime | str | None) -> Markup:
    """`12 min ago`, with the exact time behind it; a dash where there is none."""
    if moment is None:
        return Markup('<span class="none">{}</span>').format(NONE)
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    away = moment.astimezone(UTC) - utc_now()
    near = f"in {span(away)}" if away > timedelta() else f"{span(-away)} ago"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(moment.isoformat(), clock(moment), near)


def exactly(moment: datetime | str | None) -> Markup:
    """`2026-11-22 04:10:00 UTC`."""
    if moment is None:
        return Markup('<span class="none">{}</span>').format(NONE)
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return Markup('<time datetime="{}">{}</time>').format(moment.isoformat(), clock(moment.astimezone(UTC)))


def link(endpoint: str, /, **parameters: Any) -> str:
    """The address of a page of the console; what is None or empty is left out."""
    given = {name: value for name, value in parameters.items() if value}
    taken = {name: given.pop(name) for name in ("endpoint",) if name in given}  # `url_for` has one of that name itself
    address = flask.url_for(f"console.{endpoint}", **given)
    return f"{address}{'&' if '?' in address else '?'}{urlencode(taken)}" if taken else address


def with_parameters(**changes: Any) -> str:
    """The address of this page with some parameters otherwise; one that is None is left out."""
    kept = {**flask.request.args.to_dict(), **changes}
    return "?" + urlencode({name: value for name, value in kept.items() if value not in (None, "")})


def short(id_: Any) -> str:
    """The end of an id: what people say to each other. Its beginning is the time, and alike for all of a day."""
    return str(id_)[-8:]


def lasting(time: timedelta | None) -> str:
    """`12 min`; a dash where nobody can tell."""
    return NONE if time is None else span(time)


def label(word: Any) -> str:
    """`outcome unknown` of `outcome_unknown`."""
    return str(word).replace("_", " ")


def number(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def percent(value: float | None) -> str:
    return NONE if value is None else f"{value:.0%}" if not 0 < value < 0.01 else "<1%"


FOR_TEMPLATES: Mapping[str, Callable[..., Any]] = {
    "when": when,
    "exactly": exactly,
    "link": link,
    "with_parameters": with_parameters,
    "short": short,
    "lasting": lasting,
    "label": label,
    "number": number,
    "percent": percent,
    "title_of": title_of,
}
