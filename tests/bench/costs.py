"""What a request, or a call on a number, costs each part: the figures that `deploy/capacity.md` computes with.

    python -m tests.bench.costs [--requests 2000] [--behind 0] [--of bulk|one-by-one|calls]

`--behind` fills in so many others that have ended, and begins with a checkpoint: each page that is then written for the
first time goes into the WAL whole, as it does in production after every checkpoint.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Self

import psutil
import psycopg
import redis
from psycopg.rows import dict_row

from tests.bench.end_to_end import WARM_UP, Run, measure
from tests.bench.filling import Filled
from tests.bench.peers.peer import Peer
from tests.bench.stage import Stage, stage
from tests.bench.trunkline import order
from tests.bench.usage import LOOK, Meter, processes
from tests.sandbox import eventually

REQUESTS = 2_000

SERVER = """
    SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') AS "WAL bytes",
           (to_jsonb(w) ->> 'wal_fpi')::numeric AS "whole pages in WAL",
           (to_jsonb(w) ->> 'wal_sync')::numeric AS "WAL syncs",
           d.xact_commit AS commits, d.xact_rollback AS rollbacks
    FROM pg_stat_wal AS w, pg_stat_database AS d WHERE d.datname = current_database()
"""
"""All ever growing. PostgreSQL 18 tells syncs elsewhere: then there is no figure."""

TABLES = """
    SELECT relname AS "table", n_tup_ins AS inserts, n_tup_upd AS updates, n_tup_hot_upd AS "of them HOT",
           n_tup_del AS deletes, pg_table_size(relid) AS bytes, pg_indexes_size(relid) AS "bytes of indexes"
    FROM pg_stat_user_tables ORDER BY pg_total_relation_size(relid) DESC
"""

OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""

BROKER = {
    "total_commands_processed": "commands",
    "total_net_input_bytes": "bytes in",
    "total_net_output_bytes": "bytes out",
}

CALLS = "SELECT count(*) FROM inbox WHERE purpose = 'call' AND applied_at IS NOT NULL"

LEAST = 0.01
"""Rows written for each, below which a table is not shown."""

TOGETHER = 8
"""Connections of whoever orders one by one, or calls."""

UNTOLD_FOR = 11.0
"""Seconds. An idle connection of PostgreSQL tells its last counts after ten."""

Figures = Mapping[str, Any]

Database = psycopg.Connection[dict[str, Any]]


@dataclass
class Connections:
    """To a port, from `with` to its end: the most that a role had at once, looked at now and then."""

    port: int
    roles: Mapping[str, int]
    most: dict[str, int] = field(default_factory=dict, init=False)

    def __enter__(self) -> Self:
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            to = [one.pid for one in psutil.net_connections("tcp") if one.raddr and one.raddr.port == self.port]
            for role, pid in self.roles.items():
                self.most[role] = max(self.most.get(role, 0), sum(map(to.count, processes(pid))))
            if self._is_over.wait(LOOK):
                return


@dataclass(frozen=True)
class Costs:
    """All but `run` and what is at most: for one of those that were measured."""

    run: Run | None  # of orders
    cpu: Figures  # ms, by role
    server: Figures  # of PostgreSQL
    tables: Mapping[str, Figures]
    broker: Figures  # Redis' commands and bytes
    broker_memory: int  # bytes, at most
    connections: Mapping[str, int]  # at most

    def __str__(self) -> str:
        lines = [] if self.run is None else [str(self.run)]
        lines += ["each", "    CPU ms: " + _listed(self.cpu), "    PostgreSQL: " + _listed(self.server)]
        lines += [f"    {name}: {_listed(table)}" for name, table in self.tables.items()]
        lines += ["    Redis: " + _listed(self.broker), "at most"]
        lines += ["    connections to PostgreSQL: " + _listed(self.connections)]
        return "\n".join([*lines, f"    Redis: {self.broker_memory / 2**20:.1f} MiB"])


@dataclass
class OneByOne(Filled):
    """Each order is a POST of its own."""

    def submit(self, count: int) -> list[str]:
        ids = self._new_ids(count)
        with self.client() as client, ThreadPoolExecutor(TOGETHER) as threads:
            for answer in threads.map(lambda custom_id: client.post("/v1/requests", json=order(custom_id)), ids):
                answer.raise_for_status()
        self.submitted += ids
        return ids


def costs(on: Stage, count: int, behind: int = 0, kind: type[Filled] = Filled) -> Costs:
    """Of orders, behind so many others. What PostgreSQL and Redis count is for the requests of the warm-up too."""
    with on.play(kind, rows=behind) as peer:
        return _spent(on, peer, count + WARM_UP, lambda: measure(peer, on.roles, count))


def costs_of_calls(on: Stage, count: int) -> Costs:
    """Of calls on numbers that we hold, one on each."""
    with on.play(Filled) as peer:
        peer.submit(count)
        peer.wait()
        numbers = [entry["number"] for entry in on.sandbox.ledger()]
        time.sleep(UNTOLD_FOR)
        return _spent(on, peer, count, lambda: _call(on, peer, numbers))


def _call(on: Stage, peer: Peer, numbers: Sequence[str]) -> None:
    with ThreadPoolExecutor(TOGETHER) as threads:
        list(threads.map(on.sandbox.call, numbers))
    with psycopg.connect(peer.conninfo, autocommit=True, row_factory=dict_row) as database:
        eventually(lambda: _one(database, CALLS)["count"] == len(numbers), within=60)


def _spent(on: Stage, peer: Peer, each: int, work: Callable[[], Run | None]) -> Costs:
    with (
        redis.Redis.from_url(on.redis.url) as broker,
        psycopg.connect(peer.conninfo, autocommit=True, row_factory=dict_row) as database,
    ):
        before, tables_before, said = _one(database, SERVER), _tables(database), _said(broker)
        with Connections(on.postgres.port, peer.groups) as connections, Meter({**peer.groups, **on.roles}) as meter:
            run = work()
        said_then = _said(broker)
        peer.stop()  # a connection tells its last counts when it ends
        eventually(lambda: not _one(database, OTHERS)["count"], within=30)
        tables = {name: _grown(tables_before[name], now, each) for name, now in _tables(database).items()}
        used = meter.cpu if run is None else run.cpu
        return Costs(
            run=run,
            cpu={role: 1_000 * seconds / (each if run is None else run.requests) for role, seconds in used.items()},
            server=_grown(before, _one(database, SERVER), each),
            tables={name: table for name, table in tables.items() if table["inserts"] + table["updates"] > LEAST},
            broker=_grown(said, said_then, each),
            broker_memory=broker.info()["used_memory_peak"],
            connections=connections.most,
        )


def _tables(database: Database) -> dict[str, dict[str, Any]]:
    return {row.pop("table"): row for row in database.execute(TABLES)}


def _one(database: Database, question: str) -> dict[str, Any]:
    return dict(database.execute(question.encode()).fetchone() or {})


def _said(broker: Any) -> dict[str, Any]:
    said = broker.info()
    return {name: said[key] for key, name in BROKER.items()}


def _grown(before: Figures, now: Figures, among: int) -> dict[str, float]:
    return {name: float(now[name] - value) / among for name, value in before.items() if value is not None}


def _listed(figures: Figures) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--behind", type=int, default=0)
    parser.add_argument("--of", choices=("bulk", "one-by-one", "calls"), default="bulk")
    arguments = parser.parse_args()
    with stage() as on:
        if arguments.of == "calls":
            found = costs_of_calls(on, arguments.requests)
        else:
            kind = Filled if arguments.of == "bulk" else OneByOne
            found = costs(on, arguments.requests, arguments.behind, kind)
    sys.stdout.write(f"{found}\n")
    return 0 if found.run is None or found.run.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
