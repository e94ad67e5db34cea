"""Holds, credit limits, the limits of keys, suspended and closed accounts."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_holds"
down_revision = "2026_11_23_credits_checked"
branch_labels = None
depends_on = None

DOLLARS = sa.Numeric(precision=38, scale=12)
INSTANT = sa.DateTime(timezone=True)
IS_OPEN = sa.text("state = 'open'")


def upgrade() -> None:
    op.add_column("accounts", _instant("suspended_at", "no authorisations from then on; null: not suspended"))
    op.add_column("accounts", sa.Column("suspension", sa.Text(), comment="why it is suspended"))
    op.add_column("accounts", _instant("closed_at", "no authorisations, keys and top-ups from then on, for ever"))
    op.create_check_constraint(
        op.f("accounts_suspension_check"), "accounts", "suspension IS NULL OR suspended_at IS NOT NULL"
    )
    op.add_column("api_keys", _limit("day_limit", "the most it may spend in a day (UTC); null: no limit"))
    op.add_column("api_keys", _limit("month_limit", "in a month (UTC)"))
    op.add_column("api_keys", _limit("total_limit", "in all"))
    op.add_column("api_keys", _names("models", "names and prefixes (gpt-4*) it may use; null: all"))
    op.add_column("api_keys", _names("ips", "networks it may be used from; null: all"))
    op.add_column("balances", _sum("held", "sum of the open holds"))
    op.add_column("balances", _sum("credit_limit", "how far below zero it may go"))
    op.add_column(
        "balances",
        sa.Column(
            "counts_keys", sa.Boolean(), server_default=sa.text("false"), nullable=False, comment="keeps key_sums"
        ),
    )
    _create_holds()
    op.create_table(
        "key_sums",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("span", sa.Text(), nullable=False),
        sa.Column(
            "start",
            sa.Date(),
            nullable=False,
            comment="of the day or the month (UTC) it was used in; else 1970-01-01",
        ),
        sa.Column("amount", DOLLARS, nullable=False),
        sa.CheckConstraint("span IN ('day', 'month', 'total', 'held')", name=op.f("key_sums_span_check")),
        sa.PrimaryKeyConstraint("account_id", "key_id", "span", "start", name=op.f("key_sums_pkey")),
    )


def _create_holds() -> None:
    op.create_table(
        "holds",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("amount", DOLLARS, nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("key_id", sa.Text(), comment="the customer's key it was asked for with"),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT),
        sa.Column("event_source", sa.Text(), comment="source and id of the event that captured it"),
        sa.Column("event_id", sa.Text()),
        sa.CheckConstraint("amount >= 0 AND amount < 'Infinity'", name=op.f("holds_amount_check")),
        sa.CheckConstraint("state IN ('open', 'captured', 'released', 'expired')", name=op.f("holds_state_check")),
        sa.CheckConstraint("(state = 'open') = (ended_at IS NULL)", name=op.f("holds_ended_check")),
        sa.CheckConstraint(
            "(state = 'captured') = (event_id IS NOT NULL AND event_source IS NOT NULL)",
            name=op.f("holds_captured_check"),
        ),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("holds_pkey")),
        postgresql_with={"autovacuum_vacuum_scale_factor": "0.02", "autovacuum_vacuum_threshold": "5000"},
    )
    op.create_index(op.f("holds_id_idx"), "holds", ["id"])
    op.create_index("holds_due_idx", "holds", ["account_id", "expires_at"], postgresql_where=IS_OPEN)
    op.create_index("holds_sweep_idx", "holds", ["expires_at"], postgresql_where=IS_OPEN)


def _instant(name: str, comment: str) -> sa.Column[object]:
    return sa.Column(name, INSTANT, comment=comment)


def _limit(name: str, comment: str) -> sa.Column[object]:
    return sa.Column(name, DOLLARS, comment=comment)


def _names(name: str, comment: str) -> sa.Column[object]:
    return sa.Column(name, sa.ARRAY(sa.Text()), comment=comment)


def _sum(name: str, comment: str) -> sa.Column[object]:
    return sa.Column(name, DOLLARS, server_default="0", nullable=False, comment=comment)
