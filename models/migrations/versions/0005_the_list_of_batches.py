"""the list of a requester's batches

Revises: 0004
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_batches_list", "batches", ["requester_id", "id"])


def downgrade() -> None:
    op.drop_index("ix_batches_list", table_name="batches")
