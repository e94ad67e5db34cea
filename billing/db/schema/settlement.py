"""What happens to an invoice once it is final: credit notes and payments. Nothing of it ever changes."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB

from billing.db.schema.metadata import NOW, Dollars, Instant, metadata

# What takes back an invoice, in whole or in part. Made under the lock of the account's balance.
credit_notes = Table(
    "credit_notes",
    metadata,
    Column("account_id", ForeignKey("accounts.id"), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("invoice_id", ForeignKey("invoices.id"), nullable=False),
    Column("series", Text, nullable=False, comment="prefix and year: numbers have no gaps within it"),
    Column("sequence", Integer, nullable=False),
    Column("number", Text, nullable=False, unique=True),
    Column("currency", Text, nullable=False),
    Column("issuer", JSONB, nullable=False, comment="as on the invoice"),
    Column("customer", JSONB, nullable=False, comment="as on the invoice"),
    Column("subtotal", Dollars, nullable=False),
    Column("taxes", JSONB, nullable=False, comment="those of the invoice, with what is given back of each"),
    Column("tax", Dollars, nullable=False, comment="given back on top of the subtotal"),
    Column("tax_included", Dollars, nullable=False, comment="taxes that the subtotal contains"),
    Column("total", Dollars, nullable=False),
    Column("settle", Text, nullable=False, comment="where the money goes"),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False, comment="id of the key that asked for it"),
    Column("transaction", BigInteger, comment="out of revenue; null when no money moved"),
    Column("tax_transaction", BigInteger, comment="out of taxes; null when no tax was given back"),
    Column("issued_at", Instant, nullable=False, server_default=NOW),
    UniqueConstraint("series", "sequence"),
    CheckConstraint("settle IN ('wallet', 'refund', 'replacement')", name="settle"),
    CheckConstraint("total = subtotal + tax AND (total >= 0 OR settle = 'replacement')", name="sums"),
    Index(None, "account_id", "invoice_id"),
    Index(None, "id"),
)

credit_note_lines = Table(
    "credit_note_lines",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("note_id", Text, primary_key=True),
    Column("invoice_line", Integer, primary_key=True, autoincrement=False, comment="its position on the invoice"),
    Column("quantity", BigInteger, nullable=False, comment="of the line's; 0 when an amount was asked for"),
    Column("amount", Dollars, nullable=False),
    ForeignKeyConstraint(["account_id", "note_id"], ["credit_notes.account_id", "credit_notes.id"]),
)

# Money that came in and is counted towards an invoice, and what takes that back (`reverses`): a row each.
payments = Table(
    "payments",
    metadata,
    Column("account_id", ForeignKey("accounts.id"), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("invoice_id", ForeignKey("invoices.id"), nullable=False),
    Column("amount", Dollars, nullable=False),
    Column("transaction", BigInteger, nullable=False, comment="that brought the money: a payment or a top-up"),
    Column("reference", Text, nullable=False),
    Column("method", Text),
    Column("reason", Text, comment="why it was taken back"),
    Column("paid_at", Instant, nullable=False),
    Column("reverses", Text, comment="the payment that it takes back, whole"),
    Column("reversal", BigInteger, comment="the transaction that took the money back; null: it stays in the wallet"),
    Column("actor", Text, nullable=False, comment="id of the key that asked for it"),
    Column("created_at", Instant, nullable=False, server_default=NOW),
    UniqueConstraint("account_id", "reverses"),
    CheckConstraint("amount > 0 AND amount < 'Infinity'", name="amount"),
    CheckConstraint("reverses IS NOT NULL OR reversal IS NULL", name="reversal"),
    Index(None, "account_id", "invoice_id"),
    Index(None, "account_id", "transaction"),
    Index(None, "id"),
)
