"""the inventory of numbers, text messages, and waiting for stock

Revises: 0001
"""

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
    op.execute(_BOUGHT)
    op.execute(_GIVEN_UP)


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


# What was bought before there was an inventory: each number as its last purchase left it.
_BOUGHT = """
INSERT INTO numbers (id, requester_id, upstream, number, upstream_reference, request_id, custom_id, custom_group,
                     configuration, held_since, changed_at)
SELECT bought.id, bought.requester_id, bought.upstream, bought.number, bought.upstream_reference, bought.id,
       bought.custom_id, bought.custom_group, bought.spec, bought.finished_at, bought.finished_at
FROM requests AS bought
WHERE bought.kind = 'provision' AND bought.state = 'completed' AND bought.number IS NOT NULL
  AND NOT EXISTS (
    SELECT 1 FROM requests AS later
    WHERE later.number = bought.number AND later.upstream = bought.upstream AND later.kind = 'provision'
      AND later.state = 'completed' AND later.id > bought.id)
"""

_GIVEN_UP = """
UPDATE numbers SET
  released_at = (SELECT max(gone.finished_at) FROM requests AS gone
                 WHERE gone.number = numbers.number AND gone.upstream = numbers.upstream AND gone.kind = 'release'
                   AND gone.state = 'completed' AND gone.id > numbers.id),
  released_by = (SELECT gone.id FROM requests AS gone
                 WHERE gone.number = numbers.number AND gone.upstream = numbers.upstream AND gone.kind = 'release'
                   AND gone.state = 'completed' AND gone.id > numbers.id
                 ORDER BY gone.finished_at DESC LIMIT 1)
"""
