"""Ten million lines of old history deleted by `trunkline prune`, while callbacks are taken.

One receiver process under full load, first alone, then while the command runs; once where the history is one table, and
once where it is divided by the month.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import fmean

import psycopg

from models import partitioning
from models.base import make_engine, utc_now, write
from tests.bench.alone import alone
from tests.bench.callbacks import CONNECTIONS, SECONDS, TINY_SECONDS, callback_paths
from tests.bench.filled_rows import ID_AT
from tests.bench.filling import Filled, fill
from tests.bench.load import Answered, load
from tests.bench.row import Aim, Row
from tests.bench.stage import Stage
from tests.bench.trunkline import Trunkline, said

LINES, TINY_LINES = 10_000_000, 4_000

LONG_AGO = timedelta(days=800)
"""When the history was divided: before any of it was written."""

REQUESTS = 1_000
"""That ended two years ago, and whose history all of it is."""


@dataclass
class Old(Filled):
    """Nobody works on what comes in."""

    by_month: bool = False

    def prepare(self) -> None:
        Trunkline.prepare(self)
        if self.by_month:
            engine = make_engine(self.database_url)
            partitioning.divide(engine, "events", utc_now() - LONG_AGO)
            write(engine, lambda session: partitioning.make_ahead(session, utc_now()))
            engine.dispose()
        fill(self.conninfo, self.rows)
        with psycopg.connect(self.conninfo) as connection:
            connection.execute("UPDATE requests SET finished_at = finished_at - interval '730 days'")

    def restart(self) -> None:
        """There is nobody to start."""

    def add_history(self, lines: int) -> None:
        """So many lines, of those requests in turn, each a millisecond after the one before."""
        with psycopg.connect(self.conninfo) as connection:
            connection.execute(ID_AT.encode())
            connection.execute(
                b"INSERT INTO events (id, request_id, at, type, actor, data)"
                b" SELECT pg_temp.id_at(began + n, 0, 1, n), ids[1 + n %% cardinality(ids)],"
                b" to_timestamp((began + n) / 1000::float8), 'note', 'worker', '{}'"
                b" FROM (SELECT array_agg(id) AS ids FROM requests) AS known,"
                b" (SELECT (extract(epoch FROM now() - interval '720 days') * 1000)::bigint AS began) AS first,"
                b" generate_series(1, %s) AS n",
                (lines,),
            )
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE) events")
            connection.execute("CHECKPOINT")


def rows(on: Stage, *, is_full: bool, rounds: int) -> list[Row]:
    """Once, whatever `rounds` says. Raises RuntimeError where not all of it went, or a callback was not taken."""
    del rounds
    lines, seconds = (LINES, SECONDS) if is_full else (TINY_LINES, TINY_SECONDS)
    return [row for by_month in (False, True) for row in _pruned(on, lines, seconds, by_month=by_month)]


def _pruned(on: Stage, lines: int, seconds: float, *, by_month: bool) -> list[Row]:
    with on.play(Old, rows=REQUESTS, by_month=by_month) as peer:
        peer.add_history(lines)
        (file := peer.folder / "paths").write_text("\n".join(callback_paths(peer.secret)))
        before = _load(peer.port, file, seconds)
        began = time.monotonic()
        pruning = peer.begin("prune", "--older-than", "365d", "--yes", "--json")
        beside: list[Answered] = []
        while pruning.poll() is None:
            beside.append(_load(peer.port, file, seconds))
        took = time.monotonic() - began
        gone = json.loads(said(pruning))
    how = "by the month" if by_month else "from one table"
    if gone["history"] < lines:
        raise RuntimeError(f"of {lines} lines of history only {gone['history']} went")
    if by_month and not gone["dropped"]:
        raise RuntimeError("no month was dropped")
    late = max(one.late for one in beside)
    sys.stderr.write(f"pruned {how}: {gone} in {took:.0f} s; callbacks alone {before}, beside it {beside}\n")
    return [
        Row(f"{lines:,} lines of history pruned {how} under full load", [lines / took], "lines/s"),
        Row(
            f"callbacks taken beside it ({how}), one receiver process",
            [fmean(one.rate for one in beside)], "callbacks/s", "without it", [before.rate], Aim("≥", 0.5),
        ),
        Row(f"its p99 ({how}), the worst", [late * 1_000], "ms", "without it", [before.late * 1_000]),
    ]  # fmt: skip


def _load(port: int, paths: Path, seconds: float) -> Answered:
    answered = load(port, paths, connections=CONNECTIONS, seconds=seconds)
    if answered.wrong:
        raise RuntimeError(f"{answered.wrong} callbacks were answered otherwise than by 200")
    return answered


if __name__ == "__main__":
    sys.exit(alone(rows, __doc__))
