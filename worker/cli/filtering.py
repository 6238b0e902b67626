"""The filters of the command line: which requests are meant, in the same words for seeing and for steering them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import wraps
from typing import Any
from uuid import UUID

import click
from click.shell_completion import CompletionItem
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models.base import read
from models.clock import time_of
from models.listing import Filters
from models.request import Kind
from models.state import State
from worker.cli.completing import batches, requesters
from worker.cli.database import requester_named
from worker.cli.references import the_batch
from worker.upstreams import DIALECTS

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Duration(click.ParamType[timedelta]):
    """`90s`, `30m`, `2h`, `7d`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"([0-9]{1,6})([smhd])", str(value).strip())
        if found is None:
            self.fail(f"{value!r} is not a time span: a number with s, m, h or d, such as 90s, 30m, 2h, 7d", param, ctx)
        return timedelta(**{UNITS[found[2]]: int(found[1])})

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [
            CompletionItem(f"{incomplete}{unit}", help=word) for unit, word in UNITS.items() if incomplete.isdigit()
        ]


@dataclass(frozen=True, slots=True)
class Meant:
    """The filters as they were typed; None and False are "any"."""

    state: str | None
    upstream: str | None
    kind: str | None
    batch: str | None
    reason: str | None
    contradicted: bool
    older_than: timedelta | None
    requester: str | None
    q: str | None = None

    @property
    def is_any(self) -> bool:
        """Whether nothing was said: all requests there are."""
        return not any(getattr(self, one.name) for one in fields(self))

    def read(self, engine: Engine) -> tuple[UUID | None, Filters]:
        """The requester (None: all), and the filters. Raises Refusal for a batch or requester that there is none of."""
        owner = requester_named(engine, self.requester).id if self.requester else None
        return owner, read(engine, self._filters)

    def _filters(self, session: Session) -> Filters:
        return Filters(
            state=State(self.state) if self.state else None,
            upstream=self.upstream,
            kind=Kind(self.kind) if self.kind else None,
            batch_id=the_batch(session, self.batch).id if self.batch else None,
            reason=self.reason,
            q=self.q,
            contradicted=self.contradicted or None,
            made_before=time_of(session) - self.older_than if self.older_than else None,
        )


_OPTIONS = (
    click.option("--state", type=click.Choice([str(state) for state in State]), help="where they stand"),
    click.option("--upstream", type=click.Choice(sorted(DIALECTS)), help="at this one only"),
    click.option("--kind", type=click.Choice([str(kind) for kind in Kind]), help="what was asked for"),
    click.option("--batch", shell_complete=batches, help="of this bulk job: its id or name"),
    click.option("--reason", help="with this code, such as out_of_stock or outcome_unknown"),
    click.option("--contradicted", is_flag=True, help="of which the upstream said later what cannot be true as well"),
    click.option("--older-than", type=Duration(), metavar="SPAN", help="made longer ago than 90s, 30m, 2h, 7d"),
    click.option("--requester", shell_complete=requesters, help="of this one only"),
)


def filtered(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that narrow; it gets them as one argument, `meant`."""

    @wraps(function)
    def gathered(**given: Any) -> None:
        narrowing = {one.name: given.pop(one.name) for one in fields(Meant) if one.name in given}
        function(meant=Meant(**narrowing), **given)

    made: Callable[..., None] = gathered
    for option in reversed(_OPTIONS):
        made = option(made)
    return made
