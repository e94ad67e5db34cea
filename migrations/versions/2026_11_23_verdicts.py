"""Verdicts of events whose text was counted, and their sums."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_verdicts"
down_revision = "2026_11_23_verification_policies"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_rollups()
    create_verdicts()


def create_rollups() -> None:
    op.create_table(
        "verdict_rollups",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("slot", sa.DateTime(timezone=True), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("upstream", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("reported", sa.BigInteger(), nullable=False, comment="of the sides that were reported and counted"),
        sa.Column("counted", sa.BigInteger(), nullable=False, comment="our likeliest counts of the same sides"),
        sa.Column("excess", sa.BigInteger(), nullable=False),
        sa.Column("shortfall", sa.BigInteger(), nullable=False),
        sa.Column("excess_amount", sa.Numeric(precision=38, scale=12), nullable=False),
        sa.Column("shortfall_amount", sa.Numeric(precision=38, scale=12), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "slot", "model", "upstream", "source", "verdict", name=op.f("verdict_rollups_pkey")
        ),
    )
    op.create_index(op.f("verdict_rollups_slot_idx"), "verdict_rollups", ["slot"], unique=False)


def create_verdicts() -> None:
    op.create_table(
        "verdicts",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("upstream", sa.Text(), nullable=False, comment="empty when not named"),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False, comment="of all the counts"),
        sa.Column("policy", sa.Text(), nullable=False, comment="what is billed when the report and the count differ"),
        sa.Column("reported_input", sa.BigInteger(), nullable=True),
        sa.Column("reported_output", sa.BigInteger(), nullable=True),
        sa.Column("input_low", sa.BigInteger(), nullable=True),
        sa.Column("input_likely", sa.BigInteger(), nullable=True),
        sa.Column("input_high", sa.BigInteger(), nullable=True, comment="null when nothing bounds it"),
        sa.Column("output_low", sa.BigInteger(), nullable=True),
        sa.Column("output_likely", sa.BigInteger(), nullable=True),
        sa.Column("output_high", sa.BigInteger(), nullable=True, comment="null when nothing bounds it"),
        sa.Column("billed_input", sa.BigInteger(), nullable=True),
        sa.Column("billed_output", sa.BigInteger(), nullable=True),
        sa.Column("excess", sa.BigInteger(), nullable=False, comment="reported above our highest counts"),
        sa.Column("shortfall", sa.BigInteger(), nullable=False, comment="reported below our lowest counts"),
        sa.Column(
            "excess_amount",
            sa.Numeric(precision=38, scale=12),
            nullable=False,
            comment="what that would have cost the customer more",
        ),
        sa.Column(
            "shortfall_amount",
            sa.Numeric(precision=38, scale=12),
            nullable=False,
            comment="what that would have cost the customer less",
        ),
        sa.CheckConstraint(
            "verdict IN ('exact', 'within_bounds', 'over_reported', 'under_reported', 'counted', 'unverifiable')",
            name=op.f("verdicts_verdict_check"),
        ),
        sa.PrimaryKeyConstraint("account_id", "source", "id", name=op.f("verdicts_pkey")),
    )
    op.create_index(
        "verdicts_mismatch_idx",
        "verdicts",
        ["time"],
        unique=False,
        postgresql_where=sa.text("excess > 0 OR shortfall > 0"),
    )
    op.execute(
        "CREATE TRIGGER verdicts_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
        "ON verdicts FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
