"""Customers and keys, and the answers kept for requests with an Idempotency-Key."""

from sqlalchemy import ARRAY, CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from billing.db.schema.metadata import NOW, Dollars, Instant, metadata

accounts = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("email", Text),
    Column("address", Text),
    Column("time_zone", Text, nullable=False, server_default="UTC"),
    Column("created_at", Instant, nullable=False, server_default=NOW),
    Column("suspended_at", Instant, comment="no authorisations from then on; null: not suspended"),
    Column("suspension", Text, comment="why it is suspended"),
    Column("closed_at", Instant, comment="no authorisations, keys and top-ups from then on, for ever"),
    Column("anchor_day", Integer, nullable=False, server_default="1", comment="of the month: its periods begin on it"),
    Column("tax_id", Text, comment="printed on invoices"),
    Column("payment_days", Integer, comment="from an invoice to its due date; null: as for everybody"),
    Column("country", Text, comment="ISO 3166-1 alpha-2; of structured invoices"),
    CheckConstraint("id ~ '^acct_[A-Za-z0-9_-]{1,59}$'", name="id"),
    CheckConstraint("suspension IS NULL OR suspended_at IS NOT NULL", name="suspension"),
    CheckConstraint("anchor_day BETWEEN 1 AND 31", name="anchor_day"),
    CheckConstraint("payment_days BETWEEN 0 AND 365", name="payment_days"),
    CheckConstraint("country ~ '^[A-Z]{2}$'", name="country"),
)

# Whose clock and which day of the month an account's periods followed, since it was set. A period follows what was set
# when it began. An account whose row is missing has always had what `accounts` says.
account_calendars = Table(
    "account_calendars",
    metadata,
    Column("account_id", ForeignKey("accounts.id"), primary_key=True),
    Column("set_at", Instant, primary_key=True),
    Column("time_zone", Text, nullable=False),
    Column("anchor_day", Integer, nullable=False),
    CheckConstraint("anchor_day BETWEEN 1 AND 31", name="anchor_day"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), comment="null for gateway and admin keys"),
    Column("scope", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True, comment="SHA-256 of the key; the key itself is not kept"),
    Column("hint", Text, nullable=False, comment="its last four characters"),
    Column("created_at", Instant, nullable=False, server_default=NOW),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    Column("day_limit", Dollars, comment="the most it may spend in a day (UTC); null: no limit"),
    Column("month_limit", Dollars, comment="in a month (UTC)"),
    Column("total_limit", Dollars, comment="in all"),
    Column("models", ARRAY(Text), comment="names and prefixes (gpt-4*) it may use; null: all"),
    Column("ips", ARRAY(Text), comment="networks it may be used from; null: all"),
    CheckConstraint("scope IN ('gateway', 'customer', 'admin')", name="scope"),
    CheckConstraint("(scope = 'customer') = (account_id IS NOT NULL)", name="account"),
    Index(None, "account_id"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("actor", Text, primary_key=True, comment="id of the key that asked"),
    Column("key", Text, primary_key=True),
    Column("request", LargeBinary, nullable=False, comment="digest of method, path and body"),
    Column("response", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=NOW),
    Index(None, "created_at"),
)
