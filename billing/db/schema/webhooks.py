"""What others are told of: the outbox, who wants to be told, and what became of telling them."""

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from billing.db.schema.metadata import NOW, Instant, metadata

MESSAGE_ID = text("('msg_'::text || replace((gen_random_uuid())::text, '-'::text, ''::text))")

# The outbox. A row is written in the transaction of what it tells.
webhook_messages = Table(
    "webhook_messages",
    metadata,
    Column("id", Text, primary_key=True, server_default=MESSAGE_ID),
    Column("type", Text, nullable=False),
    Column("account_id", Text, comment="null: told to the operator only"),
    Column("data", JSONB, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=NOW),
    Column("due_at", Instant, nullable=False, server_default=NOW),
    Column("gathers", Text, unique=True, comment="names what is told together until it is due; null: one thing"),
    Column("given_out_at", Instant, comment="when its deliveries were made; null: not yet"),
    Index("webhook_messages_due_idx", "due_at", postgresql_where=text("given_out_at IS NULL")),
    Index(None, "created_at"),
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), comment="told of this one; null: of all accounts"),
    Column("url", Text, nullable=False),
    Column("types", ARRAY(Text), comment="null: all"),
    Column("secret", LargeBinary, nullable=False, comment="in clear: it signs every delivery"),
    Column("old_secret", LargeBinary, comment="signs, too, until it ends"),
    Column("old_secret_ends_at", Instant),
    Column("created_at", Instant, nullable=False, server_default=NOW),
    Column("disabled_at", Instant),
    Column("disabled_because", Text),
    Column("failures", Integer, nullable=False, server_default="0", comment="since the last success"),
    Column("failing_since", Instant, comment="null: the last delivery succeeded"),
    Column("rests_until", Instant, comment="nothing is sent before, because it has just failed"),
    Column(
        "owner_id",
        ForeignKey("accounts.id"),
        comment="whose it is: the account's that it is told of; null: the operator's",
    ),
    CheckConstraint("(old_secret IS NULL) = (old_secret_ends_at IS NULL)", name="old_secret"),
    CheckConstraint("(disabled_at IS NULL) = (disabled_because IS NULL)", name="disabled"),
    CheckConstraint("owner_id IS NULL OR owner_id = account_id", name="owner"),
    Index(None, "account_id"),
    Index(None, "owner_id"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("endpoint_id", ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), primary_key=True),
    Column("message_id", ForeignKey("webhook_messages.id", ondelete="CASCADE"), primary_key=True),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("attempts", Integer, nullable=False, server_default="0", comment="since it was made or replayed"),
    Column("due_at", Instant, nullable=False, server_default=NOW, comment="of the next attempt, or when one is lost"),
    Column("log", JSONB, nullable=False, server_default="[]", comment="the last attempts, oldest first"),
    Column("created_at", Instant, nullable=False, server_default=NOW),
    CheckConstraint("state IN ('pending', 'delivered', 'failed')", name="state"),
    Index("webhook_deliveries_due_idx", "endpoint_id", "due_at", postgresql_where=text("state = 'pending'")),
    Index(None, "message_id"),
)

# Where a balance crosses a threshold is known exactly only where it moves, and many statements move it: so the database
# says it itself, in their transaction. A movement that crosses nothing pays for the trigger's condition only.
OLD = "OLD.posted + OLD.credit_limit"
NEW = "NEW.posted + NEW.credit_limit"
IS_DEPLETED = f"{NEW} <= 0 AND {OLD} > 0"
IS_LOW = f"{NEW} < NEW.balance_low AND ({OLD} < OLD.balance_low) IS NOT TRUE"

TELL_BALANCE = f"""
CREATE FUNCTION tell_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  said jsonb := jsonb_build_object(
    'account', NEW.account_id, 'currency', 'USD', 'posted', trim_scale(NEW.posted)::text,
    'credit_limit', trim_scale(NEW.credit_limit)::text, 'remaining', trim_scale({NEW})::text,
    'threshold', trim_scale(NEW.balance_low)::text
  );
BEGIN
  IF {IS_LOW} THEN
    INSERT INTO webhook_messages (type, account_id, data) VALUES ('balance.low', NEW.account_id, said);
  END IF;
  IF {IS_DEPLETED} THEN
    INSERT INTO webhook_messages (type, account_id, data) VALUES ('balance.depleted', NEW.account_id, said);
  END IF;
  RETURN NULL;
END $$
"""  # noqa: S608 - made of the constants above

BALANCE_TOLD = f"""
CREATE TRIGGER balances_told AFTER UPDATE OF posted, credit_limit, balance_low ON balances
FOR EACH ROW WHEN (({IS_DEPLETED}) OR ({IS_LOW})) EXECUTE FUNCTION tell_balance()
"""
