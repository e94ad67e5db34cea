"""Who did what, and what has been proved."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Identity, Index, Integer, LargeBinary, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from billing.db.schema.metadata import NOW, Instant, metadata

# Every act of an administrator, written in the transaction of the act.
audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("at", Instant, nullable=False, server_default=NOW),
    Column("actor", Text, nullable=False, comment="id of the key that asked; cli for a command"),
    Column("action", Text, nullable=False),
    Column("account_id", Text),
    Column("subject", Text, comment="id of what was acted on"),
    Column("details", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("request_id", Text),
    Index(None, "account_id", "id"),
)

# Each proof that was carried through.
proofs = Table(
    "proofs",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("finished_at", Instant, nullable=False, server_default=NOW),
    Column("mode", Text, nullable=False),
    Column("account_id", Text, comment="null: of the whole book"),
    Column("differences", Integer, nullable=False),
    Column("milliseconds", BigInteger, nullable=False),
    CheckConstraint("mode IN ('full', 'incremental')", name="mode"),
)

# How far each account was proved without a difference. An incremental proof goes on from there.
proved = Table(
    "proved",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False, comment="of the last transaction that was proved"),
    Column("chain", LargeBinary, comment="the account's chain after it"),
)
