"""The schema's one declaration. Migrations make it; a test proves both equal (tests/migrations).

Conventions: `account_id` leads every key (rules.md Ledger 4), money is `numeric(38,12)` dollars, times are instants.
What must never change is guarded by the database itself: see `APPEND_ONLY`. The tables that every event writes have no
foreign keys (they cost a fifth of the intake): the posting statement reaches an account through its `balances` row.
"""

from sqlalchemy import (
    ARRAY,
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from billing.db.hold_tables import holds, key_sums
from billing.db.metadata import NOW, Dollars, Instant, metadata

__all__ = ["APPEND_ONLY", "holds", "key_sums", "metadata"]

# A group of customers that buy at the same terms.
plans = Table(
    "plans",
    metadata,
    Column("id", Text, primary_key=True),
    Column("created_at", Instant, nullable=False, server_default=NOW),
    CheckConstraint("id ~ '^[a-z0-9][a-z0-9_-]{0,59}$'", name="id"),
)

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

# One row an account: the account's lock, and what is true of it now.
balances = Table(
    "balances",
    metadata,
    Column("account_id", ForeignKey("accounts.id"), primary_key=True),
    Column("posted", Dollars, nullable=False, server_default="0", comment="wallet and credits, by their postings"),
    Column("transactions", BigInteger, nullable=False, server_default="0", comment="how many; the last one's seq"),
    Column("open_from", Instant, comment="end of the last closed period; null while none is closed"),
    Column("credits", Dollars, nullable=False, server_default="0", comment="what of it is credit: the active grants"),
    Column("credits_due_at", Instant, comment="never after the next instant at which a grant begins or expires"),
    Index("balances_credits_due_idx", "credits_due_at", postgresql_where=text("credits_due_at IS NOT NULL")),
    Column("held", Dollars, nullable=False, server_default="0", comment="sum of the open holds"),
    Column("credit_limit", Dollars, nullable=False, server_default="0", comment="how far below zero it may go"),
    Column("counts_keys", Boolean, nullable=False, server_default=text("false"), comment="keeps key_sums"),
)

# A posting moves an amount from a source to a destination of one account's book; a transaction is the postings that
# share a number. Two legs in one row: it sums to zero by construction.
transaction_numbers = Sequence("transaction_numbers", metadata=metadata)

KINDS = ("usage", "top_up", "adjustment", "rounding", "grant", "burn", "expiry")
BOOKS = ("wallet", "credits", "revenue", "cash", "adjustments", "promotions", "breakage", "rounding")


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names)


postings = Table(
    "postings",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("transaction", BigInteger, primary_key=True, autoincrement=False),
    Column("line", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False, comment="1, 2, 3 … of the account's transactions, without gaps"),
    Column("kind", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("amount", Dollars, nullable=False),
    Column("balance", Dollars, nullable=False, comment="wallet and credits after the transaction"),
    Column("effective_at", Instant, nullable=False, comment="decides the period; for usage the quarter hour billed in"),
    Column("posted_at", Instant, nullable=False, server_default=NOW),
    Column("reference", Text),
    Column("reason", Text),
    Column("actor", Text, comment="id of the key that asked for it"),
    Column("grant_id", Text, comment="the grant of credit it moves"),
    Column("reverses", BigInteger, comment="the transaction of the account that it takes back, in whole or in part"),
    CheckConstraint(f"kind IN ({_listed(KINDS)})", name="kind"),
    CheckConstraint(f"source IN ({_listed(BOOKS)})", name="source"),
    CheckConstraint(f"destination IN ({_listed(BOOKS)})", name="destination"),
    CheckConstraint("source <> destination", name="two_legs"),
    CheckConstraint("amount >= 0 AND amount < 'Infinity'", name="amount"),
    # What comes with usage is frequent, the rest is rare; statements read it by period.
    Index(
        "postings_statement_idx",
        "account_id",
        "effective_at",
        postgresql_where=text("kind NOT IN ('usage', 'burn')"),
    ),
    Index("postings_reverses_idx", "account_id", "reverses", postgresql_where=text("reverses IS NOT NULL")),
    Index(None, "account_id", "seq"),
)

# Credit that was given to a customer, and what is left of it: it pays usage before the wallet does.
grants = Table(
    "grants",
    metadata,
    Column("account_id", ForeignKey("accounts.id"), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("category", Text, nullable=False),
    Column("priority", Integer, nullable=False, comment="lower ones are used first"),
    Column("amount", Dollars, nullable=False),
    Column("remaining", Dollars, nullable=False, server_default="0", comment="the sum of its postings"),
    Column("used", Dollars, nullable=False, server_default="0", comment="the sum of those that paid usage"),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("effective_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("reference", Text),
    Column("reason", Text),
    Column("actor", Text, nullable=False, comment="id of the key that asked for it"),
    Column("created_at", Instant, nullable=False, server_default=NOW),
    CheckConstraint("category IN ('paid', 'promotional')", name="category"),
    CheckConstraint("state IN ('pending', 'active', 'used', 'expired', 'voided')", name="state"),
    CheckConstraint("amount > 0 AND amount < 'Infinity'", name="amount"),
    CheckConstraint("used >= 0 AND remaining >= 0 AND used + remaining <= amount", name="sums"),
    CheckConstraint("(state = 'active') = (remaining > 0)", name="remaining"),
    CheckConstraint("expires_at > effective_at", name="span"),
    Index("grants_live_idx", "account_id", postgresql_where=text("state IN ('pending', 'active')")),
)

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

# Which plan a customer is on, from an instant on. Of these four tables the newest row of the same instant counts.
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
    Column("corrects", Text, comment="id of the event of the same account and source that this one bills instead"),
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
    # The worst of them are looked for by time; they are few.
    Index("verdicts_mismatch_idx", "time", postgresql_where=text("excess > 0 OR shortfall > 0")),
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

REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
    USING ERRCODE = 'integrity_constraint_violation', HINT = 'Reverse it with a new row that names the old one.';
END $$
"""

APPEND_ONLY = (
    "postings",
    "prices",
    "charges",
    "verdicts",
    "invoices",
    "invoice_lines",
    "multipliers",
    "verification_policies",
    "account_plans",
    "price_rows",
)


def append_only_trigger(table: str) -> str:
    """DDL: the database itself refuses UPDATE, DELETE and TRUNCATE of the table (rules.md Ledger 1, Invoices 6)."""
    return (
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


# Rows land here only when the month's own partition is missing: /readyz and billing verify raise the alarm.
EVENTS_DEFAULT = "CREATE TABLE events_default PARTITION OF events DEFAULT"

event.listen(terms_version, "after_create", DDL("INSERT INTO terms_version (version) VALUES (0)"))
event.listen(metadata, "before_create", DDL(REFUSE_CHANGE.replace("%", "%%")))
event.listen(events, "after_create", DDL(EVENTS_DEFAULT))
for _table in APPEND_ONLY:
    event.listen(metadata.tables[_table], "after_create", DDL(append_only_trigger(_table)))
