"""The schema's history (Alembic), and the ways to bring a database up to date.

Each migration runs with a lock and a statement time-out, so that one that cannot get its lock gives up
instead of standing in front of everyone else's.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from models.base import make_engine


class SchemaOutOfDate(Exception):
    """The database is not at the schema that this code needs."""


def config(url: str) -> Config:
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent))
    settings.attributes["url"] = url
    return settings


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database at `url` to a revision; does nothing where it is there already."""
    command.upgrade(config(url), revision)


def downgrade(url: str, revision: str) -> None:
    """Take the database back to a revision (`base` for an empty one)."""
    command.downgrade(config(url), revision)


def current(url: str) -> str | None:
    """The revision that the database is at; None for an empty one."""
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def head() -> str | None:
    """The revision that this code needs."""
    return ScriptDirectory.from_config(config("")).get_current_head()


def require_current(engine: sa.Engine) -> None:
    """Raise `SchemaOutOfDate` unless the database has this code's schema (or was migrated past it)."""
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config("")).walk_revisions()}
    if found in known and found != head():
        raise SchemaOutOfDate(f"the database is at revision {found}, this code needs {head()}: run `trunkline migrate`")
    if found is None:
        raise SchemaOutOfDate("the database has no tables yet: run `trunkline migrate`")
