"""vacuum what changes much before a fifth of it is dead: deploy/capacity.md has the sums

Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

CHANGING = ("requests", "deliveries", "inbox")


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in CHANGING:
        op.execute(
            f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_limit = 2000)"
        )
    op.execute("ALTER TABLE events SET (autovacuum_vacuum_insert_scale_factor = 0.05)")


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in CHANGING:
        op.execute(f"ALTER TABLE {table} RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_cost_limit)")
    op.execute("ALTER TABLE events RESET (autovacuum_vacuum_insert_scale_factor)")
