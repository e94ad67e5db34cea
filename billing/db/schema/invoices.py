"""Closed periods, and the taxes on them."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from billing.db.schema.metadata import NOW, Dollars, Instant, metadata

AMOUNT_DUE = "greatest(0, least(total, -(statement ->> 'closing')::numeric))"

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
    Column("tax", Dollars, nullable=False, comment="what taxes add to the subtotal"),
    Column("total", Dollars, nullable=False),
    Column("residue", Dollars, nullable=False, comment="subtotal - amount_exact, posted to rounding"),
    Column("transaction", BigInteger, comment="the residue's; null when there is none"),
    Column("finalized_at", Instant, nullable=False, server_default=NOW),
    Column("anchor_day", Integer, nullable=False, server_default="1"),
    Column("taxes", JSONB, nullable=False, server_default="[]", comment="each rate with what it is on and comes to"),
    Column("tax_included", Dollars, nullable=False, server_default="0", comment="taxes that the subtotal contains"),
    Column("tax_transaction", BigInteger, comment="of tax or tax_included; null when there is none"),
    Column("credits_used", Dollars, nullable=False, server_default="0", comment="credit that paid the period's usage"),
    Column("amount_due", Dollars, Computed(AMOUNT_DUE, persisted=True), comment="of the total, what nothing covered"),
    Column("due_date", Date, comment="of the customer's calendar; null when nothing is due"),
    Column("replaces", ForeignKey("invoices.id"), unique=True, comment="the voided invoice that this one stands for"),
    # One invoice a period (rules.md Invoices 1), besides those that replace one.
    Index("invoices_period_idx", "account_id", "period_start", unique=True, postgresql_where=text("replaces IS NULL")),
    UniqueConstraint("series", "sequence"),
    CheckConstraint("period_start < period_end", name="period"),
    CheckConstraint("residue = subtotal - amount_exact AND total = subtotal + tax", name="sums"),
    CheckConstraint("anchor_day BETWEEN 1 AND 31", name="anchor_day"),
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
    Column("correction_start", Instant, comment="the earlier period that its usage belongs to; null: this one"),
    Column("correction_end", Instant),
    CheckConstraint("(correction_start IS NULL) = (correction_end IS NULL)", name="correction"),
)

# A tax by its name. One that changes gets a new row with an id of its own.
tax_rates = Table(
    "tax_rates",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, comment="as it is printed: VAT 19%"),
    Column("percent", Numeric, nullable=False),
    Column("inclusive", Boolean, nullable=False, comment="prices contain it; else it comes on top"),
    Column("reverse_charge", Boolean, nullable=False, comment="the customer owes it: nothing is charged"),
    Column("note", Text, comment="printed with it"),
    Column("actor", Text, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=NOW),
    CheckConstraint("id ~ '^[a-z0-9][a-z0-9_-]{0,59}$'", name="id"),
    CheckConstraint("percent >= 0 AND percent <= 100 AND scale(percent) <= 6", name="percent"),
    CheckConstraint("NOT reverse_charge OR (percent = 0 AND NOT inclusive)", name="reverse_charge"),
)

# Which taxes an account pays, or everybody, from an instant on; the newest row of the same instant counts.
account_taxes = Table(
    "account_taxes",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), comment="null: all that have none of their own"),
    Column("rates", ARRAY(Text), comment="ids of tax_rates; empty: none; null: what everybody pays"),
    Column("effective_from", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=NOW),
    Index(None, "account_id", "effective_from"),
)

# The next number of each series; its row is the lock that keeps the series without gaps.
invoice_series = Table(
    "invoice_series",
    metadata,
    Column("series", Text, primary_key=True),
    Column("last_sequence", Integer, nullable=False),
)
