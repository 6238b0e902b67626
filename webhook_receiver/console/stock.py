"""What an upstream could sell now, by region: asked of it when somebody looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated

import flask
from flask.typing import ResponseReturnValue
from pydantic import BeforeValidator

from webhook_receiver.console.lists import Narrowed, blank_is_none, narrowed
from webhook_receiver.console.pages import page
from webhook_receiver.context import here
from webhook_receiver.queries import UpstreamName
from webhook_receiver.stock import ANSWER_WITHIN
from worker import inquiry
from worker.app import UPSTREAM_QUEUES
from worker.settings import SettingsError
from worker.upstreams.base import BadQuery, Misconfigured, StockRow, Unavailable, WrongAccount

SHOWN = 200
"""Numbers, of what may be thousands; the regions count them all."""

EXAMPLES = {
    "avanser": "country=AU szu=sydney",
    "messagemedia": "country=AU service_types=SMS matching=42",
}


class StockAsked(Narrowed):
    upstream: Annotated[UpstreamName | None, BeforeValidator(blank_is_none)] = None
    query: str = ""


@page("/upstreams/stock")
def show_stock() -> ResponseReturnValue:
    wanted, faults = narrowed(StockAsked)
    rows: Sequence[StockRow] | None = None
    if wanted.upstream is not None and not faults:
        rows, fault = _ask(str(wanted.upstream), wanted.query)
        faults += [] if fault is None else [fault]
    return flask.render_template(
        "console/stock.html",
        wanted=wanted,
        faults=faults,
        rows=rows,
        regions=_regions(rows or ()),
        most=SHOWN,
        upstreams=list(UPSTREAM_QUEUES),
        examples=EXAMPLES,
    )


def _ask(name: str, text: str) -> tuple[Sequence[StockRow] | None, str | None]:
    """What it shows; or None, and a sentence that says why."""
    try:
        return inquiry.stock(name, here().settings, parameters(text), ANSWER_WITHIN), None
    except ValueError as error:
        return None, f"query: {error}."
    except SettingsError:
        return None, f"{name} is not set up here."
    except (BadQuery, Misconfigured) as error:
        return None, f"{name}: {error}."
    except WrongAccount:
        return None, f"{name} answered for an account that is not ours."
    except Unavailable as error:
        return None, f"{name} could not be asked: {error}."


def parameters(text: str) -> Mapping[str, str]:
    """`country=AU szu=sydney`, as the command line takes it. Raises ValueError."""
    found: dict[str, str] = {}
    for word in text.split():
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise ValueError(f"{word!r}: write it as NAME=VALUE, such as country=AU")
        if name in found:
            raise ValueError(f"{name}: given more than once")
        found[name] = value
    return found


def _regions(rows: Sequence[StockRow]) -> list[tuple[str, int]]:
    return Counter(" ".join(filter(None, (row.country, row.region))) or "no region said" for row in rows).most_common()
