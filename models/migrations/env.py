"""How Alembic connects: our engine, one transaction, bounded waits."""

from alembic import context
from sqlalchemy import text
from sqlalchemy.engine import Connection

import models.tables  # noqa: F401 -- so that the metadata is whole
from models.base import Base, make_engine

LOCK_TIMEOUT = "4s"
"""Longer than any of our transactions holds a row; short enough that callbacks do not pile up behind us."""

STATEMENT_TIMEOUT = "15min"


def run() -> None:
    url = context.config.attributes["url"]
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            _migrate(connection)
    finally:
        engine.dispose()


def _migrate(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
            connection.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'"))
        context.run_migrations()


run()
