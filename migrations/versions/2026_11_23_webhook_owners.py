"""Webhooks have an owner: those of the operator about a customer are not the customer's."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_webhook_owners"
down_revision = "2026_11_23_settlement"
branch_labels = None
depends_on = None

OWN = """
UPDATE webhook_endpoints AS endpoint SET owner_id = endpoint.account_id
FROM audit_log AS act JOIN api_keys ON api_keys.id = act.actor
WHERE act.action = 'webhook.create' AND act.subject = endpoint.id AND api_keys.account_id = endpoint.account_id
"""
"""Who made what there is stands in the audit log."""


def upgrade() -> None:
    op.add_column(
        "webhook_endpoints",
        sa.Column("owner_id", sa.Text(), comment="whose it is: the account's that it is told of; null: the operator's"),
    )
    op.execute(OWN)
    op.create_foreign_key(
        op.f("webhook_endpoints_owner_id_fkey"), "webhook_endpoints", "accounts", ["owner_id"], ["id"]
    )
    op.create_check_constraint(
        op.f("webhook_endpoints_owner_check"), "webhook_endpoints", "owner_id IS NULL OR owner_id = account_id"
    )
    op.create_index(op.f("webhook_endpoints_owner_id_idx"), "webhook_endpoints", ["owner_id"])
    op.alter_column(
        "webhook_endpoints",
        "account_id",
        comment="told of this one; null: of all accounts",
        existing_comment="null: the operator's, told of all accounts",
    )
