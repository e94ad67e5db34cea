"""What reports read: sums over all accounts, or over all prices of one, by the quarter hour, the hour and the day.

The posting statement appends to `usage_increments` and `account_increments`, where no transaction waits for another;
folding (billing/metering/folding.py) moves them into the totals. Both together are the sums of `usage_rollups`.
"""

from sqlalchemy import ARRAY, BigInteger, Column, Integer, Table, Text

from billing.db.schema.metadata import Dollars, Instant, metadata

# A table that is emptied again and again: vacuum it by how much was deleted, not by how much is there.
EMPTIED = {"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "10000"}

usage_increments = Table(
    "usage_increments",
    metadata,
    Column("slot", Instant, nullable=False, comment="the quarter hour of use"),
    Column("price_id", Integer, nullable=False),
    Column("upstream", Text, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("amount", Dollars, nullable=False),
    Column("cost", Dollars, nullable=False),
    Column("costed", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False, comment="requests that did"),
    Column("aborted", BigInteger, nullable=False, comment="by their clients"),
    Column("cut", BigInteger, nullable=False, comment="by their upstreams"),
    Column("latencies", ARRAY(Integer), comment="of the requests that gave one, in milliseconds"),
    Column("first_tokens", ARRAY(Integer), comment="likewise, until the first token"),
    postgresql_with=EMPTIED,
)

account_increments = Table(
    "account_increments",
    metadata,
    Column("account_id", Text, nullable=False),
    Column("slot", Instant, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("amount", Dollars, nullable=False),
    Column("cost", Dollars, nullable=False),
    Column("costed", BigInteger, nullable=False),
    postgresql_with=EMPTIED,
)

# `minutes` is how long a row is: 15, 60 or 1440. Each sum is there in all three, so that a report reads few rows.
usage_totals = Table(
    "usage_totals",
    metadata,
    Column("minutes", Integer, primary_key=True, autoincrement=False),
    Column("slot", Instant, primary_key=True, comment="where it begins"),
    Column("price_id", Integer, primary_key=True, autoincrement=False),
    Column("upstream", Text, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("amount", Dollars, nullable=False),
    Column("cost", Dollars, nullable=False),
    Column("costed", BigInteger, nullable=False),
)

account_totals = Table(
    "account_totals",
    metadata,
    Column("minutes", Integer, primary_key=True, autoincrement=False),
    Column("slot", Instant, primary_key=True),
    Column("account_id", Text, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("amount", Dollars, nullable=False),
    Column("cost", Dollars, nullable=False),
    Column("costed", BigInteger, nullable=False),
)

# How requests went. Of latencies, how many lie in each bucket (billing/metering/outcomes.py).
outcome_totals = Table(
    "outcome_totals",
    metadata,
    Column("minutes", Integer, primary_key=True, autoincrement=False),
    Column("slot", Instant, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("upstream", Text, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("aborted", BigInteger, nullable=False),
    Column("cut", BigInteger, nullable=False),
    Column("latencies", ARRAY(BigInteger), nullable=False),
    Column("first_tokens", ARRAY(BigInteger), nullable=False),
)
