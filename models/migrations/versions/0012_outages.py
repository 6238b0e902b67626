"""a line and a breaker for each destination of results, and a log of every try

Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

DUE = sa.text("due_at IS NOT NULL")
HOSTS = sa.text("endpoint_id IS NULL")


def upgrade() -> None:
    op.create_table(
        "outages",
        sa.Column("line_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", sa.Uuid(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("probes", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("probe_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recovering_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoints.id"], name="fk_outages_endpoint_id_endpoints"),
        sa.PrimaryKeyConstraint("line_id", name="pk_outages"),
    )
    op.create_index("ix_outages_hosts", "outages", ["failed_at"], postgresql_where=HOSTS, sqlite_where=HOSTS)
    op.create_table(
        "delivery_attempts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("latency_ms", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_delivery_attempts"),
    )
    op.create_index("ix_delivery_attempts_list", "delivery_attempts", ["delivery_id", "id"])
    op.add_column("deliveries", sa.Column("host_id", sa.Uuid(), nullable=True))
    op.create_index(
        "ix_deliveries_line",
        "deliveries",
        [sa.text("coalesce(endpoint_id, host_id, requester_id)"), "due_at"],
        postgresql_where=DUE,
        sqlite_where=DUE,
    )
    op.drop_index("ix_deliveries_due", table_name="deliveries")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE delivery_attempts SET (autovacuum_vacuum_insert_scale_factor = 0.05)")


def downgrade() -> None:
    op.create_index("ix_deliveries_due", "deliveries", ["due_at"], postgresql_where=DUE, sqlite_where=DUE)
    op.drop_index("ix_deliveries_line", table_name="deliveries")
    op.drop_column("deliveries", "host_id")
    op.drop_table("delivery_attempts")
    op.drop_table("outages")
