"""who called and what was written, found by age and by caller

Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

OF_PEOPLE = {
    "deliveries": "type IN ('call.finished', 'message.received')",
    "inbox": "purpose IN ('call', 'sms')",
}


def upgrade() -> None:
    op.create_index("ix_calls_caller", "calls", ["caller"])
    op.create_index("ix_messages_sender", "messages", ["sender"])
    for table, condition in OF_PEOPLE.items():
        where = sa.text(condition)
        op.create_index(f"ix_{table}_people", table, ["id"], postgresql_where=where, sqlite_where=where)


def downgrade() -> None:
    for table in OF_PEOPLE:
        op.drop_index(f"ix_{table}_people", table_name=table)
    op.drop_index("ix_messages_sender", table_name="messages")
    op.drop_index("ix_calls_caller", table_name="calls")
