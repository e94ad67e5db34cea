"""What is set aside for requests under way, and what keys have spent."""

from sqlalchemy import CheckConstraint, Column, Date, Index, Table, Text, text

from billing.db.schema.metadata import NOW, Dollars, Instant, metadata

# Money set aside for a request that is under way. Made under the lock of the account's balance; who ends one locks it
# first and the balance after it.
holds = Table(
    "holds",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("amount", Dollars, nullable=False),
    Column("state", Text, nullable=False, server_default="open"),
    Column("key_id", Text, comment="the customer's key it was asked for with"),
    Column("model", Text, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=NOW),
    Column("expires_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("event_source", Text, comment="source and id of the event that captured it"),
    Column("event_id", Text),
    CheckConstraint("amount >= 0 AND amount < 'Infinity'", name="amount"),
    CheckConstraint("state IN ('open', 'captured', 'released', 'expired')", name="state"),
    CheckConstraint("(state = 'open') = (ended_at IS NULL)", name="ended"),
    CheckConstraint("(state = 'captured') = (event_id IS NOT NULL AND event_source IS NOT NULL)", name="captured"),
    Index(None, "id"),
    Index("holds_due_idx", "account_id", "expires_at", postgresql_where=text("state = 'open'")),
    Index("holds_sweep_idx", "expires_at", postgresql_where=text("state = 'open'")),
    # Every hold soon ends, and leaves dead entries at the low end of these indexes, where the next reader begins.
    postgresql_with={"autovacuum_vacuum_scale_factor": "0.02", "autovacuum_vacuum_threshold": "5000"},
)

# What each key has spent in each day, in each month and in all, and what it holds. Kept for the accounts that have had
# a key with a limit (balances.counts_keys); changed under the lock of the account's balance.
key_sums = Table(
    "key_sums",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("span", Text, primary_key=True),
    Column("start", Date, primary_key=True, comment="of the day or the month (UTC) it was used in; else 1970-01-01"),
    Column("amount", Dollars, nullable=False),
    CheckConstraint("span IN ('day', 'month', 'total', 'held')", name="span"),
)
