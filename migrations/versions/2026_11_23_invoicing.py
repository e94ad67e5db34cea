"""Taxes, what is due, corrections and periods of invoices; calendars of accounts; books for taxes and payments.

The checks of `postings` are proved in 2026_11_23_invoicing_checked.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_23_invoicing"
down_revision = "2026_11_23_chain"
branch_labels = None
depends_on = None

DOLLARS = sa.Numeric(precision=38, scale=12)
INSTANT = sa.DateTime(timezone=True)
NOW = sa.text("now()")
BOOKS = (
    "('wallet', 'credits', 'revenue', 'cash', 'adjustments', 'promotions', 'breakage', 'rounding', 'upstreams', "
    "'costs', 'taxes')"
)
CHECKS = {
    "kind": (
        "kind IN ('usage', 'top_up', 'adjustment', 'rounding', 'grant', 'burn', 'expiry', 'cost', 'tax', 'payment', "
        "'credit_note')"
    ),
    "source": f"source IN {BOOKS}",
    "destination": f"destination IN {BOOKS}",
}
AMOUNT_DUE = "greatest(0, least(total, -(statement ->> 'closing')::numeric))"


def upgrade() -> None:
    for name, condition in CHECKS.items():
        op.drop_constraint(op.f(f"postings_{name}_check"), "postings")
        op.execute(f"ALTER TABLE postings ADD CONSTRAINT postings_{name}_check CHECK ({condition}) NOT VALID")
    op.add_column(
        "balances",
        sa.Column("period_ends_at", INSTANT, comment="never after the end of the first open period; null: not known"),
    )
    op.create_index("balances_period_ends_idx", "balances", ["period_ends_at"])
    _change_accounts()
    _change_invoices()
    _create_taxes()
    for table in ("tax_rates", "account_taxes", "account_calendars"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def _anchor_day(comment: str | None = None) -> sa.Column[object]:
    return sa.Column("anchor_day", sa.Integer(), nullable=False, server_default="1", comment=comment)


def _change_accounts() -> None:
    op.add_column("accounts", _anchor_day("of the month: its periods begin on it"))
    op.add_column("accounts", sa.Column("tax_id", sa.Text(), comment="printed on invoices"))
    op.add_column(
        "accounts",
        sa.Column("payment_days", sa.Integer(), comment="from an invoice to its due date; null: as for everybody"),
    )
    op.create_check_constraint(op.f("accounts_anchor_day_check"), "accounts", "anchor_day BETWEEN 1 AND 31")
    op.create_check_constraint(op.f("accounts_payment_days_check"), "accounts", "payment_days BETWEEN 0 AND 365")
    op.create_table(
        "account_calendars",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("set_at", INSTANT, nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("anchor_day", sa.Integer(), nullable=False),
        sa.CheckConstraint("anchor_day BETWEEN 1 AND 31", name=op.f("account_calendars_anchor_day_check")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("account_calendars_account_id_fkey")),
        sa.PrimaryKeyConstraint("account_id", "set_at", name=op.f("account_calendars_pkey")),
    )


def _change_invoices() -> None:
    op.alter_column("invoices", "tax", comment="what taxes add to the subtotal")
    for column in (
        _anchor_day(),
        sa.Column(
            "taxes",
            postgresql.JSONB(),
            server_default="[]",
            nullable=False,
            comment="each rate with what it is on and comes to",
        ),
        sa.Column(
            "tax_included", DOLLARS, server_default="0", nullable=False, comment="taxes that the subtotal contains"
        ),
        sa.Column("tax_transaction", sa.BigInteger(), comment="of tax or tax_included; null when there is none"),
        sa.Column(
            "credits_used", DOLLARS, server_default="0", nullable=False, comment="credit that paid the period's usage"
        ),
        sa.Column(
            "amount_due", DOLLARS, sa.Computed(AMOUNT_DUE, persisted=True), comment="of the total, what nothing covered"
        ),
        sa.Column("due_date", sa.Date(), comment="of the customer's calendar; null when nothing is due"),
    ):
        op.add_column("invoices", column)
    op.create_check_constraint(op.f("invoices_anchor_day_check"), "invoices", "anchor_day BETWEEN 1 AND 31")
    op.add_column(
        "invoice_lines",
        sa.Column("correction_start", INSTANT, comment="the earlier period that its usage belongs to; null: this one"),
    )
    op.add_column("invoice_lines", sa.Column("correction_end", INSTANT))
    op.create_check_constraint(
        op.f("invoice_lines_correction_check"),
        "invoice_lines",
        "(correction_start IS NULL) = (correction_end IS NULL)",
    )


def _create_taxes() -> None:
    op.create_table(
        "tax_rates",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="as it is printed: VAT 19%"),
        sa.Column("percent", sa.Numeric(), nullable=False),
        sa.Column("inclusive", sa.Boolean(), nullable=False, comment="prices contain it; else it comes on top"),
        sa.Column("reverse_charge", sa.Boolean(), nullable=False, comment="the customer owes it: nothing is charged"),
        sa.Column("note", sa.Text(), comment="printed with it"),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, server_default=NOW, nullable=False),
        sa.CheckConstraint("id ~ '^[a-z0-9][a-z0-9_-]{0,59}$'", name=op.f("tax_rates_id_check")),
        sa.CheckConstraint(
            "percent >= 0 AND percent <= 100 AND scale(percent) <= 6", name=op.f("tax_rates_percent_check")
        ),
        sa.CheckConstraint(
            "NOT reverse_charge OR (percent = 0 AND NOT inclusive)", name=op.f("tax_rates_reverse_charge_check")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("tax_rates_pkey")),
    )
    op.create_table(
        "account_taxes",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("account_id", sa.Text(), comment="null: all that have none of their own"),
        sa.Column(
            "rates", postgresql.ARRAY(sa.Text()), comment="ids of tax_rates; empty: none; null: what everybody pays"
        ),
        sa.Column("effective_from", INSTANT, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("account_taxes_account_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("account_taxes_pkey")),
    )
    op.create_index(
        op.f("account_taxes_account_id_effective_from_idx"), "account_taxes", ["account_id", "effective_from"]
    )
