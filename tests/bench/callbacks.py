"""Callbacks taken durably by one receiver process, beside the same server with nothing but one INSERT.

Both commit before they answer, with `synchronous_commit=on`. Ours checks a token, knows a repeat by its content and
sends hints; nobody works on them meanwhile. The load comes from a process of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import psycopg
from pydantic import SecretStr

from models.base import new_id
from models.inbox import Purpose
from tests.bench.alone import alone
from tests.bench.load import Answered, load
from tests.bench.peers.one_insert.run import Peer as OneInsert
from tests.bench.peers.peer import Peer
from tests.bench.row import Aim, Row
from tests.bench.stage import Stage
from tests.bench.trunkline import ReceiverAlone
from worker.signing import Tokens

SECONDS, TINY_SECONDS = 6.0, 0.5
"""Measured in a round, after a second of warm-up: some ten thousand callbacks."""

CONNECTIONS = 32
"""At once: four for each thread of the receiver, so that none of them waits for the load."""

ORDERS = 5_000
"""With a token each. An upstream calls back for many orders, and hardly twice for one."""


@dataclass(frozen=True)
class Run:
    answered: Answered
    kept: int  # rows, in the end

    @property
    def is_right(self) -> bool:
        """Each callback that got its 200 is in the table, and there is none that got anything else."""
        return not self.answered.wrong and self.kept == self.answered.total

    def __str__(self) -> str:
        done = self.answered
        return (
            f"{done.rate:.0f} callbacks/s, median {done.middle * 1000:.1f} ms, p99 {done.late * 1000:.1f} ms;"
            f" {done.total} answered, {done.wrong} not by 200, {self.kept} kept;"
            f" the load took {done.cpu:.2f} of a core"
        )


def rows(on: Stage, *, is_full: bool, rounds: int) -> list[Row]:
    """In turn, `rounds` times. Raises RuntimeError where a callback that was answered is not in the table."""
    runs: dict[type[Peer], list[Run]] = {}
    for _ in range(rounds):
        for kind in (ReceiverAlone, OneInsert):
            done = run(on, kind, SECONDS if is_full else TINY_SECONDS)
            sys.stderr.write(f"callbacks, {kind.name}: {done}\n")
            if not done.is_right:
                raise RuntimeError(f"callbacks, {kind.name}: {done}")
            runs.setdefault(kind, []).append(done)
    ours, bare = runs[ReceiverAlone], runs[OneInsert]
    return [
        Row(
            "callbacks taken durably, one receiver process",
            _rates(ours), "callbacks/s", "one INSERT, same server", _rates(bare), Aim("≥", 0.8),
        ),
        Row("of it the load took", [one.answered.cpu for one in ours], "cores"),
    ]  # fmt: skip


def run(on: Stage, kind: type[Peer], seconds: float) -> Run:
    """One of the two, once."""
    with on.play(kind) as peer:
        paths = callback_paths(peer.secret) if isinstance(peer, ReceiverAlone) else callback_paths("of no use")
        (file := peer.folder / "paths").write_text("\n".join(paths))
        answered = load(peer.port, file, connections=CONNECTIONS, seconds=seconds)
        with psycopg.connect(peer.conninfo) as connection:
            (kept,) = connection.execute("SELECT count(*) FROM inbox").fetchone() or (0,)
    return Run(answered, kept)


def callback_paths(secret: str, orders: int = ORDERS) -> list[str]:
    """Where an upstream calls back about so many orders."""
    tokens = Tokens([SecretStr(secret)])
    ids: list[UUID] = [new_id() for _ in range(orders)]
    return [f"/callbacks/avanser/{tokens.make('avanser', Purpose.CALLBACK, id_)}" for id_ in ids]


def _rates(runs: Sequence[Run]) -> list[float]:
    return [one.answered.rate for one in runs]


if __name__ == "__main__":
    sys.exit(alone(rows, __doc__))
