"""What upstreams take for events, beside what customers pay, in charges, roll-ups and postings."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_costs"
down_revision = "2026_11_23_unverifiable"
branch_labels = None
depends_on = None

DOLLARS = sa.Numeric(precision=38, scale=12)
BOOKS = (
    "('wallet', 'credits', 'revenue', 'cash', 'adjustments', 'promotions', 'breakage', 'rounding', 'upstreams', "
    "'costs')"
)
CHECKS = {
    "kind": "kind IN ('usage', 'top_up', 'adjustment', 'rounding', 'grant', 'burn', 'expiry', 'cost')",
    "source": f"source IN {BOOKS}",
    "destination": f"destination IN {BOOKS}",
}


def upgrade() -> None:
    op.add_column("charges", sa.Column("cost", DOLLARS, comment="what the upstream takes for it; null: not known"))
    op.alter_column(
        "charges", "corrects", comment="id of the event of the same account and source that this one stands for"
    )
    op.add_column(
        "usage_rollups",
        sa.Column(
            "cost",
            DOLLARS,
            nullable=False,
            server_default="0",
            comment="of the requests; of those whose cost is known",
        ),
    )
    op.add_column(
        "usage_rollups",
        sa.Column(
            "costed", sa.BigInteger(), nullable=False, server_default="0", comment="requests whose cost is known"
        ),
    )
    for name, condition in CHECKS.items():
        op.drop_constraint(op.f(f"postings_{name}_check"), "postings")
        op.execute(f"ALTER TABLE postings ADD CONSTRAINT postings_{name}_check CHECK ({condition}) NOT VALID")
