"""Credit notes, payments, and invoices that replace one."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_23_settlement"
down_revision = "2026_11_23_webhooks"
branch_labels = None
depends_on = None

DOLLARS = sa.Numeric(precision=38, scale=12)
INSTANT = sa.DateTime(timezone=True)
NOW = sa.text("now()")


def upgrade() -> None:
    op.add_column(
        "invoices",
        sa.Column("replaces", sa.Text(), comment="the voided invoice that this one stands for"),
    )
    op.create_foreign_key(op.f("invoices_replaces_fkey"), "invoices", "invoices", ["replaces"], ["id"])
    op.create_unique_constraint(op.f("invoices_replaces_key"), "invoices", ["replaces"])
    op.create_index(
        "invoices_period_idx",
        "invoices",
        ["account_id", "period_start"],
        unique=True,
        postgresql_where=sa.text("replaces IS NULL"),
    )
    op.drop_constraint(op.f("invoices_account_id_period_start_key"), "invoices")
    _create_credit_notes()
    _create_payments()
    for table in ("credit_notes", "credit_note_lines", "payments"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def _create_credit_notes() -> None:
    op.create_table(
        "credit_notes",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("series", sa.Text(), nullable=False, comment="prefix and year: numbers have no gaps within it"),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("issuer", postgresql.JSONB(), nullable=False, comment="as on the invoice"),
        sa.Column("customer", postgresql.JSONB(), nullable=False, comment="as on the invoice"),
        sa.Column("subtotal", DOLLARS, nullable=False),
        sa.Column(
            "taxes",
            postgresql.JSONB(),
            nullable=False,
            comment="those of the invoice, with what is given back of each",
        ),
        sa.Column("tax", DOLLARS, nullable=False, comment="given back on top of the subtotal"),
        sa.Column("tax_included", DOLLARS, nullable=False, comment="taxes that the subtotal contains"),
        sa.Column("total", DOLLARS, nullable=False),
        sa.Column("settle", sa.Text(), nullable=False, comment="where the money goes"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="id of the key that asked for it"),
        sa.Column("transaction", sa.BigInteger(), comment="out of revenue; null when no money moved"),
        sa.Column("tax_transaction", sa.BigInteger(), comment="out of taxes; null when no tax was given back"),
        sa.Column("issued_at", INSTANT, server_default=NOW, nullable=False),
        sa.CheckConstraint("settle IN ('wallet', 'refund', 'replacement')", name=op.f("credit_notes_settle_check")),
        sa.CheckConstraint(
            "total = subtotal + tax AND (total >= 0 OR settle = 'replacement')", name=op.f("credit_notes_sums_check")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("credit_notes_account_id_fkey")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("credit_notes_invoice_id_fkey")),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("credit_notes_pkey")),
        sa.UniqueConstraint("number", name=op.f("credit_notes_number_key")),
        sa.UniqueConstraint("series", "sequence", name=op.f("credit_notes_series_sequence_key")),
    )
    op.create_index(op.f("credit_notes_account_id_invoice_id_idx"), "credit_notes", ["account_id", "invoice_id"])
    op.create_index(op.f("credit_notes_id_idx"), "credit_notes", ["id"])
    op.create_table(
        "credit_note_lines",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("note_id", sa.Text(), nullable=False),
        sa.Column(
            "invoice_line", sa.Integer(), autoincrement=False, nullable=False, comment="its position on the invoice"
        ),
        sa.Column("quantity", sa.BigInteger(), nullable=False, comment="of the line's; 0 when an amount was asked for"),
        sa.Column("amount", DOLLARS, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id", "note_id"],
            ["credit_notes.account_id", "credit_notes.id"],
            name=op.f("credit_note_lines_account_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("account_id", "note_id", "invoice_line", name=op.f("credit_note_lines_pkey")),
    )


def _create_payments() -> None:
    op.create_table(
        "payments",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("amount", DOLLARS, nullable=False),
        sa.Column(
            "transaction", sa.BigInteger(), nullable=False, comment="that brought the money: a payment or a top-up"
        ),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("method", sa.Text()),
        sa.Column("reason", sa.Text(), comment="why it was taken back"),
        sa.Column("paid_at", INSTANT, nullable=False),
        sa.Column("reverses", sa.Text(), comment="the payment that it takes back, whole"),
        sa.Column(
            "reversal",
            sa.BigInteger(),
            comment="the transaction that took the money back; null: it stays in the wallet",
        ),
        sa.Column("actor", sa.Text(), nullable=False, comment="id of the key that asked for it"),
        sa.Column("created_at", INSTANT, server_default=NOW, nullable=False),
        sa.CheckConstraint("amount > 0 AND amount < 'Infinity'", name=op.f("payments_amount_check")),
        sa.CheckConstraint("reverses IS NOT NULL OR reversal IS NULL", name=op.f("payments_reversal_check")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("payments_account_id_fkey")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("payments_invoice_id_fkey")),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("payments_pkey")),
        sa.UniqueConstraint("account_id", "reverses", name=op.f("payments_account_id_reverses_key")),
    )
    op.create_index(op.f("payments_account_id_invoice_id_idx"), "payments", ["account_id", "invoice_id"])
    op.create_index(op.f("payments_account_id_transaction_idx"), "payments", ["account_id", "transaction"])
    op.create_index(op.f("payments_id_idx"), "payments", ["id"])
