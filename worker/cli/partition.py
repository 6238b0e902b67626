"""`trunkline partition`: divide history and calls by the month, so that a month can be dropped whole."""

from __future__ import annotations

from functools import partial
from typing import Any

import click
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.orm import Session

from models import act, partitioning
from models.base import is_retryable, read, rfc3339, write
from models.clock import time_of
from models.partitioning import InTheWay, Partition
from worker.cli.actor import actor
from worker.cli.database import database
from worker.cli.output import say, say_json, say_table
from worker.cli.run import Refusal, command, settings, wants_json

COLUMNS = ("table", "partition", "from", "until", "MiB")


@command("partition", answers=True)
@click.option("--check", is_flag=True, help="change nothing; say how the tables are divided")
def partition(*, check: bool) -> None:
    """Divide history and calls by the month, on PostgreSQL, while everything goes on. Harmless when it was done.

    What is there until the end of this month stays as it is and becomes the first partition: no row is copied. The
    relay makes the months ahead, and `trunkline prune` drops old ones whole. Worth it from some millions of requests
    a month on.

    Every process must run this release before: the one before it cannot store calls in a divided table.

    \b
    Examples: trunkline partition --check
              trunkline partition
    """
    with database(settings()) as engine:
        if engine.dialect.name != "postgresql":
            raise Refusal("SQLite has no partitions, and needs none; set TRUNKLINE_DATABASE_URL to a PostgreSQL")
        divided = [] if check else [table for table in partitioning.TABLES if _divide(engine, table)]
        if not check:
            write(engine, lambda session: partitioning.make_ahead(session, time_of(session)))
        found = {table: read(engine, partial(_views, table=table)) for table in partitioning.TABLES}
    if wants_json():
        say_json({"divided": divided, "partitions": found})
        return
    say_table(COLUMNS, [[table, *_cells(one)] for table, views in found.items() for one in views])
    for table, views in found.items():
        say(f"{table}: " + ("divided now." if table in divided else "divided." if views else "not divided."))


def _divide(engine: Engine, table: str) -> bool:
    now = read(engine, time_of)
    try:
        is_new = partitioning.divide(engine, table, now)
    except InTheWay as error:
        raise Refusal(str(error)) from None
    except DBAPIError as error:
        if is_retryable(error):
            raise Refusal(f"{table} is held by somebody (a backup?); nothing was changed, run it again later") from None
        # It is another's table, say; or holds a row of the future.
        if isinstance(error, ProgrammingError | IntegrityError):
            raise Refusal(f"{table} was not changed: {str(error.orig).partition(chr(10))[0]}") from None
        raise
    if is_new:
        write(engine, lambda session: act.record(session, actor(), "table.partition", table, time_of(session)))
    return is_new


def _views(session: Session, table: str) -> list[dict[str, Any]]:
    return [_view(session, one) for one in partitioning.of(session, table)]


def _cells(view: dict[str, Any]) -> list[Any]:
    *place, size = view.values()
    return [*place, f"{size / 2**20:,.1f}"]


def _view(session: Session, one: Partition) -> dict[str, Any]:
    size = session.scalar(sa.text("SELECT pg_total_relation_size(to_regclass(:name))"), {"name": one.name})
    return {"partition": one.name, "from": rfc3339(one.lower), "until": rfc3339(one.upper), "bytes": size}
