"""Events, what they cost, what their texts said, and the sums of it. What every event writes has no foreign keys."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from billing.db.schema.metadata import NOW, Dollars, Instant, metadata

# One dimension of one model at one multiplier, from one dated entry of the book: the factors of charges, for ever.
prices = Table(
    "prices",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True, comment="of all that follows"),
    Column("model", Text, nullable=False),
    Column("dimension", Text, nullable=False),
    Column("variant", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("unit_size", BigInteger, nullable=False, comment="how much of the quantity one unit is"),
    Column("official", Numeric, comment="dollars a unit on the official list; null: unpriced"),
    Column("multiplier", Numeric, nullable=False),
    Column("entry", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("book", Text, nullable=False, comment="digest of the price book"),
)

# An event's identity and what it cost, kept for ever (rules.md Usage 1).
charges = Table(
    "charges",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False, comment="of the event's content: tells a duplicate from a conflict"),
    Column("time", Instant, nullable=False),
    Column("transaction", BigInteger, nullable=False),
    Column("position", Integer, nullable=False, comment="place within the transaction"),
    Column("price_ids", ARRAY(Integer), nullable=False),
    Column("quantities", ARRAY(BigInteger), nullable=False, comment="one for each price"),
    Column("amount", Dollars, nullable=False),
    Column("review", Text, comment="why it is not billed yet and waits to be looked at; null: billed"),
    Column("corrects", Text, comment="id of the event of the same account and source that this one stands for"),
    Column("cost", Dollars, comment="what the upstream takes for it; null: not known"),
    Column("key_id", Text, comment="null: it named the account only, or upstream is null, too"),
    Column("upstream", Text, comment="empty when not named; null: booked before this column, see its event"),
    Index("charges_review_idx", "account_id", "time", postgresql_where=text("review IS NOT NULL")),
    # An event is corrected once; who corrects the correction names that one.
    Index(
        "charges_corrects_idx",
        "account_id",
        "source",
        "corrects",
        unique=True,
        postgresql_where=text("corrects IS NOT NULL"),
    ),
)

# The event as it came, without texts and secrets; interesting for a while. Partitioned by month of arrival.
events = Table(
    "events",
    metadata,
    Column("account_id", Text, nullable=False),
    Column("time", Instant, nullable=False),
    Column("source", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("received_at", Instant, nullable=False, server_default=NOW),
    Column("key_id", Text),
    Column("body", JSONB, nullable=False),
    Index(None, "account_id", "time"),
    postgresql_partition_by="RANGE (received_at)",
)

# Sums by quarter hour, kept in the posting transaction. `slot` is when it was used, `billed` the quarter hour whose
# period bills it: the same, or the start of the open period when the event came late.
usage_rollups = Table(
    "usage_rollups",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("billed", Instant, primary_key=True),
    Column("slot", Instant, primary_key=True),
    Column("price_id", Integer, primary_key=True, autoincrement=False),
    Column("key_id", Text, primary_key=True, comment="empty when the event named the account only"),
    Column("upstream", Text, primary_key=True, comment="empty when not named"),
    Column("events", BigInteger, nullable=False, comment="events with a line at this price"),
    Column("requests", BigInteger, nullable=False, comment="events whose first line this is: each event counts once"),
    Column("quantity", BigInteger, nullable=False),
    Column("amount", Dollars, nullable=False),
    Column("first_time", Instant, nullable=False),
    Column("last_time", Instant, nullable=False),
    Column("evidence", LargeBinary, nullable=False, comment="hash chain over the events' digests, docs/evidence.md"),
    Column(
        "cost", Dollars, nullable=False, server_default="0", comment="of the requests; of those whose cost is known"
    ),
    Column("costed", BigInteger, nullable=False, server_default="0", comment="requests whose cost is known"),
)

# What counting an event's text said of its usage (rules.md Verification), kept for ever; only events with text have it.
verdicts = Table(
    "verdicts",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("time", Instant, nullable=False),
    Column("model", Text, nullable=False),
    Column("upstream", Text, nullable=False, comment="empty when not named"),
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("unit", Text, nullable=False, comment="of all the counts"),
    Column("policy", Text, nullable=False, comment="what is billed when the report and the count differ"),
    Column("reported_input", BigInteger),
    Column("reported_output", BigInteger),
    Column("input_low", BigInteger),
    Column("input_likely", BigInteger),
    Column("input_high", BigInteger, comment="null when nothing bounds it"),
    Column("output_low", BigInteger),
    Column("output_likely", BigInteger),
    Column("output_high", BigInteger, comment="null when nothing bounds it"),
    Column("billed_input", BigInteger),
    Column("billed_output", BigInteger),
    Column("excess", BigInteger, nullable=False, comment="reported above our highest counts"),
    Column("shortfall", BigInteger, nullable=False, comment="reported below our lowest counts"),
    Column("excess_amount", Dollars, nullable=False, comment="what that would have cost the customer more"),
    Column("shortfall_amount", Dollars, nullable=False, comment="what that would have cost the customer less"),
    CheckConstraint(
        "verdict IN ('exact', 'within_bounds', 'over_reported', 'under_reported', 'counted', 'unverifiable')",
        name="verdict",
    ),
    # The worst of them, and those that failed, are looked for by time; they are few.
    Index("verdicts_mismatch_idx", "time", postgresql_where=text("excess > 0 OR shortfall > 0")),
    Index("verdicts_unverifiable_idx", "time", postgresql_where=text("verdict = 'unverifiable'")),
)

# Sums of verdicts by the quarter hour of use, kept in the posting transaction.
verdict_rollups = Table(
    "verdict_rollups",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("slot", Instant, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("upstream", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("verdict", Text, primary_key=True),
    Column("events", BigInteger, nullable=False),
    Column("reported", BigInteger, nullable=False, comment="of the sides that were reported and counted"),
    Column("counted", BigInteger, nullable=False, comment="our likeliest counts of the same sides"),
    Column("excess", BigInteger, nullable=False),
    Column("shortfall", BigInteger, nullable=False),
    Column("excess_amount", Dollars, nullable=False),
    Column("shortfall_amount", Dollars, nullable=False),
    Index(None, "slot"),
)

# Months of events that were dropped because they were old; what they were charged is kept for ever.
dropped_months = Table(
    "dropped_months",
    metadata,
    Column("start", Instant, primary_key=True, comment="of arrival, UTC"),
    Column("until", Instant, nullable=False),
    Column("events", BigInteger, nullable=False, comment="how many there were"),
    Column("dropped_at", Instant, nullable=False, server_default=NOW),
)
