"""Bulk intake on PostgreSQL: many validated rows, by `POST /v1/batches` and by `trunkline submit`.

Ours are rows with their history and counts, each checked before the first is taken. Beside them, the bare limit: COPY
of the very rows that were taken, as they lie in the table, into one that has a primary key and nothing else. Nobody
works on them meanwhile.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from tests.bench.alone import alone
from tests.bench.row import Aim, Row
from tests.bench.stage import Stage
from tests.bench.trunkline import ReceiverAlone, order, said
from tests.bench.usage import Meter

MANY, TINY = 100_000, 200

FEW = 10
"""The share of it, one in so many, that memory is compared with: even so it is longer than every buffer on the way,
and what keeps the whole file, or a part of each row, would take several times as much for the rest."""

FLAT = Aim("≤", 1.1)
"""What allocators round up and leave in pieces is a few percent; all rows in memory would be hundreds."""

LOOK = 0.1
"""Seconds between two looks at the memory: a tenth of the rows is taken within a second or so."""

PIECE = 1 << 20
"""Bytes that COPY is handed at a time."""


@dataclass(frozen=True)
class Taken:
    rate: float  # rows a second
    peak: int  # bytes, PSS of the process that took them, at its highest
    batch_id: UUID


def by_ndjson(peer: ReceiverAlone, rows: Sequence[Mapping[str, Any]]) -> Taken:
    file = peer.folder / "rows.ndjson"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return _posted(peer, file, "application/x-ndjson", len(rows))


def by_csv(peer: ReceiverAlone, rows: Sequence[Mapping[str, Any]]) -> Taken:
    return _posted(peer, _csv_file(peer, rows), "text/csv", len(rows))


def by_command(peer: ReceiverAlone, rows: Sequence[Mapping[str, Any]]) -> Taken:
    """`trunkline submit`, from its start to its end."""
    file = _csv_file(peer, rows)
    began = time.monotonic()
    command = peer.begin("submit", str(file), "--json")
    with Meter({"command": command.pid}, LOOK) as meter:
        told = json.loads(said(command))
    return _taken(began, meter.peak["command"], told["batch"], len(rows))


def _csv_file(peer: ReceiverAlone, rows: Sequence[Mapping[str, Any]]) -> Path:
    file = peer.folder / "rows.csv"
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, dict(_cells(rows[0])))
        writer.writeheader()
        writer.writerows(dict(_cells(row)) for row in rows)
    return file


def _cells(row: Mapping[str, Any], within: str = "") -> Iterable[tuple[str, Any]]:
    """Its fields by their dotted names."""
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _cells(value, f"{within}{name}.")
        else:
            yield within + name, value


def _posted(peer: ReceiverAlone, file: Path, media_type: str, count: int) -> Taken:
    """Streamed from the file, as the answer is only given when all of it is taken."""
    with peer.client() as client, file.open("rb") as body, Meter(peer.groups, LOOK) as meter:
        began = time.monotonic()
        answer = client.post("/v1/batches", content=body, headers={"Content-Type": media_type})
    answer.raise_for_status()
    return _taken(began, meter.peak["receiver"], answer.json(), count)


def _taken(began: float, peak: int, batch: Mapping[str, Any], count: int) -> Taken:
    """Raises RuntimeError where not all of them were taken."""
    elapsed = time.monotonic() - began
    if batch["total"] != count or batch["counts"]["queued"] != count:
        raise RuntimeError(f"intake: {count} rows were sent, and the batch is {batch}")
    return Taken(count / elapsed, peak, UUID(batch["id"]))


WAYS: Mapping[str, Callable[[ReceiverAlone, Sequence[Mapping[str, Any]]], Taken]] = {
    "POST of NDJSON": by_ndjson,
    "POST of CSV": by_csv,
    "trunkline submit": by_command,
}


@dataclass(frozen=True)
class Run:
    few: Taken
    many: Taken
    copied: float  # rows a second, by COPY
    copied_and_indexed: float  # the same, with all the indexes that our table has


def rows(on: Stage, *, is_full: bool, rounds: int) -> list[Row]:
    """Each way in turn, `rounds` times, on an empty database. Raises RuntimeError where rows are missing."""
    runs: dict[str, list[Run]] = {}
    for _ in range(rounds):
        for way in WAYS:
            done = run(on, way, MANY if is_full else TINY)
            sys.stderr.write(f"intake, {way}: {done}\n")
            runs.setdefault(way, []).append(done)
    return [row for way, done in runs.items() for row in _rows(way, done)]


def _rows(way: str, runs: Sequence[Run]) -> list[Row]:
    rates = [one.many.rate for one in runs]
    return [
        Row(f"bulk intake, {way}", rates, "rows/s", "COPY", [one.copied for one in runs],
            Aim("≥", 10_000, of_ratio=False)),
        Row(f"bulk intake, {way}", rates, "rows/s", "COPY into all our indexes",
            [one.copied_and_indexed for one in runs]),
        Row(f"bulk intake, {way}: memory at most", [one.many.peak / 2**20 for one in runs], "MiB",
            f"a {FEW}th of the rows", [one.few.peak / 2**20 for one in runs], FLAT),
    ]  # fmt: skip


def run(on: Stage, way: str, count: int) -> Run:
    """One way, once: a tenth of the rows, then all, and then COPY of these."""
    with on.play(ReceiverAlone) as peer:
        assert isinstance(peer, ReceiverAlone)
        WAYS[way](peer, _some("warm-up", count // FEW))  # code and connections that come with the first rows
        few = WAYS[way](peer, _some("few", count // FEW))
        many = WAYS[way](peer, _some("many", count))
        with psycopg.connect(peer.conninfo) as connection:
            pieces = _copied_out(connection, many.batch_id)
            bare = _copied_in(connection, "(LIKE requests, PRIMARY KEY (id))", pieces, count)
            indexed = _copied_in(connection, "(LIKE requests INCLUDING ALL)", pieces, count)
    return Run(few, many, bare, indexed)


def _some(name: str, count: int) -> list[dict[str, Any]]:
    return [order(f"{name}-{number}") for number in range(count)]


def _copied_out(connection: psycopg.Connection[Any], batch_id: UUID) -> list[bytes]:
    """The rows of a batch in COPY's own words."""
    statement = f"COPY (SELECT * FROM requests WHERE batch_id = '{batch_id}') TO STDOUT"  # noqa: S608 -- a UUID
    with connection.cursor().copy(statement.encode()) as copy:
        whole = b"".join(copy)
    return [whole[at : at + PIECE] for at in range(0, len(whole), PIECE)]


def _copied_in(connection: psycopg.Connection[Any], table: str, pieces: Sequence[bytes], count: int) -> float:
    """Rows a second into a new table like this, committed. Raises RuntimeError where not all of them came."""
    connection.execute(f"DROP TABLE IF EXISTS copied; CREATE TABLE copied {table}".encode())
    connection.commit()
    began = time.monotonic()
    with connection.cursor() as cursor:
        with cursor.copy("COPY copied FROM STDIN") as copy:
            for piece in pieces:
                copy.write(piece)
        connection.commit()
        if cursor.rowcount != count:
            raise RuntimeError(f"intake: COPY took {cursor.rowcount} of {count} rows")
    return count / (time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(alone(rows, __doc__))
