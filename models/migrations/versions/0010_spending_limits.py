"""spending limits: places that are taken, and which key, class and day a request counts under

Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

KEYS, BATCHES = sa.text("numbers_per_day IS NOT NULL"), sa.text("max_numbers IS NOT NULL AND finished_at IS NULL")
OVER_LIMIT = sa.text("over_limit_of IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "spending",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("subject", sa.String(80), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day", "subject", name="pk_spending"),
    )
    op.add_column("api_keys", sa.Column("numbers_per_day", sa.Integer(), nullable=True))
    op.add_column("batches", sa.Column("max_numbers", sa.Integer(), nullable=True))
    op.add_column("requests", sa.Column("key_id", sa.Uuid(), nullable=True))
    op.add_column("requests", sa.Column("price_class", sa.String(32), nullable=True))
    op.add_column("requests", sa.Column("spent_on", sa.Date(), nullable=True))
    op.add_column("requests", sa.Column("over_limit_of", sa.String(80), nullable=True))
    op.create_index("ix_api_keys_limited", "api_keys", ["id"], postgresql_where=KEYS, sqlite_where=KEYS)
    op.create_index("ix_batches_limited", "batches", ["id"], postgresql_where=BATCHES, sqlite_where=BATCHES)
    columns = ["over_limit_of", "id"]
    op.create_index("ix_requests_over_limit", "requests", columns, postgresql_where=OVER_LIMIT, sqlite_where=OVER_LIMIT)


def downgrade() -> None:
    op.drop_index("ix_requests_over_limit", table_name="requests")
    op.drop_index("ix_batches_limited", table_name="batches")
    op.drop_index("ix_api_keys_limited", table_name="api_keys")
    for column in ("over_limit_of", "spent_on", "price_class", "key_id"):
        op.drop_column("requests", column)
    op.drop_column("batches", "max_numbers")
    op.drop_column("api_keys", "numbers_per_day")
    op.drop_table("spending")
