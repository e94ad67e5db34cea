"""An account's book: its balance, the postings it is the sum of, and the grants of credit."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Sequence,
    Table,
    Text,
    text,
)

from billing.db.schema.metadata import NOW, Dollars, Instant, metadata

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
    Column("chain", LargeBinary, comment="hash over all transactions since the chain began, docs/evidence.md"),
    Column("period_ends_at", Instant, comment="never after the end of the first open period; null: not known"),
    Index("balances_period_ends_idx", "period_ends_at"),
    Column("balance_low", Dollars, comment="say so when less than this is left, with the credit limit; null: never"),
)

# A posting moves an amount from a source to a destination of one account's book; a transaction is the postings that
# share a number. Two legs in one row: it sums to zero by construction.
transaction_numbers = Sequence("transaction_numbers", metadata=metadata)

KINDS = (
    "usage",
    "top_up",
    "adjustment",
    "rounding",
    "grant",
    "burn",
    "expiry",
    "cost",
    "tax",
    "payment",
    "credit_note",
)
BOOKS = (
    "wallet",
    "credits",
    "revenue",
    "cash",
    "adjustments",
    "promotions",
    "breakage",
    "rounding",
    "upstreams",
    "costs",
    "taxes",
)


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
    Column("chain", LargeBinary, comment="the account's chain after it; null before the chain began"),
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
        postgresql_where=text("kind NOT IN ('usage', 'burn', 'cost')"),
    ),
    Index("postings_burn_idx", "account_id", "effective_at", postgresql_where=text("kind = 'burn'")),
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
