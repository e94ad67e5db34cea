"""The tables of who pays which prices, and what upstreams take.

What was charged by them keeps its own factors, so nothing that changes here changes the past.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Identity,
    Integer,
    Numeric,
    Table,
    Text,
    text,
)

from billing.db.schema.metadata import NOW, Instant, metadata

# A group of customers that buy at the same terms.
plans = Table(
    "plans",
    metadata,
    Column("id", Text, primary_key=True),
    Column("created_at", Instant, nullable=False, server_default=NOW),
    CheckConstraint("id ~ '^[a-z0-9][a-z0-9_-]{0,59}$'", name="id"),
)

# Which plan a customer is on, from an instant on. Of these five tables the newest row of the same instant counts.
account_plans = Table(
    "account_plans",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False),
    Column("plan_id", ForeignKey("plans.id"), comment="null: the standard terms"),
    Column("effective_from", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=NOW),
)

# What a plan or a customer pays of the official price, from an instant on; null: no special terms from then on.
multipliers = Table(
    "multipliers",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("plan_id", ForeignKey("plans.id")),
    Column("account_id", ForeignKey("accounts.id")),
    Column("multiplier", Numeric),
    Column("effective_from", Instant, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=NOW),
    CheckConstraint("(plan_id IS NULL) <> (account_id IS NULL)", name="whose"),
    CheckConstraint("multiplier >= 0 AND multiplier <= 10 AND scale(multiplier) <= 12", name="multiplier"),
)

# Which number is billed to a plan or a customer for an event that carries its text (pricing/policies.py), likewise.
verification_policies = Table(
    "verification_policies",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("plan_id", ForeignKey("plans.id")),
    Column("account_id", ForeignKey("accounts.id")),
    Column("policy", Text),
    Column("effective_from", Instant, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=NOW),
    CheckConstraint("(plan_id IS NULL) <> (account_id IS NULL)", name="whose"),
    CheckConstraint("policy IN ('reported', 'counted', 'lower')", name="policy"),
)

# What an upstream takes of the official price, from an instant on; null: not known from then on. `*` stands for all
# that have none of their own, and for requests whose upstream is not named.
upstream_factors = Table(
    "upstream_factors",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("upstream", Text, nullable=False),
    Column("factor", Numeric),
    Column("effective_from", Instant, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=NOW),
    CheckConstraint("factor >= 0 AND factor <= 10 AND scale(factor) <= 12", name="factor"),
)

# Prices an operator added, in the columns of the book's own tables: for everybody, or for one customer. They lie over
# the shipped book. A row that turns out wrong is corrected by a later row for the same key and day.
price_rows = Table(
    "price_rows",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), comment="null: for everybody"),
    Column("model", Text, nullable=False),
    Column("dimension", Text, nullable=False),
    Column("tier", Text, nullable=False),
    Column("context", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("price", Numeric, nullable=False, comment="dollars a unit, before the multiplier"),
    Column("effective_from", Date, nullable=False),
    Column("effective_to", Date),
    Column("source", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=NOW),
)

# One row, counted up by every change of the terms, so that each process learns of it.
terms_version = Table(
    "terms_version",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("version", BigInteger, nullable=False),
    CheckConstraint("one", name="one"),
)
