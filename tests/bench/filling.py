"""Many requests at once, as Trunkline would have left them: ended and told, or waiting to be ordered.

    python -m tests.bench.filling [--requests 20000] [--state completed|failed|queued]

fills a database of its own and says how long that took. Not a row goes through the product, so a test holds the rows
against those of requests that did.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from models.base import new_id, utc_now
from models.requester import DEFAULT_REQUESTER, new_signing_secret
from models.state import State
from tests.bench.filled_rows import FILLED, ID_AT, about, statements
from tests.bench.stage import stage
from tests.bench.trunkline import Trunkline

BATCH = 1_000
"""Requests of one batch: a million are a thousand batches, as of somebody who sends some files a day."""

ENDED_BEFORE, ENDED_EVERY = timedelta(days=30), timedelta(minutes=30)
"""When the first batch of those that have ended was taken, before now, and each further one after it. That is room for
1,440,000 requests."""

QUEUED_BEFORE, QUEUED_EVERY = timedelta(hours=1), timedelta(seconds=1)
"""Those that wait came lately, well before their deadline."""

MANY = 50_000
"""From so many on, indexes are made anew behind the rows, which takes half as long as to keep them up."""

Connection = psycopg.Connection[TupleRow]


@dataclass
class Filled(Trunkline):
    """Trunkline with a history: `rows` requests have ended before it starts."""

    rows: int = 0

    def prepare(self) -> None:
        super().prepare()
        fill(self.conninfo, self.rows)


def fill(conninfo: str, count: int, state: State = State.COMPLETED, owner: str = DEFAULT_REQUESTER) -> None:
    """Add `count` requests of `owner` (completed, failed, or queued and due) with all that belongs to them.

    Their results went to an endpoint of its own that is disabled now, so that no other goes there. Commits; what the
    filling leaves to do for PostgreSQL is done too, and not while somebody is measured.
    """
    if not count:
        return
    with _connect(conninfo) as connection:
        given = about(state) | _owned(connection, owner) | _placed(connection, count, state)
    with ThreadPoolExecutor() as threads:
        parts = [threads.submit(_write, conninfo, part, given) for part in statements(state)]
        for part in parts:
            part.result()
    with _connect(conninfo) as connection:
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")


def _placed(connection: Connection, count: int, state: State) -> dict[str, Any]:
    """Which numbers the requests get, in batches behind those that were filled in before, and when they were taken."""
    filled = _one(connection, "SELECT count(*) FROM batches WHERE name LIKE 'filled %%'")[0]
    before, every = (QUEUED_BEFORE, QUEUED_EVERY) if state is State.QUEUED else (ENDED_BEFORE, ENDED_EVERY)
    return {
        "first": filled * BATCH + 1,
        "last": filled * BATCH + count,
        "size": BATCH,
        "began": int((utc_now() - before).timestamp() * 1000),
        "every": every // timedelta(milliseconds=1),
    }


def _owned(connection: Connection, owner: str) -> dict[str, Any]:
    names = {"owner": owner, "id": new_id(), "secret": new_signing_secret(), "now": utc_now()}
    connection.execute(
        "INSERT INTO requesters (id, name, secret, created_at) VALUES (%(id)s, %(owner)s, %(secret)s, %(now)s)"
        " ON CONFLICT DO NOTHING",
        names,
    )
    names["requester"] = _one(connection, "SELECT id FROM requesters WHERE name = %(owner)s", names)[0]
    connection.execute(
        "INSERT INTO endpoints (id, requester_id, name, url, types, secret, disabled_at, created_at)"
        " VALUES (%(id)s, %(requester)s, 'filled', 'https://filled.invalid', '[]', %(secret)s, %(now)s, %(now)s)"
        " ON CONFLICT DO NOTHING",
        names,
    )
    at = "SELECT id FROM endpoints WHERE requester_id = %(requester)s AND name = 'filled'"
    endpoint, key = _one(connection, at, names)[0], new_id()
    return {"requester": names["requester"], "endpoint": endpoint, "key": key, "actor": f"key {key}"}


def _write(conninfo: str, part: Mapping[str, str], given: dict[str, Any]) -> None:
    with _connect(conninfo) as connection, connection.transaction():
        # The rows name one another rightly: to look up each foreign key would take as long as all the rest.
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(ID_AT)
        is_long = given["last"] - given["first"] >= MANY
        indexes = _drop_indexes(connection, list(part)) if is_long else []
        for statement in part.values():
            connection.execute(statement.encode(), given)
        connection.execute("SET LOCAL maintenance_work_mem = '256MB'")
        connection.execute("SET LOCAL max_parallel_maintenance_workers = 0")
        for definition in indexes:
            connection.execute(definition.encode())


def _drop_indexes(connection: Connection, tables: Sequence[str]) -> list[str]:
    """Those that hold up no constraint; how to make them again."""
    found = connection.execute(
        "SELECT indexdef, indexname FROM pg_indexes JOIN pg_index ON indexrelid = indexname::regclass"
        " WHERE tablename = ANY(%(tables)s) AND NOT indisunique AND schemaname = 'public'",
        {"tables": tables},
    ).fetchall()
    for _, name in found:
        connection.execute(f"DROP INDEX {name}".encode())
    return [definition for definition, _ in found]


def _connect(conninfo: str) -> Connection:
    """Values are written into the statement here: in most places of ours PostgreSQL could not know their types."""
    return psycopg.connect(conninfo, autocommit=True, cursor_factory=psycopg.ClientCursor)


def _one(connection: Connection, query: str, given: dict[str, Any] | None = None) -> TupleRow:
    found = connection.execute(query.encode(), given or {}).fetchone()
    assert found is not None
    return found


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--state", type=State, choices=FILLED, default=State.COMPLETED)
    arguments = parser.parse_args(words)
    with stage() as on, on.play(Trunkline) as peer:
        began = time.monotonic()
        fill(peer.conninfo, arguments.requests, arguments.state)
        took = time.monotonic() - began
        with _connect(peer.conninfo) as connection:
            size = _one(connection, "SELECT pg_database_size(current_database())")[0]
    sys.stdout.write(f"{arguments.requests} {arguments.state} in {took:.1f} s, {size / 2**20:.0f} MiB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
