"""lists of what is rare among very much: batches, one upstream, one kind, what is not delivered yet

Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_batches_list", "batches", ["requester_id", "id"])
    op.create_index("ix_requests_list_by_upstream", "requests", ["requester_id", "upstream", "id"])
    op.create_index("ix_numbers_list_by_upstream", "numbers", ["requester_id", "upstream", "id"])
    changes = sa.text("kind <> 'provision'")
    op.create_index(
        "ix_requests_list_by_kind",
        "requests",
        ["requester_id", "kind", "id"],
        postgresql_where=changes,
        sqlite_where=changes,
    )
    pending = sa.text("state = 'pending'")
    op.create_index(
        "ix_deliveries_pending", "deliveries", ["requester_id", "id"], postgresql_where=pending, sqlite_where=pending
    )


def downgrade() -> None:
    op.drop_index("ix_deliveries_pending", table_name="deliveries")
    op.drop_index("ix_requests_list_by_kind", table_name="requests")
    op.drop_index("ix_numbers_list_by_upstream", table_name="numbers")
    op.drop_index("ix_requests_list_by_upstream", table_name="requests")
    op.drop_index("ix_batches_list", table_name="batches")
