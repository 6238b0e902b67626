"""the lines in which requests wait, so that a claim can serve each of them

Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    due = sa.text("due_at IS NOT NULL")
    op.create_index(
        "ix_requests_line",
        "requests",
        ["upstream", "priority", sa.text("coalesce(batch_id, requester_id)"), "due_at"],
        postgresql_where=due,
        sqlite_where=due,
    )


def downgrade() -> None:
    op.drop_index("ix_requests_line", table_name="requests")
