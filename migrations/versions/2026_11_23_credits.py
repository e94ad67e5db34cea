"""Credits: grants, what balances say of them, and the postings that move them.

The checks of `postings` are not proved here: that needs a look at every row, and takes no lock that intake would wait
for when it has a transaction of its own (2026_11_23_credits_checked).
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_credits"
down_revision = "2026_11_23_verdicts"
branch_labels = None
depends_on = None

DOLLARS = sa.Numeric(precision=38, scale=12)
INSTANT = sa.DateTime(timezone=True)
BOOKS = "('wallet', 'credits', 'revenue', 'cash', 'adjustments', 'promotions', 'breakage', 'rounding')"
CHECKS = {
    "kind": "kind IN ('usage', 'top_up', 'adjustment', 'rounding', 'grant', 'burn', 'expiry')",
    "source": f"source IN {BOOKS}",
    "destination": f"destination IN {BOOKS}",
}


def upgrade() -> None:
    op.add_column("balances", _credits())
    op.add_column(
        "balances",
        sa.Column("credits_due_at", INSTANT, comment="never after the next instant at which a grant begins or expires"),
    )
    op.alter_column("balances", "posted", comment="wallet and credits, by their postings")
    op.create_index(
        "balances_credits_due_idx",
        "balances",
        ["credits_due_at"],
        postgresql_where=sa.text("credits_due_at IS NOT NULL"),
    )
    op.add_column("postings", sa.Column("grant_id", sa.Text(), comment="the grant of credit it moves"))
    op.add_column(
        "postings",
        sa.Column(
            "reverses",
            sa.BigInteger(),
            comment="the transaction of the account that it takes back, in whole or in part",
        ),
    )
    op.alter_column("postings", "balance", comment="wallet and credits after the transaction")
    for name, condition in CHECKS.items():
        op.drop_constraint(op.f(f"postings_{name}_check"), "postings")
        op.execute(f"ALTER TABLE postings ADD CONSTRAINT postings_{name}_check CHECK ({condition}) NOT VALID")
    _create_grants()


def _credits() -> sa.Column[object]:
    return sa.Column(
        "credits", DOLLARS, server_default="0", nullable=False, comment="what of it is credit: the active grants"
    )


def _create_grants() -> None:
    op.create_table(
        "grants",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False, comment="lower ones are used first"),
        sa.Column("amount", DOLLARS, nullable=False),
        sa.Column("remaining", DOLLARS, server_default="0", nullable=False, comment="the sum of its postings"),
        sa.Column("used", DOLLARS, server_default="0", nullable=False, comment="the sum of those that paid usage"),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("effective_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT),
        sa.Column("reference", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("actor", sa.Text(), nullable=False, comment="id of the key that asked for it"),
        sa.Column("created_at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("category IN ('paid', 'promotional')", name=op.f("grants_category_check")),
        sa.CheckConstraint(
            "state IN ('pending', 'active', 'used', 'expired', 'voided')", name=op.f("grants_state_check")
        ),
        sa.CheckConstraint("amount > 0 AND amount < 'Infinity'", name=op.f("grants_amount_check")),
        sa.CheckConstraint(
            "used >= 0 AND remaining >= 0 AND used + remaining <= amount", name=op.f("grants_sums_check")
        ),
        sa.CheckConstraint("(state = 'active') = (remaining > 0)", name=op.f("grants_remaining_check")),
        sa.CheckConstraint("expires_at > effective_at", name=op.f("grants_span_check")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("grants_account_id_fkey")),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("grants_pkey")),
    )
    op.create_index(
        "grants_live_idx", "grants", ["account_id"], postgresql_where=sa.text("state IN ('pending', 'active')")
    )
