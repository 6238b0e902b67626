"""the inventory of numbers, text messages, and waiting for stock

Revises: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

HELD = sa.text("released_at IS NULL")
RELEASED = sa.text("released_at IS NOT NULL")
WAITS_FOR_STOCK = sa.text("stock_key IS NOT NULL")


def upgrade() -> None:
    op.add_column("requests", sa.Column("pool", sa.String(length=64), nullable=True))
    op.add_column("requests", sa.Column("stock_key", sa.String(length=64), nullable=True))
    op.create_index(
        "ix_requests_stock_key",
        "requests",
        ["stock_key", "id"],
        postgresql_where=WAITS_FOR_STOCK,
        sqlite_where=WAITS_FOR_STOCK,
    )
    _numbers()
    _messages()
    _stock()
    _inventory()


def downgrade() -> None:
    op.drop_table("stock_watches")
    op.drop_table("reservations")
    op.drop_table("messages")
    op.drop_table("numbers")
    op.drop_index("ix_requests_stock_key", table_name="requests")
    op.drop_column("requests", "stock_key")
    op.drop_column("requests", "pool")


def _numbers() -> None:
    op.create_table(
        "numbers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("requester_id", sa.Uuid(), nullable=False),
        sa.Column("upstream", sa.String(length=32), nullable=False),
        sa.Column("number", sa.String(length=20), nullable=False),
        sa.Column("upstream_reference", sa.String(length=255), nullable=True),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("custom_id", sa.String(length=255), nullable=True),
        sa.Column("custom_group", sa.String(length=255), nullable=True),
        sa.Column("pool", sa.String(length=64), nullable=True),
        sa.Column("configuration", sa.JSON(), nullable=False),
        sa.Column("held_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("released_by", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["requester_id"], ["requesters.id"], name=op.f("fk_numbers_requester_id_requesters")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_numbers")),
    )
    op.create_index(
        "uq_numbers_held", "numbers", ["number", "upstream"], unique=True, postgresql_where=HELD, sqlite_where=HELD
    )
    op.create_index("ix_numbers_number", "numbers", ["number", "requester_id"])
    op.create_index("ix_numbers_upstream_reference", "numbers", ["upstream_reference", "requester_id"])
    op.create_index("ix_numbers_list", "numbers", ["requester_id", "id"])
    op.create_index(
        "ix_numbers_released", "numbers", ["requester_id", "id"], postgresql_where=RELEASED, sqlite_where=RELEASED
    )
    op.create_index("ix_numbers_custom_id", "numbers", ["requester_id", "custom_id"])
    op.create_index("ix_numbers_request", "numbers", ["request_id"])


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("upstream", sa.String(length=32), nullable=False),
        sa.Column("upstream_reference", sa.String(length=255), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("requester_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.String(length=20), nullable=True),
        sa.Column("sender", sa.String(length=32), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at_raw", sa.String(length=64), nullable=True),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
        sa.UniqueConstraint("upstream", "upstream_reference", name=op.f("uq_messages_upstream_upstream_reference")),
    )
    op.create_index("ix_messages_number", "messages", ["number", "id"])
    op.create_index("ix_messages_list", "messages", ["requester_id", "id"])


def _stock() -> None:
    op.create_table(
        "reservations",
        sa.Column("upstream", sa.String(length=32), nullable=False),
        sa.Column("reference", sa.String(length=255), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("upstream", "reference", name=op.f("pk_reservations")),
    )
    op.create_index("ix_reservations_until", "reservations", ["until"])
    op.create_index("ix_reservations_request", "reservations", ["request_id"])
    op.create_table(
        "stock_watches",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("upstream", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("query", sa.JSON(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("found", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stock_watches")),
        sa.UniqueConstraint("upstream", "key", name=op.f("uq_stock_watches_upstream_key")),
    )
    op.create_index("ix_stock_watches_due", "stock_watches", ["upstream", "due_at"])


def _inventory() -> None:
    """What was bought before there was an inventory: told anew from the requests, in the order in which they ended."""
    requests = sa.table("requests", *(sa.column(name, kind) for name, kind in _TOLD.items()))
    ended = sa.select(requests).where(requests.c.state == "completed", requests.c.number.is_not(None))
    rows: list[dict[str, Any]] = []
    held: dict[tuple[str, str], dict[str, Any]] = {}
    for found in op.get_bind().execute(ended.order_by(requests.c.finished_at, requests.c.id)).mappings():
        row = dict(found)
        key = (row["upstream"], row["number"])
        known = held.get(key)
        if known is not None and row["kind"] == "update":
            known["configuration"] = _merged(known["configuration"], row["spec"])
            known["custom_id"] = row["custom_id"] or known["custom_id"]
            known["custom_group"] = row["custom_group"] or known["custom_group"]
            known["changed_at"] = row["finished_at"]
            continue
        if known is not None:
            by = row["id"] if row["kind"] == "release" else None
            held.pop(key).update(released_at=row["finished_at"], released_by=by, changed_at=row["finished_at"])
        if row["kind"] != "release":
            held[key] = _row(row)
            rows.append(held[key])
    numbers = sa.table("numbers", *(sa.column(name, kind) for name, kind in _KEPT.items()))
    if rows:
        op.bulk_insert(numbers, rows)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    same = ("id", "requester_id", "upstream", "number", "upstream_reference", "custom_id", "custom_group")
    times = dict.fromkeys(("held_since", "changed_at"), row["finished_at"])
    ends = {"released_at": None, "released_by": None}
    return {name: row[name] for name in same} | {"request_id": row["id"], "configuration": row["spec"]} | times | ends


def _merged(before: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    after = dict(before)
    for name, value in change.items():
        known = after.get(name)
        after[name] = _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return after


_TIME = sa.DateTime(timezone=True)

_SHARED: dict[str, Any] = {
    "id": sa.Uuid(),
    "requester_id": sa.Uuid(),
    "upstream": sa.String(),
    "number": sa.String(),
    "upstream_reference": sa.String(),
    "custom_id": sa.String(),
    "custom_group": sa.String(),
}

_TOLD = _SHARED | {"kind": sa.String(), "state": sa.String(), "spec": sa.JSON(), "finished_at": _TIME}

_KEPT = _SHARED | {
    "request_id": sa.Uuid(),
    "configuration": sa.JSON(),
    "held_since": _TIME,
    "changed_at": _TIME,
    "released_at": _TIME,
    "released_by": sa.Uuid(),
}
