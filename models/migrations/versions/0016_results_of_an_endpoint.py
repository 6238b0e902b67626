"""the results of one endpoint, newest first

Revises: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

THERE = sa.text("endpoint_id IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        "ix_deliveries_endpoint",
        "deliveries",
        ["endpoint_id", "id"],
        postgresql_where=THERE,
        sqlite_where=THERE,
    )


def downgrade() -> None:
    op.drop_index("ix_deliveries_endpoint", "deliveries")
