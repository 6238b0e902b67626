"""the first tables

Revises: nothing
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("upstream", sa.String(length=32), nullable=False),
        sa.Column("upstream_reference", sa.String(length=255), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("requester_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.String(length=20), nullable=True),
        sa.Column("caller", sa.String(length=32), nullable=True),
        sa.Column("answer_point", sa.String(length=32), nullable=True),
        sa.Column("status", sa.String(length=64), nullable=True),
        sa.Column("duration", sa.Integer(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at_raw", sa.String(length=64), nullable=True),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calls")),
        sa.UniqueConstraint("upstream", "upstream_reference", name=op.f("uq_calls_upstream_upstream_reference")),
    )
    op.create_index("ix_calls_list", "calls", ["requester_id", "id"], unique=False)
    op.create_index("ix_calls_number", "calls", ["number", "id"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "type",
            sa.Enum(
                "state",
                "attempt",
                "callback",
                "delivery",
                "note",
                name="eventkind",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("from_state", sa.String(length=16), nullable=True),
        sa.Column("to_state", sa.String(length=16), nullable=True),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_request", "events", ["request_id", "id"], unique=False)
    op.create_table(
        "heartbeats",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_heartbeats")),
    )
    op.create_table(
        "inbox",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("upstream", sa.String(length=32), nullable=False),
        sa.Column(
            "purpose",
            sa.Enum(
                "callback",
                "call",
                "sms",
                name="purpose",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("method", sa.String(length=8), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("content_type", sa.String(length=255), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
        sa.UniqueConstraint("request_id", "digest", name=op.f("uq_inbox_request_id_digest")),
    )
    op.create_index(
        "ix_inbox_due",
        "inbox",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
        sqlite_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(
        "ix_inbox_problem",
        "inbox",
        ["id"],
        unique=False,
        postgresql_where=sa.text("problem IS NOT NULL"),
        sqlite_where=sa.text("problem IS NOT NULL"),
    )
    op.create_table(
        "request_counts",
        sa.Column("requester_id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("upstream", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("slot", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint(
            "requester_id", "batch_id", "upstream", "state", "slot", name=op.f("pk_request_counts")
        ),
    )
    op.create_index("ix_request_counts_batch", "request_counts", ["batch_id"], unique=False)
    op.create_table(
        "requesters",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("secret", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_requesters")),
        sa.UniqueConstraint("name", name=op.f("uq_requesters_name")),
    )
    op.create_table(
        "upstream_pauses",
        sa.Column("upstream", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("upstream", name=op.f("pk_upstream_pauses")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("requester_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["requester_id"], ["requesters.id"], name=op.f("fk_api_keys_requester_id_requesters")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
    )
    op.create_table(
        "batches",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("requester_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "running",
                "paused",
                "finished",
                "cancelled",
                name="batchstate",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("source_digest", sa.String(length=64), nullable=True),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["requester_id"], ["requesters.id"], name=op.f("fk_batches_requester_id_requesters")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
    )
    op.create_index("ix_batches_source", "batches", ["requester_id", "source_digest"], unique=False)
    op.create_index(
        "ix_batches_unfinished",
        "batches",
        ["id"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NULL"),
        sqlite_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "endpoints",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("requester_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("types", sa.JSON(), nullable=False),
        sa.Column("secret", sa.String(length=200), nullable=False),
        sa.Column("previous_secret", sa.String(length=200), nullable=True),
        sa.Column("previous_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["requester_id"], ["requesters.id"], name=op.f("fk_endpoints_requester_id_requesters")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endpoints")),
        sa.UniqueConstraint("requester_id", "name", name=op.f("uq_endpoints_requester_id_name")),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("requester_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", sa.Uuid(), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=True),
        sa.Column("batch_id", sa.Uuid(), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "pending",
                "delivered",
                "failed",
                name="deliverystate",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoints.id"], name=op.f("fk_deliveries_endpoint_id_endpoints")),
        sa.ForeignKeyConstraint(
            ["requester_id"], ["requesters.id"], name=op.f("fk_deliveries_requester_id_requesters")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
        sqlite_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(
        "ix_deliveries_failed",
        "deliveries",
        ["requester_id", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'failed'"),
        sqlite_where=sa.text("state = 'failed'"),
    )
    op.create_index("ix_deliveries_list", "deliveries", ["requester_id", "id"], unique=False)
    op.create_index("ix_deliveries_request", "deliveries", ["request_id"], unique=False)
    op.create_table(
        "requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("requester_id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("upstream", sa.String(length=32), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "provision",
                "update",
                "release",
                name="kind",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column(
            "state",
            sa.Enum(
                "queued",
                "submitting",
                "accepted",
                "completed",
                "failed",
                "held",
                "cancelled",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("body_digest", sa.String(length=64), nullable=False),
        sa.Column("custom_id", sa.String(length=255), nullable=True),
        sa.Column("custom_group", sa.String(length=255), nullable=True),
        sa.Column("endpoint_id", sa.Uuid(), nullable=True),
        sa.Column("notify_url", sa.Text(), nullable=True),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "on_out_of_stock",
            sa.Enum("wait", "fail", name="onoutofstock", native_enum=False, create_constraint=True, length=16),
            nullable=False,
        ),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("number", sa.String(length=20), nullable=True),
        sa.Column("upstream_reference", sa.String(length=255), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.Column("looks", sa.Integer(), nullable=False),
        sa.Column("unknown_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("absent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("repeated", sa.Boolean(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("contradicted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_requests_batch_id_batches")),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoints.id"], name=op.f("fk_requests_endpoint_id_endpoints")),
        sa.ForeignKeyConstraint(["requester_id"], ["requesters.id"], name=op.f("fk_requests_requester_id_requesters")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_requests")),
        sa.UniqueConstraint("requester_id", "idempotency_key", name=op.f("uq_requests_requester_id_idempotency_key")),
    )
    op.create_index("ix_requests_batch", "requests", ["batch_id", "position"], unique=False)
    op.create_index("ix_requests_custom_id", "requests", ["requester_id", "custom_id"], unique=False)
    op.create_index(
        "ix_requests_due",
        "requests",
        ["upstream", "priority", "due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
        sqlite_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(
        "ix_requests_due_and_out",
        "requests",
        ["upstream", "priority", "due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL AND state <> 'queued'"),
        sqlite_where=sa.text("due_at IS NOT NULL AND state <> 'queued'"),
    )
    op.create_index("ix_requests_list", "requests", ["requester_id", "id"], unique=False)
    op.create_index("ix_requests_list_by_state", "requests", ["requester_id", "state", "id"], unique=False)
    op.create_index("ix_requests_list_by_batch", "requests", ["batch_id", "requester_id", "id"], unique=False)
    op.create_index(
        "ix_requests_list_by_reason",
        "requests",
        ["requester_id", "reason", "id"],
        unique=False,
        postgresql_where=sa.text("reason IS NOT NULL"),
        sqlite_where=sa.text("reason IS NOT NULL"),
    )
    op.create_index(
        "ix_requests_parked",
        "requests",
        ["upstream"],
        unique=False,
        postgresql_where=sa.text("reason = 'upstream_paused' AND due_at IS NULL AND state = 'queued'"),
        sqlite_where=sa.text("reason = 'upstream_paused' AND due_at IS NULL AND state = 'queued'"),
    )
    op.create_index(
        "ix_requests_contradicted",
        "requests",
        ["id"],
        unique=False,
        postgresql_where=sa.text("contradicted_at IS NOT NULL"),
        sqlite_where=sa.text("contradicted_at IS NOT NULL"),
    )
    op.create_index("ix_requests_number", "requests", ["number", "requester_id"], unique=False)
    op.create_index("ix_requests_upstream_reference", "requests", ["upstream_reference", "requester_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_requests_upstream_reference", table_name="requests")
    op.drop_index("ix_requests_number", table_name="requests")
    op.drop_index(
        "ix_requests_parked",
        table_name="requests",
        postgresql_where=sa.text("reason = 'upstream_paused' AND due_at IS NULL AND state = 'queued'"),
        sqlite_where=sa.text("reason = 'upstream_paused' AND due_at IS NULL AND state = 'queued'"),
    )
    op.drop_index(
        "ix_requests_contradicted",
        table_name="requests",
        postgresql_where=sa.text("contradicted_at IS NOT NULL"),
        sqlite_where=sa.text("contradicted_at IS NOT NULL"),
    )
    op.drop_index(
        "ix_requests_list_by_reason",
        table_name="requests",
        postgresql_where=sa.text("reason IS NOT NULL"),
        sqlite_where=sa.text("reason IS NOT NULL"),
    )
    op.drop_index("ix_requests_list_by_batch", table_name="requests")
    op.drop_index("ix_requests_list_by_state", table_name="requests")
    op.drop_index("ix_requests_list", table_name="requests")
    op.drop_index(
        "ix_requests_due_and_out",
        table_name="requests",
        postgresql_where=sa.text("due_at IS NOT NULL AND state <> 'queued'"),
        sqlite_where=sa.text("due_at IS NOT NULL AND state <> 'queued'"),
    )
    op.drop_index(
        "ix_requests_due",
        table_name="requests",
        postgresql_where=sa.text("due_at IS NOT NULL"),
        sqlite_where=sa.text("due_at IS NOT NULL"),
    )
    op.drop_index("ix_requests_custom_id", table_name="requests")
    op.drop_index("ix_requests_batch", table_name="requests")
    op.drop_table("requests")
    op.drop_index("ix_deliveries_request", table_name="deliveries")
    op.drop_index("ix_deliveries_list", table_name="deliveries")
    op.drop_index(
        "ix_deliveries_failed",
        table_name="deliveries",
        postgresql_where=sa.text("state = 'failed'"),
        sqlite_where=sa.text("state = 'failed'"),
    )
    op.drop_index(
        "ix_deliveries_due",
        table_name="deliveries",
        postgresql_where=sa.text("due_at IS NOT NULL"),
        sqlite_where=sa.text("due_at IS NOT NULL"),
    )
    op.drop_table("deliveries")
    op.drop_table("endpoints")
    op.drop_index(
        "ix_batches_unfinished",
        table_name="batches",
        postgresql_where=sa.text("finished_at IS NULL"),
        sqlite_where=sa.text("finished_at IS NULL"),
    )
    op.drop_index("ix_batches_source", table_name="batches")
    op.drop_table("batches")
    op.drop_table("api_keys")
    op.drop_table("upstream_pauses")
    op.drop_table("requesters")
    op.drop_index("ix_request_counts_batch", table_name="request_counts")
    op.drop_table("request_counts")
    op.drop_index(
        "ix_inbox_problem",
        table_name="inbox",
        postgresql_where=sa.text("problem IS NOT NULL"),
        sqlite_where=sa.text("problem IS NOT NULL"),
    )
    op.drop_index(
        "ix_inbox_due",
        table_name="inbox",
        postgresql_where=sa.text("due_at IS NOT NULL"),
        sqlite_where=sa.text("due_at IS NOT NULL"),
    )
    op.drop_table("inbox")
    op.drop_table("heartbeats")
    op.drop_index("ix_events_request", table_name="events")
    op.drop_table("events")
    op.drop_index("ix_calls_number", table_name="calls")
    op.drop_index("ix_calls_list", table_name="calls")
    op.drop_table("calls")
