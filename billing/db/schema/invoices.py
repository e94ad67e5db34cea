"""Closed months."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB

from billing.db.schema.metadata import NOW, Dollars, Instant, metadata

invoices = Table(
    "invoices",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False),
    Column("period_start", Instant, nullable=False),
    Column("period_end", Instant, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("series", Text, nullable=False, comment="prefix and year: numbers have no gaps within it"),
    Column("sequence", Integer, nullable=False),
    Column("number", Text, nullable=False, unique=True),
    Column("currency", Text, nullable=False, server_default="USD"),
    Column("issuer", JSONB, nullable=False, comment="as it was when the invoice was made"),
    Column("customer", JSONB, nullable=False, comment="as it was when the invoice was made"),
    Column("statement", JSONB, nullable=False),
    Column("amount_exact", Dollars, nullable=False, comment="sum of the lines before rounding"),
    Column("subtotal", Dollars, nullable=False),
    Column("tax", Dollars, nullable=False),
    Column("total", Dollars, nullable=False),
    Column("residue", Dollars, nullable=False, comment="subtotal - amount_exact, posted to rounding"),
    Column("transaction", BigInteger, comment="the residue's; null when there is none"),
    Column("finalized_at", Instant, nullable=False, server_default=NOW),
    UniqueConstraint("account_id", "period_start"),
    UniqueConstraint("series", "sequence"),
    CheckConstraint("period_start < period_end", name="period"),
    CheckConstraint("residue = subtotal - amount_exact AND total = subtotal + tax", name="sums"),
    Index(None, "period_end"),
)

invoice_lines = Table(
    "invoice_lines",
    metadata,
    Column("account_id", ForeignKey("accounts.id"), primary_key=True),
    Column("invoice_id", ForeignKey("invoices.id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("model", Text, nullable=False),
    Column("dimension", Text, nullable=False),
    Column("variant", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("unit", Text, nullable=False),
    Column("unit_size", BigInteger, nullable=False),
    Column("official_unit_price", Numeric, nullable=False),
    Column("multiplier", Numeric, nullable=False),
    Column("entry", Text, nullable=False),
    Column("price_ids", ARRAY(Integer), nullable=False),
    Column("amount_exact", Dollars, nullable=False),
    Column("amount", Dollars, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("first_event_at", Instant, nullable=False),
    Column("last_event_at", Instant, nullable=False),
    Column("evidence", LargeBinary, nullable=False),
)

# The next number of each series; its row is the lock that keeps the series without gaps.
invoice_series = Table(
    "invoice_series",
    metadata,
    Column("series", Text, primary_key=True),
    Column("last_sequence", Integer, nullable=False),
)
