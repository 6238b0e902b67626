"""The command line's way to the database: directly, as an administrator's tool does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import Engine, make_url

from models.base import make_engine, read, write
from models.clock import time_of
from models.migrations import current, require_current, upgrade
from models.requester import DEFAULT_REQUESTER, Requester, find, find_or_make
from worker.cli.run import Refusal
from worker.settings import Settings


@contextmanager
def database(settings: Settings) -> Iterator[Engine]:
    """An engine on a database whose schema is current. A SQLite file that is new is made and migrated; every other
    database must have been (`trunkline migrate`). Raises SchemaOutOfDate."""
    if settings.database_url.startswith("sqlite"):
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if current(settings.database_url) is None:
            upgrade(settings.database_url)
    engine = make_engine(settings.database_url, keyring=settings.keyring)
    try:
        require_current(engine)
        yield engine
    finally:
        engine.dispose()


def requester_named(engine: Engine, name: str) -> Requester:
    """The requester of that name. Raises Refusal where there is none; only `default` is made when it is needed."""
    found = read(engine, lambda session: find(session, name))
    if found is not None:
        return found
    if name == DEFAULT_REQUESTER:
        return write(engine, lambda session: find_or_make(session, name, time_of(session)))
    raise Refusal(f"there is no requester {name!r}: it is made with its first key (trunkline keys create --requester)")


def shown_url(settings: Settings) -> str:
    """The database's URL, without its password."""
    return make_url(settings.database_url).render_as_string(hide_password=True)
