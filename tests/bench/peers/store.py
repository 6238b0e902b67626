"""The table of the peers whose queue keeps no record of what was ordered, in plain SQL by psycopg.

Each function is one statement, in the transaction of the connection that it is given.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from tests.bench.peers.orders import Acknowledgement, Order, Outcome, Refusal, Result

Connection = AsyncConnection[TupleRow]

_TABLE = """
    CREATE TABLE orders (
        id text PRIMARY KEY,
        custom_id text NOT NULL,
        answer_point text NOT NULL,
        status text NOT NULL DEFAULT 'new', -- then ordered, completed or failed
        number text,
        reference text,
        error text,
        created_at timestamptz NOT NULL DEFAULT now(),
        delivered_at timestamptz
    )
"""


def make_table(conninfo: str) -> None:
    with psycopg.connect(conninfo) as connection:
        connection.execute(_TABLE)


async def add(connection: Connection, orders: Sequence[Order]) -> list[str]:
    """Write down new orders; returns the ids of those that were not known."""
    columns = [[getattr(order, name) for order in orders] for name in ("id", "custom_id", "answer_point")]
    cursor = await connection.execute(
        "INSERT INTO orders (id, custom_id, answer_point) SELECT * FROM unnest(%s::text[], %s::text[], %s::text[])"
        " ON CONFLICT DO NOTHING RETURNING id",
        columns,
    )
    return [row[0] for row in await cursor.fetchall()]


async def to_place(connection: Connection, order_id: str) -> Order | None:
    """The order, or None where the upstream has answered it already.

    That it is being placed is not written down: whoever orders again what a dead worker left has no use for it.
    """
    cursor = await connection.execute(
        "SELECT custom_id, answer_point FROM orders WHERE id = %s AND status = 'new'", [order_id]
    )
    row = await cursor.fetchone()
    return Order(custom_id=row[0], answer_point=row[1]) if row else None


async def answered(connection: Connection, order_id: str, reply: Acknowledgement | Refusal) -> None:
    """The upstream's answer. A callback that was quicker stands."""
    if isinstance(reply, Acknowledgement):
        await connection.execute(
            "UPDATE orders SET status = 'ordered', number = %s, reference = %s WHERE id = %s AND status = 'new'",
            [reply.number, reply.reference, order_id],
        )
    else:
        await connection.execute(
            "UPDATE orders SET status = 'failed', error = %s WHERE id = %s AND status = 'new'", [reply.error, order_id]
        )


async def end(connection: Connection, order_id: str, outcome: Outcome, number: str | None) -> bool:
    """How the upstream ended the order. Whether there is one that the customer has not been told the end of."""
    cursor = await connection.execute(
        "UPDATE orders SET status = %s, number = coalesce(%s, number) WHERE id = %s AND delivered_at IS NULL",
        [outcome, number, order_id],
    )
    return cursor.rowcount > 0


async def is_known(connection: Connection, order_id: str) -> bool:
    cursor = await connection.execute("SELECT FROM orders WHERE id = %s", [order_id])
    return await cursor.fetchone() is not None


async def to_deliver(connection: Connection, order_id: str) -> Result | None:
    """What is to be delivered, or None where it was."""
    cursor = await connection.execute(
        "SELECT id, custom_id, status, number FROM orders WHERE id = %s AND delivered_at IS NULL"
        " AND status IN ('completed', 'failed')",
        [order_id],
    )
    row = await cursor.fetchone()
    return Result(*row) if row else None


async def delivered(connection: Connection, order_id: str) -> None:
    await connection.execute("UPDATE orders SET delivered_at = now() WHERE id = %s", [order_id])
