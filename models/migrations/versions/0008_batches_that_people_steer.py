"""batches that a person pauses, resumes or cancels, and their requests that step aside

Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("batches", sa.Column("is_steered", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("batches", sa.Column("steered_by", sa.String(200), nullable=True))
    steered = sa.text("is_steered")
    op.create_index("ix_batches_steered", "batches", ["id"], postgresql_where=steered, sqlite_where=steered)
    parked = sa.text("reason = 'batch_paused' AND due_at IS NULL AND state = 'queued'")
    op.create_index("ix_requests_batch_paused", "requests", ["batch_id"], postgresql_where=parked, sqlite_where=parked)


def downgrade() -> None:
    op.drop_index("ix_requests_batch_paused", table_name="requests")
    op.drop_index("ix_batches_steered", table_name="batches")
    op.drop_column("batches", "steered_by")
    op.drop_column("batches", "is_steered")
