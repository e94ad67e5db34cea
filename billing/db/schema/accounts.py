"""Customers and keys, and the answers kept for requests with an Idempotency-Key."""

from sqlalchemy import ARRAY, CheckConstraint, Column, ForeignKey, Index, LargeBinary, Table, Text

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
    CheckConstraint("id ~ '^acct_[A-Za-z0-9_-]{1,59}$'", name="id"),
    CheckConstraint("suspension IS NULL OR suspended_at IS NOT NULL", name="suspension"),
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
