"""What upstreams take of the official price."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_upstream_factors"
down_revision = "2026_11_23_holds"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "upstream_factors",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("upstream", sa.Text(), nullable=False),
        sa.Column("factor", sa.Numeric(), nullable=True),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "factor >= 0 AND factor <= 10 AND scale(factor) <= 12", name=op.f("upstream_factors_factor_check")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("upstream_factors_pkey")),
    )
    op.execute(
        "CREATE TRIGGER upstream_factors_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
        "ON upstream_factors FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
