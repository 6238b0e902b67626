"""what a person does to all requests that a filter matches, and what came of each

Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

STATES = ("running", "paused", "finished", "cancelled")
OUTCOMES = ("waiting", "done", "refused", "gone")

MOMENT = sa.DateTime(timezone=True)
DUE = sa.text("due_at IS NOT NULL")
WAITING = sa.text("outcome = 'waiting'")


def _word(name: str, *words: str) -> sa.Enum:
    return sa.Enum(*words, name=name, native_enum=False, length=16, create_constraint=True)


def upgrade() -> None:
    op.create_table(
        "sweeps",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("requester_id", sa.Uuid(), nullable=True),
        sa.Column("act", sa.String(32), nullable=False),
        sa.Column("filters", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("previewed", sa.Integer(), nullable=False),
        sa.Column("rate", sa.Integer(), nullable=False),
        sa.Column("state", _word("sweepstate", *STATES), nullable=False),
        sa.Column("newest", sa.Uuid(), nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("cursor", sa.Uuid(), nullable=True),
        sa.Column("gathered", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("gone", sa.Integer(), nullable=False),
        sa.Column("due_at", MOMENT, nullable=True),
        sa.Column("made_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["requester_id"], ["requesters.id"], name="fk_sweeps_requester_id_requesters"),
        sa.PrimaryKeyConstraint("id", name="pk_sweeps"),
    )
    op.create_index("ix_sweeps_due", "sweeps", ["due_at"], postgresql_where=DUE, sqlite_where=DUE)
    op.create_table(
        "sweep_outcomes",
        sa.Column("sweep_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("outcome", _word("outcomekind", *OUTCOMES), nullable=False),
        sa.Column("why", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweeps.id"], name="fk_sweep_outcomes_sweep_id_sweeps"),
        sa.PrimaryKeyConstraint("sweep_id", "request_id", name="pk_sweep_outcomes"),
    )
    op.create_index(
        "ix_sweep_outcomes_waiting",
        "sweep_outcomes",
        ["sweep_id", "request_id"],
        postgresql_where=WAITING,
        sqlite_where=WAITING,
    )
    op.create_index("ix_sweep_outcomes_kind", "sweep_outcomes", ["sweep_id", "outcome", "request_id"])


def downgrade() -> None:
    op.drop_table("sweep_outcomes")
    op.drop_table("sweeps")
