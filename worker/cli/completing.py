"""What the shell may offer where the name of something of ours is typed. Quiet: whoever types wants no error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa
from click.shell_completion import CompletionItem
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import InstrumentedAttribute, Session

from models.base import make_engine, read
from models.batch import Batch
from models.endpoint import Endpoint
from models.requester import Requester
from models.sweep import Sweep
from worker.settings import SettingsError, load

OFFERED = 50
"""Names at once, the newest first."""

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _offering(name: InstrumentedAttribute[Any], id_: InstrumentedAttribute[Any]) -> Complete:
    def offer(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
        def work(session: Session) -> list[str]:
            newest = sa.select(name).order_by(id_.desc()).limit(OFFERED * 10)
            return [str(found) for found in session.scalars(newest)]

        names = dict.fromkeys(found for found in _asked(work) if found.startswith(typed))
        return [CompletionItem(found) for found in list(names)[:OFFERED]]

    return offer


def _asked(work: Callable[[Session], list[str]]) -> list[str]:
    """Nothing where there is no database yet, or it does not answer."""
    try:
        url = load().database_url
        if url.startswith("sqlite") and not Path(make_url(url).database or "").exists():
            return []
        engine = make_engine(url, pool_size=1)
    except (SettingsError, OSError):
        return []
    try:
        return read(engine, work)
    except SQLAlchemyError:
        return []
    finally:
        engine.dispose()


batches = _offering(Batch.name, Batch.id)
requesters = _offering(Requester.name, Requester.id)
endpoints = _offering(Endpoint.name, Endpoint.id)
sweeps = _offering(Sweep.id, Sweep.id)
