"""events in the order in which they were committed, each once, and counted for each request

Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

ADDED = ("event_id", "for_all", "sequence", "position")


def upgrade() -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    # The same for all rows that there are: these are in the order of their ids. No row is written anew.
    position = "pg_current_xact_id()::text::bigint" if is_postgresql else "0"
    op.add_column("endpoints", sa.Column("description", sa.Text(), nullable=True))
    op.add_column("requests", sa.Column("told", sa.Integer(), server_default="0", nullable=False))
    op.add_column("deliveries", sa.Column("event_id", sa.Uuid(), nullable=True))
    op.add_column("deliveries", sa.Column("for_all", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("deliveries", sa.Column("sequence", sa.Integer(), nullable=True))
    op.add_column(
        "deliveries", sa.Column("position", sa.BigInteger(), server_default=sa.text(position), nullable=False)
    )
    first, others = sa.text("event_id IS NULL"), sa.text("event_id IS NOT NULL")
    op.create_index(
        "ix_deliveries_events",
        "deliveries",
        ["requester_id", "position", "id"],
        postgresql_where=first,
        sqlite_where=first,
    )
    op.create_index("ix_deliveries_others", "deliveries", ["event_id"], postgresql_where=others, sqlite_where=others)


def downgrade() -> None:
    op.drop_index("ix_deliveries_others", table_name="deliveries")
    op.drop_index("ix_deliveries_events", table_name="deliveries")
    for column in reversed(ADDED):
        op.drop_column("deliveries", column)
    op.drop_column("requests", "told")
    op.drop_column("endpoints", "description")
