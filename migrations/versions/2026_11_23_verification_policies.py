"""Verification policies of plans and customers."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_verification_policies"
down_revision = "2026_11_23"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "verification_policies",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=True),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("policy", sa.Text(), nullable=True),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(plan_id IS NULL) <> (account_id IS NULL)", name=op.f("verification_policies_whose_check")),
        sa.CheckConstraint(
            "policy IN ('reported', 'counted', 'lower')", name=op.f("verification_policies_policy_check")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("verification_policies_account_id_fkey")),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("verification_policies_plan_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("verification_policies_pkey")),
    )
    op.execute(
        "CREATE TRIGGER verification_policies_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
        "ON verification_policies FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
